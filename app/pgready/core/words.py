"""The words of one statement, for rules that read a statement from left to right."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgready.core.sql import Token, TokenKind


class UnreadableName(Exception):
    """A name written `U&"…"` whose escapes cannot be read; the server refuses most of them, too."""


class Words:
    """The tokens of one statement, comments left out, as a cursor that rules walk along."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = [token for token in tokens if token.kind is not TokenKind.COMMENT]
        self._at = 0

    def take(self, *words: str) -> bool:
        """Step over *words* if they come next."""
        end = self._at + len(words)
        if tuple(_folded(token) for token in self._tokens[self._at : end]) != words:
            return False
        self._at = end
        return True

    def skip(self, *words: str) -> None:
        """Step over one of *words* if it comes next."""
        if self.next in words:
            self._at += 1

    @property
    def next(self) -> str:
        """The next word, in lower case; empty at the end and for what is no word."""
        return _folded(self._tokens[self._at]) if self._at < len(self._tokens) else ""

    @property
    def left(self) -> Sequence[Token]:
        return self._tokens[self._at :]

    @property
    def rest(self) -> str:
        """What is left, joined by blanks, words in lower case."""
        return " ".join(token.text for token in self._tokens[self._at :])

    @property
    def values(self) -> list[str]:
        """What is left without quotes, in lower case."""
        return [token.text.strip("'\"").lower() for token in self._tokens[self._at :]]

    def has(self, *words: str) -> bool:
        """Whether *words* come one behind another anywhere in what is left."""
        left = [_folded(token) for token in self._tokens[self._at :]]
        return any(tuple(left[at : at + len(words)]) == words for at in range(len(left)))

    def skip_parentheses(self) -> None:
        """Step over a list in parentheses if one comes next."""
        depth = 0
        while self._at < len(self._tokens):
            text = self._tokens[self._at].text
            depth += (text == "(") - (text == ")")
            if depth == 0 and text != ")":
                return
            self._at += 1
            if depth == 0:
                return

    def name(self) -> str | None:
        """Step over a name and return it quoted, with its schema as far as written; None: it is no name.

        Raises UnreadableName.
        """
        parts: list[str] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            part = _identifier(token)
            if part is None:
                return None
            self._at += 1
            if token.kind is TokenKind.QUOTED and not token.text.startswith('"'):
                part = _unescaped(part, self._escape())
            parts.append(_quoted(part))
            if not self.take("."):
                break
        return ".".join(parts) or None

    def _escape(self) -> str:
        """Step over a UESCAPE behind `U&"…"` and return its literal, else the default's."""
        if not self.take("uescape"):
            return r"'\'"
        self._at += 1
        return "".join(token.text for token in self._tokens[self._at - 1 : self._at])


def _folded(token: Token) -> str:
    return token.text if token.kind in (TokenKind.WORD, TokenKind.OTHER) else ""


_NAME_BYTES = 63


def _identifier(token: Token) -> str | None:
    """The name that *token* is, as written between its quotes."""
    if token.kind is TokenKind.WORD:
        return token.text
    if token.kind is TokenKind.QUOTED:
        return token.text[token.text.index('"') + 1 : -1].replace('""', '"')
    return None


def _quoted(name: str) -> str:
    """*name* as a quoted identifier, cut to the server's length."""
    cut = name.encode()[:_NAME_BYTES].decode(errors="ignore")
    return '"' + cut.replace('"', '""') + '"'


_ESCAPE = re.compile(r"""'([^0-9A-Fa-f+'"\s])'""")


def _unescaped(name: str, literal: str) -> str:
    """The *name* of a `U&"…"` as the server reads it, whose escape character stands in *literal*."""
    escape = _ESCAPE.fullmatch(literal)
    if escape is None:
        raise UnreadableName
    mark = re.escape(escape[1])
    escaped = re.compile(rf"{mark}(?:{mark}|\+([0-9A-Fa-f]{{6}})|([0-9A-Fa-f]{{4}})|)")

    def character(found: re.Match[str]) -> str:
        digits = found[1] or found[2]
        return chr(int(digits or "", 16)) if found[0] != 2 * escape[1] else escape[1]

    try:
        read = escaped.sub(character, name).encode("utf-16", "surrogatepass").decode("utf-16")
    except ValueError:  # no digits, no such character, half of a pair
        raise UnreadableName from None
    if "\0" in read:
        raise UnreadableName
    return read
