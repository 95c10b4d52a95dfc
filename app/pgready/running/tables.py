"""Where applied migrations are recorded."""

from __future__ import annotations

from pgready.core.model import Applied, Migration, Outcome, TableName
from pgready.dialects.base import Dialect
from pgready.dialects.native import keeper


class Tables:
    """Where applied migrations are recorded: the dialect's history with its *columns*, or ours beside it.

    *keyed*: the dialect's history has its primary key.
    """

    def __init__(self, dialect: Dialect, columns: frozenset[str], *, keyed: bool = False) -> None:
        self._keyed = keyed
        self._dialect = dialect
        self._columns = columns

    def table(self, migration: Migration) -> TableName:
        return keeper(self._dialect, migration).table

    def recorded(self, migration: Migration) -> str:
        return keeper(self._dialect, migration).recorded(migration)

    def record(self, migration: Migration, outcome: Outcome) -> str:
        return keeper(self._dialect, migration).record(migration, outcome, self._columns)

    def forget(self, migration: Migration, applied: Applied) -> str:
        return keeper(self._dialect, migration).forget(applied)

    def refuse_twice(self, migration: Migration) -> bool:
        """Whether a second `record` of *migration* fails."""
        dialect = self._dialect
        return self._keyed and dialect.keeps(migration) and dialect.refuses_twice(migration)
