"""What pgready needs to know of a migration tool, in one place: layout, history, checksum, lock key.

A dialect never touches a file, a connection or the environment. What a method returns as SQL is one
statement, is run by `database.history`, `running.apply` or a command, and qualifies every name, so that no
search_path decides what it means. A dialect's own history keeps its versions; repeatables and bootstrap
scripts, which most tools do not know, are kept by `native.Native` for all of them (a dialect with
repeatables of its own says so: `keeps`).

What the others need of it, so that a dialect is one file:

- *up* needs `read`, `select_history`, `match`, `create_history`, `recorded` and `record`;
- *repair* needs `accept` (the row now says: applied, as the file is) and `forget` (the row is gone, as the
  tool's own way back would leave it);
- *down* needs `Migration.revert` from `read`, and `forget` for the record;
- *adopt* needs `match`; *eject* needs `create_history`, and for each migration in order `record`, and
  `backdate` where the history says when it was;
- *new* needs `draft`, or `generator` where only the tool itself can write its files;
- *status* and *plan* show `differences`, and that a dialect is not `proven`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from msgspec import Struct

from pgready.core.model import Applied, Folder, Kind, Migration, Outcome, Row, SourceFile, TableName
from pgready.dialects import versions


def is_sql(path: str) -> bool:
    """Whether *path* is a script; `X.SQL` is one too, lest it be skipped in silence."""
    return path.lower().endswith(".sql")


class Surroundings(Struct, frozen=True):
    """What a dialect may know beside its files: our namespace, and for those that put values into scripts,
    the variables, whom and what the target's address names, and the time (`YYYY-MM-DD HH:MM:SS`).
    *table* is what the history table is called where it has not the tool's own name: `name` or
    `schema.name`; *table_from* is where that was said."""

    namespace: str = "default"
    table: str = ""
    table_from: str = "history_table"
    environ: Mapping[str, str] = {}
    user: str = ""
    database: str = ""
    timestamp: str = ""


class Draft(Struct, frozen=True):
    """A migration that is to be written, with nothing in it yet.

    *place* is the folder for it, with a `/` behind, or nothing; *newest* the migration that it stands behind.
    With *down*, what reverts it is written as well, where the tool does not do so anyway.
    """

    place: str
    version: str
    name: str
    down: bool = False
    newest: Migration | None = None

    @property
    def stem(self) -> str:
        """The file's path as most tools have it, without what is behind the name."""
        return f"{self.place}{self.version}_{self.name}"


class Dialect(ABC):
    """Base of all dialects."""

    name: ClassVar[str]

    proven: ClassVar[bool] = True
    """Whether the tool itself has judged this dialect in tests/peers; `status` warns where it has not."""

    differences: ClassVar[tuple[str, ...]] = ()
    """How a run differs from the tool's own, a sentence each; `plan` shows them and docs/ explains them."""

    presumed: ClassVar[bool] = False
    """Whether a folder that fits several dialects is this one's where the database has the history of none;
    without one that is presumed, a person has to say."""

    settings_files: ClassVar[frozenset[str]] = frozenset()
    """The tool's own settings, which `read` is given where they lie beside `migrations/`, too."""

    generator: ClassVar[str] = ""
    """How the tool makes its files, where nobody else can; `{name}` stands for the migration's name."""

    first_version: ClassVar[str] = ""
    """That of the first migration of a folder; nothing for the moment in which it is written."""

    @classmethod
    def made(cls, around: Surroundings) -> Dialect:
        """The dialect as it is in *around*, for those to which that matters."""
        return cls()

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether the tool takes a file of that *path* for its own wherever it lies, even in `checks/`."""
        return False

    @property
    @abstractmethod
    def table(self) -> TableName:
        """The history table."""

    @property
    def identity(self) -> str:
        """The history's name in our journal: one journal serves all."""
        return str(self.table)

    def settle(self, schema: str) -> None:  # noqa: B027 (most tools have a place of their own)
        """Told after connecting, before any SQL is asked for: the schema in which a session creates tables.

        It is where tools that do not qualify their history table find it (see `InCurrentSchema`).
        """

    def owns(self, columns: frozenset[str]) -> bool:
        """Whether a table with our history's name and these *columns* is this tool's: some share a name."""
        return True

    def keeps(self, migration: Migration) -> bool:
        """Whether the history holds *migration*; what it does not hold is recorded in ours."""
        return migration.kind is Kind.VERSIONED

    @abstractmethod
    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """The migrations of *files*, in order. Raises FolderError with every problem at once.

        All paths begin with *below* (`migrations/`, or nothing), which is no part of the layout. What
        reverts a migration is its `revert`. No file is skipped in silence: a script that is none of
        the layout's is a problem where it looks like a migration, and in `skipped` where the tool itself
        would pass it over; what is no script is in `ignored`.
        """

    def next_version(self, newest: Migration | None, now: datetime) -> str:
        """The version of a migration that is to run behind *newest*, as it is written in a file's name."""
        if newest is None:
            return self.first_version or versions.written(now, versions.SECONDS)
        return versions.following(self.spelling(newest), now)

    def spelling(self, migration: Migration) -> str:
        """The version of *migration* as its file's name has it."""
        return migration.version

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        """The files of *draft*, first the one that applies it, as the tool itself would write them."""
        up = SourceFile(f"{draft.stem}.sql", b"")
        return (up, SourceFile(f"{draft.stem}.down.sql", b"")) if draft.down else (up,)

    def draft_repeatable(self, name: str, place: str) -> SourceFile:
        """The file of a script that runs whenever it changes: in our side folder, or, for a tool that has
        its own, in *place* as in a Draft."""
        return SourceFile(f"repeatable/{name}.sql", b"")

    @abstractmethod
    def create_history(self) -> str:
        """SQL that creates the history table as the tool itself would, if it is not there."""

    @abstractmethod
    def select_history(self, columns: frozenset[str]) -> str:
        """A query for the history's rows in order; *columns* are those that the table has."""

    @abstractmethod
    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """The rows as the folder's versions; a row that fits no file keeps a version of its own.

        A row of something that failed has `success=False`: nothing is applied until a person resolved it
        (exit 6). A history that holds only the newest version answers for all files up to it.
        """

    @abstractmethod
    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        """One statement that records *migration* as the tool would, in the transaction that applied it.

        It always writes: where the tool updates a row that it made before, somebody may have deleted that.
        """

    @abstractmethod
    def recorded(self, migration: Migration) -> str:
        """A query that returns a row when the history already holds *migration* (for the fence)."""

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        """One UPDATE that sets when *migration*, which `record` has just recorded, was applied, and how long
        that took (None: nobody knows). None where the history keeps neither.
        """
        return None

    def refuses_twice(self, migration: Migration) -> bool:
        """Whether the history's primary key makes a second `record` of *migration* fail."""
        return False

    @abstractmethod
    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        """One UPDATE after which *migration* is recorded as applied, with the file's checksum.

        For `pgready repair`: of a changed file, and with --done of a row that says that it failed: where that
        is an `undo`, it is recorded as taken back. Nothing else is recorded less than before.
        """

    @abstractmethod
    def forget(self, applied: Applied) -> str:
        """One statement after which *applied* is not recorded any more, as the tool's own way back leaves it.

        For `down`, for `repair --not-done` of a failed row, and for a row whose file is gone for good.
        """

    def lock_keys(self, database: str) -> tuple[int, ...]:
        """The advisory lock keys that the tool itself may take, each of them, or none.

        They are held beside ours, in this order. A signed 64-bit number each, as `pg_advisory_lock` reads
        it; the SQL that a tool sends may write it otherwise.
        """
        return ()


class InCurrentSchema(Dialect):
    """A dialect whose tool creates its history, *table_name*, in the session's current schema."""

    table_name: ClassVar[str]

    table_variable: ClassVar[str] = ""
    """The tool's own environment variable that gives its table another name, where there is one."""

    along_search_path: ClassVar[bool] = False
    """Whether the tool finds a table that is there along search_path, wherever it would make one."""

    def __init__(self, table: str = "") -> None:
        """*table* is `name` or `schema.name`; nothing for the tool's own."""
        self._own_schema, _, self._name = table.rpartition(".")
        self._schema = "public"

    @classmethod
    def made(cls, around: Surroundings) -> Dialect:
        return cls(cls.table_in(around))

    @classmethod
    def table_in(cls, around: Surroundings) -> str:
        """What the table is called in *around*, by our setting or by the tool's variable."""
        return around.table or around.environ.get(cls.table_variable, "")

    def settle(self, schema: str) -> None:
        self._schema = schema

    @property
    def sought(self) -> str:
        """The name that the tool looks up along search_path; nothing where it asks one schema alone."""
        return self.table.name if self.along_search_path and not self._own_schema else ""

    @property
    def table(self) -> TableName:
        return TableName(self._own_schema or self._schema, self._name or self.table_name)
