"""Finds statements that would free the advisory lock under which they run."""

from __future__ import annotations

import re

from pgready.core import sql
from pgready.core.bodies import body
from pgready.core.model import Script
from pgready.core.segments import Statement, refused
from pgready.core.sql import TokenKind, Unscannable

# What must stand in the text in lower case for a statement to be looked at.
GATE = "pg_advisory_unlock"
_ALL = "pg_advisory_unlock_all"
_LOCKS = "pg_locks"

_MAKES_FUNCTION = re.compile(r"create\s+(or\s+replace\s+)?(function|procedure)\b", re.IGNORECASE)
_STRINGS_IN_STRINGS = 16
# Their strings are code that runs.
_HOLDS_CODE = frozenset({"do", "create", "execute"})


def refuse(script: Script, statement: Statement, word: str) -> None:
    """Raise ScriptError where *statement*, whose first word is *word*, calls a `pg_advisory_unlock` function.

    Bodies of functions and DO blocks count, comments and plain strings do not. A function that is made here
    may free a lock by its key: it is the application that calls it, and our keys are hashes. It may not free
    all that a session has, nor what it finds in pg_locks.
    """
    text = script.text[statement.start : statement.end]
    lowered = text.lower()
    by_key = _MAKES_FUNCTION.match(text) is not None and _LOCKS not in lowered
    name = _ALL if by_key else GATE
    offset = _find(text, name, word in _HOLDS_CODE) if name in lowered else None
    if offset is not None:
        raise refused(
            script,
            statement.start + offset,
            f"{name} could give up the lock that keeps other replicas out",
            "free it by its key: pg_advisory_unlock(key)"
            if by_key
            else "use pg_advisory_xact_lock: the end of the transaction frees it",
        )


def _find(text: str, name: str, code: bool, depth: int = 0) -> int | None:
    """The offset in *text* of a call of *name*, also in strings that are *code*."""
    if len(text) > sql.SCAN_LIMIT_CHARACTERS or depth > _STRINGS_IN_STRINGS:
        return max(text.lower().find(name), 0) if code else None
    try:
        tokens = sql.tokens(text)
    except Unscannable:
        # A body in another language, whose text SQL's scanner cannot read.
        return max(text.lower().find(name), 0)
    for token in tokens:
        if name not in token.text.lower() or token.kind is TokenKind.COMMENT:
            continue
        if token.kind is not TokenKind.STRING:
            return token.start
        if code:
            start, inside = body(token.text)
            inner = _find(inside, name, code, depth + 1)
            if inner is not None:
                return token.start + start + inner
    return None
