"""Which row of a peer's history belongs to which migration, where no single column always tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from pgready.core.model import Migration, Row


class Pairs:
    """Joins *rows* and *migrations* in passes, the surest key first; what is joined stays joined."""

    def __init__(self, rows: Sequence[Row], migrations: Sequence[Migration]) -> None:
        self._rows = dict(enumerate(rows))
        self._migrations = list(migrations)
        self._joined: dict[int, Migration] = {}

    def migration_of(self, index: int) -> Migration | None:
        return self._joined.get(index)

    def join(
        self,
        row_key: Callable[[Row], Hashable],
        migration_key: Callable[[Migration], Hashable],
        *,
        only_as_many: bool = False,
    ) -> None:
        """Join those with the same key, in order; rows left over (a race wrote one twice) go to the last.

        With *only_as_many*, a key counts only where as many rows as migrations have it. None is no key.
        """
        if not self._rows:
            return
        rows: dict[Hashable, list[int]] = defaultdict(list)
        for index, row in self._rows.items():
            rows[row_key(row)].append(index)
        migrations: dict[Hashable, list[Migration]] = defaultdict(list)
        for migration in self._migrations:
            migrations[migration_key(migration)].append(migration)
        for key in rows.keys() & migrations.keys() - {None}:
            same_rows, same = rows[key], migrations[key]
            if only_as_many and len(same_rows) != len(same):
                continue
            for place, index in enumerate(same_rows):
                self._joined[index] = same[min(place, len(same) - 1)]
        self._forget_joined()

    def _forget_joined(self) -> None:
        taken = {migration.version for migration in self._joined.values()}
        self._rows = {index: row for index, row in self._rows.items() if index not in self._joined}
        self._migrations = [each for each in self._migrations if each.version not in taken]
