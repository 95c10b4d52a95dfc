"""Migrations without a statement: on purpose (Prisma's and Drizzle's empty ones), or not filled in yet.

They are recorded as applied as any other is, and what is written into them afterwards does not run.
"""

from __future__ import annotations

import hashlib

from pgready.core.model import Applied
from pgready.core.planning import Entry, Finding, Severity

_TOKENS = hashlib.sha256(b"").hexdigest()
"""The token checksum (see `core.tokens`) of a text without a token that counts."""

_FILES = frozenset({_TOKENS, hashlib.sha384(b"").hexdigest(), "0"})
"""What is recorded of a file without a byte: its SHA-256, sqlx's SHA-384, Flyway's CRC-32."""


def pending(entry: Entry) -> Finding:
    """What is said of *entry*, of which no statement is to be run."""
    path = entry.migration.script.path if entry.migration else entry.version
    message = f"{path}: no statement in it applies {entry.version}: nothing runs, and it is recorded"
    hint = (
        "fill it in before, for what is written into it afterwards does not run; or leave it empty on purpose"
    )
    return Finding(Severity.WARNING, entry.version, None, message, hint)


def was_blank(applied: Applied) -> bool:
    """Whether the file was recorded without a statement; where nothing tells, it had some."""
    if applied.token_checksum is not None:
        return applied.token_checksum == _TOKENS
    return applied.checksum in _FILES
