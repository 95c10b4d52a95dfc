"""Finds statements that would free the advisory lock under which they run."""

from __future__ import annotations

import re

from pgready.core import sql
from pgready.core.model import Script
from pgready.core.segments import Statement, refused
from pgready.core.sql import TokenKind, Unscannable

# What must stand in the text in lower case for a statement to be looked at.
GATE = "pg_advisory_unlock"
_ALL = "pg_advisory_unlock_all"

_DOLLAR = re.compile(r"\$[^$]*\$")
_STRINGS_IN_STRINGS = 16
# Their strings are code that runs.
_HOLDS_CODE = frozenset({"do", "create", "execute"})


def refuse(script: Script, statement: Statement, word: str) -> None:
    """Raise ScriptError where *statement*, whose first word is *word*, calls a `pg_advisory_unlock` function.

    Bodies of functions and DO blocks count, comments and plain strings do not. A function that is made here
    is called by the application some day, and may free a lock of its own: not all of a session's.
    """
    text = script.text[statement.start : statement.end]
    sought = _ALL if word == "create" else GATE
    offset = _find(text, GATE, sought if word in _HOLDS_CODE else None) if GATE in text.lower() else None
    if offset is not None:
        raise refused(
            script,
            statement.start + offset,
            "pg_advisory_unlock could give up the lock that keeps other replicas out",
            "use pg_advisory_xact_lock: the end of the transaction frees it",
        )


def _find(text: str, name: str, inside: str | None, depth: int = 0) -> int | None:
    """The offset in *text* of a call of *name*, or of *inside* in a string; None: its strings are no code."""
    if len(text) > sql.SCAN_LIMIT_CHARACTERS or depth > _STRINGS_IN_STRINGS:
        return _place(text, inside) if inside else None
    try:
        tokens = sql.tokens(text)
    except Unscannable:
        # A body in another language, whose text SQL's scanner cannot read.
        return _place(text, inside or name)
    for token in tokens:
        if token.kind is TokenKind.COMMENT:
            continue
        if token.kind is not TokenKind.STRING:
            if name in token.text.lower():
                return token.start
        elif inside and inside in token.text.lower():
            start, body = _body(token.text)
            found = _find(body, inside, inside, depth + 1)
            if found is not None:
                return token.start + start + found
    return None


def _place(text: str, name: str) -> int | None:
    found = text.lower().find(name)
    return found if found >= 0 else None


def _body(string: str) -> tuple[int, str]:
    """What stands between the quotes of *string*, and where."""
    dollar = _DOLLAR.match(string)
    if dollar:
        return dollar.end(), string[dollar.end() : len(string) - dollar.end()]
    start = string.index("'") + 1
    # A doubled quote is one quote inside; the blank keeps the offsets.
    return start, string[start:-1].replace("''", "' ")
