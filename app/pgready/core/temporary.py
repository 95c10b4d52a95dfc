"""What a script makes that goes with its session (temporary tables and the like), and what needs it later.

Names are looked for in the text, not resolved: that a later segment speaks of one is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgready.core.bodies import executed
from pgready.core.segments import Temporary
from pgready.core.sql import TokenKind

GATE = "temp"
"""Stands, in lower case, in the text of what makes something temporary."""

_MAKES = frozenset({"create", "do", "select", "with"})
_SAYS_SO = re.compile(r"\b(?:pg_)?temp(?:orary)?\b", re.IGNORECASE)

# Of a text whose tokens are joined by blanks.
_MADE = re.compile(
    r"(?<!\S)(?:"
    r"(?:create (?:or replace )?|into )(?:local |global )?temp(?:orary)? "
    r"(?:recursive )?(?:table |sequence |view )?(?:if not exists )?"
    r'|create (?:or replace )?\w+ (?:if not exists )?(?="?pg_temp"? )'
    r")"
    r'(?:"?pg_temp"? \. )?("(?:[^"]|"")+"|[^\s"]+)'
)
_ENDS_WITH_TRANSACTION = "on commit drop"


class Temporaries:
    """What was made so far, as the statements of a script are read in their order."""

    def __init__(self) -> None:
        self._made: dict[str, int] = {}

    @property
    def any(self) -> bool:
        return bool(self._made)

    def read(self, word: str, statement: str, segment: int) -> None:
        """Note what *statement* of *segment*, whose first word is *word*, makes or drops."""
        if word == "discard":
            self._made.clear()
        elif word == "drop":
            for name in [name for name in self._made if _speaks_of(name, statement)]:
                del self._made[name]
        elif word in _MAKES and _SAYS_SO.search(statement):
            self._made.update(dict.fromkeys(_made(word, statement), segment))

    def needed(self, text: str, segment: int) -> Temporary | None:
        """The earliest made of what the *text* of *segment* speaks of, if it was made before that."""
        before = sorted((made, name) for name, made in self._made.items() if made < segment)
        return next((Temporary(name, made) for made, name in before if _speaks_of(name, text)), None)


def _speaks_of(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text, re.IGNORECASE) is not None


def _made(word: str, statement: str) -> Iterator[str]:
    for tokens in executed(word, statement):
        spoken = " ".join("''" if token.kind is TokenKind.STRING else token.text for token in tokens)
        for each in spoken.split(" ; "):
            if _ENDS_WITH_TRANSACTION not in each:
                yield from (found[1].strip('"').replace('""', '"') for found in _MADE.finditer(each))
