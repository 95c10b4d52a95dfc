"""The words of pgready as values: files, scripts, migrations, what a history recorded.

All are frozen msgspec structs: as readable as dataclasses, but defining forty of them costs under a
millisecond of start-up where forty dataclasses cost eighteen, and msgspec renders them as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct


class SourceFile(Struct, frozen=True):
    """One file of the migration folder: its path below the folder (with `/`) and its bytes."""

    path: str
    data: bytes


class FileMark(Struct, frozen=True):
    """What tells that a file changed, without reading it."""

    path: str
    size_bytes: int
    modified_ns: int
    inode: int


class Kind(Enum):
    """What sort of script a migration is, and so when it runs."""

    VERSIONED = "versioned"  # once
    REPEATABLE = "repeatable"  # again whenever its content changes
    BOOTSTRAP = "bootstrap"  # before the migrations, again whenever its content changes


class Unrunnable(Struct, frozen=True):
    """Why a script cannot be run: *what* stands at *offset* of its text, and the cure."""

    what: str
    hint: str
    offset: int = 0


class Script(Struct, frozen=True):
    """SQL text to run and where it came from.

    *first_line* is the line of *path* on which *text* starts (a peer's file may hold up and down scripts).
    *separator* is a literal that also ends statements (Drizzle's breakpoint). *transactional* is False
    where the dialect's own marker asks for no transaction.

    Where *text* had variables replaced, *written* is what the file says, line by line the same, and *values*
    are what was put in: people are shown the one and never the others, which may be secrets.

    *unrunnable* is said when the script is to be run, and not before: a history may hold what we could
    not run again.
    """

    path: str
    text: str
    first_line: int = 1
    separator: str | None = None
    transactional: bool = True
    written: str | None = None
    values: tuple[str, ...] = ()
    unrunnable: Unrunnable | None = None

    @property
    def shown(self) -> str:
        """The text as people may see it."""
        return self.text if self.written is None else self.written


class Migration(Struct, frozen=True):
    """One version with its script.

    *version* identifies it in commands, URLs and the history. *checksum* is what its dialect records, as
    text. *stamp* is a dialect's own number for it, where it has one (Drizzle: `when`, in ms).
    """

    version: str
    name: str
    script: Script
    checksum: str
    kind: Kind = Kind.VERSIONED
    revert: Script | None = None
    stamp: int | None = None


class Folder(Struct, frozen=True):
    """A migration folder as its dialect read it, everything in the order in which it runs.

    *ignored* lists the paths that were seen and are no scripts (README.md, …), for `config --files`.
    *skipped* lists scripts that the folder's own tool never looks at: they are warned of.
    *candidates* are the dialects that the folder fits alike, *dialect* among them, where nothing in it proves
    one and nobody named one: a history table in the database decides.
    """

    dialect: str
    migrations: tuple[Migration, ...] = ()
    repeatables: tuple[Migration, ...] = ()
    bootstrap: tuple[Migration, ...] = ()
    checks: tuple[Script, ...] = ()
    ignored: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


class Applied(Struct, frozen=True):
    """One row of a history, matched to a version of the folder where one fits.

    *checksum* is as recorded; None where the dialect keeps none. *token_checksum* is the native
    history's second checksum (see `core.tokens`). *success* is False for a peer's failed row; *undo*: what
    failed was to take the version back. *stamp* is the migration's (see Migration) as recorded: it orders
    rows that fit no file.
    """

    version: str
    name: str = ""
    kind: Kind = Kind.VERSIONED
    checksum: str | None = None
    token_checksum: str | None = None
    applied_at: datetime | None = None
    duration_ms: int | None = None
    applied_by: str | None = None
    success: bool = True
    undo: bool = False
    stamp: int | None = None


class SegmentState(Enum):
    """What the journal says of a segment."""

    STARTED = "started"
    DONE = "done"


class JournalRow(Struct, frozen=True):
    """One row of `pgready.journal`: segment *segment* (from 0) of a migration that is not complete yet.

    *checksum* is the segment's own, so that a file edited behind its done segments is noticed. *duration_ms*
    is None where nobody knows it. *recorded_at*, as the server writes it, tells this row from a later one.
    """

    kind: Kind
    version: str
    segment: int
    state: SegmentState
    checksum: str
    duration_ms: int | None = None
    recorded_at: str = ""


TAKING_BACK = -1
"""The journal's segment that says: a `down` has begun with what it runs outside a transaction."""


class History(Struct, frozen=True):
    """What the target says was applied: the dialect's rows, matched, and the journal of unfinished ones.

    *taken_back* are the versions of which a `down` has begun and not ended.
    """

    exists: bool
    applied: tuple[Applied, ...] = ()
    journal: tuple[JournalRow, ...] = ()
    taken_back: tuple[str, ...] = ()


class TableName(Struct, frozen=True):
    """A table's schema and name, unquoted."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class Outcome(Struct, frozen=True):
    """What is recorded about a migration beside itself when its last segment commits.

    *earlier_ms* is what its earlier segments took; the server adds the time of the recording transaction.
    It is None where nobody knows how long all of it took.
    """

    segments: int
    token_checksum: str | None
    applied_by: str
    pgready_version: str
    earlier_ms: int | None = 0


class LockHolder(Struct, frozen=True):
    """Who holds a lock that we wait for, as `pg_stat_activity` shows it.

    A prepared transaction has no backend any more: its *pid* is 0, its *application_name* names it.
    """

    pid: int
    application_name: str = ""
    client: str = ""
    since: datetime | None = None
    state: str = ""
    query: str = ""

    @property
    def label(self) -> str:
        return f"pid {self.pid}" if self.pid else self.application_name


class Operation(Struct, frozen=True):
    """What the server says of a command that it reports on (`pg_stat_progress_*`), such as CREATE INDEX.

    *done* of *total* count in *unit* and start anew with each *phase*; a *total* of 0 is not known.
    """

    command: str
    phase: str
    relation: str = ""
    done: int = 0
    total: int = 0
    unit: str = "blocks"


Row = Mapping[str, Any]
"""A database row by column name."""
