"""The code that a statement runs at once: its own, and that of a DO block, which stands in a string."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgready.core import sql
from pgready.core.sql import Token, TokenKind, Unscannable

_DOLLAR = re.compile(r"\$[^$]*\$")


def executed(word: str, statement: str) -> Iterator[list[Token]]:
    """The tokens of *statement*, whose first word is *word*, without comments; then those of a DO's body.

    What cannot be read, such as a body in another language, and what is too long is left out.
    """
    found = _tokens(statement)
    yield found
    for token in found if word == "do" else ():
        if token.kind is TokenKind.STRING:
            yield _tokens(body(token.text)[1])


def _tokens(text: str) -> list[Token]:
    if len(text) > sql.SCAN_LIMIT_CHARACTERS:
        return []
    try:
        return [token for token in sql.tokens(text) if token.kind is not TokenKind.COMMENT]
    except Unscannable:
        return []


def body(string: str) -> tuple[int, str]:
    """What stands between the quotes of *string*, and where."""
    dollar = _DOLLAR.match(string)
    if dollar:
        return dollar.end(), string[dollar.end() : len(string) - dollar.end()]
    start = string.index("'") + 1
    # A doubled quote is one quote inside; the blank keeps the offsets.
    return start, string[start:-1].replace("''", "' ")
