"""What a script makes that goes with its session (temporary tables and the like), and what needs it later.

Names are looked for in the text, not resolved: that a later segment speaks of one is enough, were it only to
drop it. What is not seen to be dropped is still there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from pgready.core.bodies import executed
from pgready.core.segments import Temporary
from pgready.core.sql import Token, TokenKind

GATE = "temp"
"""Stands, in lower case, in the text of what makes something temporary."""

_MAKES = frozenset({"create", "do", "select", "with"})
_SAYS_SO = re.compile(r"\b(?:pg_)?temp(?:orary)?\b", re.IGNORECASE)

# Of a text whose tokens are joined by blanks.
_OURS = r'"?pg_temp"? \. '
_NAME = r'("(?:[^"]|"")+"|[^\s"]+)'
_UNLESS = "if not exists "
_MADE = re.compile(
    r"(?<!\S)(?:"
    r"(?:create (?:or replace )?|into )(?:local |global )?temp(?:orary)? "
    rf"(?:recursive )?(?:table |sequence |view )?(?:{_UNLESS})?"
    rf"|create (?:or replace )?\w+ (?:{_UNLESS})?(?={_OURS})"
    r")"
    rf"(?:{_OURS})?{_NAME}"
)
_DROPPED = re.compile(
    rf"(?:\Adrop (?:table|view|sequence) (?:if exists )?|(?<= , )|(?={_OURS}))(?:{_OURS})?{_NAME}(?! \.|\S)"
)
_ENDS_WITH_TRANSACTION = "on commit drop"

_NEEDS_NO_QUOTES = re.compile(r"(?!\d)(?:(?![A-Z])[\w$])+")


class _Made(Struct, frozen=True):
    """The segment that made something, and how a text speaks of that."""

    segment: int
    spoken: re.Pattern[str]


class Temporaries:
    """What was made so far, as the statements of a script are read in their order.

    *needs* is what a segment needs that was made before it: the earliest, where there are several.
    """

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}
        self.needs: dict[int, Temporary] = {}

    @property
    def any(self) -> bool:
        return bool(self._made)

    def read(self, word: str, statement: str, segment: int) -> None:
        """Note what *statement* of *segment*, whose first word is *word*, needs, makes or drops."""
        says_so = _SAYS_SO.search(statement) is not None
        anew = self._anew(word, statement) if word in _MAKES and says_so else frozenset()
        self._need(statement, segment, anew)
        if word == "discard" and says_so:
            self._made.clear()
        elif word == "drop":
            for name in _dropped(statement):
                self._made.pop(name, None)
        for name in anew:
            self._made[name] = _Made(segment, _spoken(name))

    def _anew(self, word: str, statement: str) -> frozenset[str]:
        """What *statement* makes, unless it was there."""
        made = _made(word, statement)
        return frozenset(name for name, unless in made if not (unless and name in self._made))

    def _need(self, statement: str, segment: int, anew: frozenset[str]) -> None:
        for name, made in self._made.items():
            known = self.needs.get(segment)
            before = known.segment if known else segment
            if made.segment < before and name not in anew and made.spoken.search(statement):
                self.needs[segment] = Temporary(name, made.segment)


def _spoken(name: str) -> re.Pattern[str]:
    """How a text speaks of *name*: as the server folds it, in quotes or, where it may, without. In code a
    name that needs double quotes may stand in a string, too: format('%I', …)."""
    bare, quoted = re.escape(name), re.escape(name.replace('"', '""'))
    if _NEEDS_NO_QUOTES.fullmatch(name):
        return re.compile(rf'(?<![\w$"])(?ai:{bare})(?![\w$"])|"{quoted}"')
    return re.compile(rf"\"{quoted}\"|'{bare}'")


def _made(word: str, statement: str) -> Iterator[tuple[str, bool]]:
    """What *statement* makes, and whether only where it is not there yet."""
    for tokens in executed(word, statement):
        for each in _joined(tokens).split(" ; "):
            if _ENDS_WITH_TRANSACTION not in each:
                yield from ((_name(found[1]), _UNLESS in found[0]) for found in _MADE.finditer(each))


def _dropped(statement: str) -> Iterator[str]:
    for tokens in executed("drop", statement):
        yield from (_name(found[1]) for found in _DROPPED.finditer(_joined(tokens)))


def _joined(tokens: Sequence[Token]) -> str:
    return " ".join("''" if token.kind is TokenKind.STRING else _unescaped(token) for token in tokens)


def _unescaped(token: Token) -> str:
    """Without the U& before a quoted name."""
    return token.text[token.text.index('"') :] if token.kind is TokenKind.QUOTED else token.text


def _name(written: str) -> str:
    return written[1:-1].replace('""', '"') if written.startswith('"') else written
