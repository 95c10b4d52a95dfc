"""What pgready needs to know of a migration tool, in one place: layout, history, checksum, lock key.

A dialect is a pure value: it never touches a file or a connection. What a method returns as SQL is run by
`database.history` and `running.apply`. A dialect's own history keeps its versions; repeatables and
bootstrap scripts, which most tools do not know, are kept by `native.Native` for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pgready.core.model import Applied, Folder, Migration, Outcome, Row, SourceFile, TableName


def is_sql(path: str) -> bool:
    """Whether *path* is a script; `X.SQL` is one too, lest it be skipped in silence."""
    return path.lower().endswith(".sql")


class Dialect(ABC):
    """Base of all dialects."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def table(self) -> TableName:
        """The history table."""

    @property
    def identity(self) -> str:
        """The history's name in our journal: one journal serves all."""
        return str(self.table)

    @classmethod
    @abstractmethod
    def proof(cls, paths: Sequence[str]) -> str | None:
        """Why a folder with these *paths* (as the layout knows them) is this tool's, or None."""

    @abstractmethod
    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """The migrations of *files*, in order. Raises FolderError with every problem at once.

        All paths begin with *below* (`migrations/`, or nothing), which is no part of the layout.
        """

    @abstractmethod
    def create_history(self) -> str:
        """SQL that creates the history table as the tool itself would, if it is not there."""

    @abstractmethod
    def select_history(self, columns: frozenset[str]) -> str:
        """A query for the history's rows in order; *columns* are those that the table has."""

    @abstractmethod
    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """The rows as the folder's versions; a row that fits no file keeps a version of its own."""

    @abstractmethod
    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        """One INSERT that records *migration* as the tool would; runs in the transaction that applied it."""

    @abstractmethod
    def recorded(self, migration: Migration) -> str:
        """A query that returns a row when the history already holds *migration* (for the fence)."""

    @abstractmethod
    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        """One UPDATE that makes the recorded checksum the file's (`pgready repair`)."""

    @abstractmethod
    def forget(self, applied: Applied) -> str:
        """One DELETE of the row *applied*, whose file is gone for good (`pgready repair`)."""

    def lock_key(self, database: str) -> int | None:
        """The advisory lock key that the tool itself takes, or None."""
        return None
