"""Where applied migrations are recorded."""

from __future__ import annotations

from pgready.core.model import Migration, Outcome
from pgready.dialects.base import Dialect
from pgready.dialects.native import Native


class Tables:
    """Where applied migrations are recorded: the dialect's history, ours, and the columns that they have.

    *keyed*: the dialect's history has its primary key.
    """

    def __init__(
        self, dialect: Dialect, native: Native, columns: frozenset[str], *, keyed: bool = False
    ) -> None:
        self._keyed = keyed
        self._dialect = dialect
        self._native = native
        self._columns = columns

    def recorded(self, migration: Migration) -> str:
        return self._keeper(migration).recorded(migration)

    def record(self, migration: Migration, outcome: Outcome) -> str:
        return self._keeper(migration).record(migration, outcome, self._columns)

    def refuse_twice(self, migration: Migration) -> bool:
        """Whether a second `record` of *migration* fails."""
        keeper = self._keeper(migration)
        return self._keyed and keeper is self._dialect and keeper.refuses_twice(migration)

    def _keeper(self, migration: Migration) -> Dialect:
        return self._dialect if self._dialect.keeps(migration) else self._native
