"""A script as what is sent to the server: segments, and the statements in them.

See DESIGN 3 "Apply". A *transaction* segment is committed together with its record; COPY data inside it
travels through the copy protocol in the same transaction. A *single* is one statement that cannot run in
a transaction.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class SegmentKind(Enum):
    TRANSACTION = "transaction"
    SINGLE = "single"


class Statement(Struct, frozen=True):
    """One statement: *start* and *end* are character offsets into the script's text (no `;`).

    *copy_data*, for `COPY … FROM STDIN`, is the offsets of its data lines (without the `\\.`).
    """

    start: int
    end: int
    copy_data: tuple[int, int] | None = None


class Single(Enum):
    """Statements that cannot run in a transaction, by how a crash in the middle is resolved."""

    CREATE_INDEX = "create index concurrently"
    DROP_INDEX = "drop index concurrently"
    DETACH_PARTITION = "detach partition concurrently"
    CREATE_DATABASE = "create database"
    DROP_DATABASE = "drop database"
    REPEATABLE = "may simply run again"  # VACUUM, REINDEX, REFRESH, CLUSTER, ALTER SYSTEM, ANALYZE
    UNKNOWN = "no probe can tell"


class Segment(Struct, frozen=True):
    """Statements that are sent under one rule. *checksum* is hex SHA-256 of their text.

    For a SINGLE, *single* tells how to probe it and *target* is the quoted, as far as written qualified
    name that the probe looks for (index, partition, database); None where there is none.
    """

    kind: SegmentKind
    statements: tuple[Statement, ...]
    checksum: str
    single: Single | None = None
    target: str | None = None


class CompiledScript(Struct, frozen=True):
    """A script ready to run. *token_checksum* is None where it could not be scanned or is too large.

    *stepwise* is True where the script must be sent a statement at a time because one of its statements
    changes how the next is read (`SET standard_conforming_strings`).
    """

    segments: tuple[Segment, ...]
    token_checksum: str | None
    stepwise: bool = False
