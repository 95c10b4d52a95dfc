"""What pgready needs to know of a migration tool, in one place: layout, history, checksum, lock key.

A dialect is a pure value: it never touches a file or a connection. `docs/add-a-dialect.md` walks through
one. What a method returns as SQL is run by `database.history`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from pgready.core.model import Applied, Folder, Migration, Outcome, Row, SourceFile, TableName


class Dialect:
    """Base of all dialects; the defaults are what most tools do."""

    name: ClassVar[str]

    @property
    def table(self) -> TableName:
        """The history table."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """The history's name in our journal: one journal serves all."""
        return str(self.table)

    def proof(self, paths: Collection[str]) -> str | None:
        """Why a folder with these *paths* is this tool's ("meta/_journal.json"), or None."""
        raise NotImplementedError

    def read(self, files: Sequence[SourceFile]) -> Folder:
        """The migrations of *files*, in order. Raises FolderError with every problem at once."""
        raise NotImplementedError

    def create_history(self) -> str:
        """SQL that creates the history table as the tool itself would, if it is not there."""
        raise NotImplementedError

    def select_history(self, columns: frozenset[str]) -> str:
        """A query for the history's rows in order; *columns* are those that the table has."""
        raise NotImplementedError

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """The rows as the folder's versions; a row that fits no file keeps a version of its own."""
        raise NotImplementedError

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        """One INSERT that records *migration* as the tool would; runs in the transaction that applied it."""
        raise NotImplementedError

    def recorded(self, migration: Migration) -> str:
        """A query that returns a row when the history already holds *migration* (for the fence)."""
        raise NotImplementedError

    def lock_key(self, database: str) -> int | None:
        """The advisory lock key that the tool itself takes, or None."""
        return None
