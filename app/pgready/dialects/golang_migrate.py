"""golang-migrate's folders and history, as its PostgreSQL drivers read and write them.

`<number>_<title>.up.sql` and `.down.sql`; either may be missing. The history is one row, `version, dirty`:
all files up to the version count as applied, so a file that a merge puts below it can never be told from
one that was applied. The row is dirty while something runs, and stays so where it failed: golang-migrate
marks the version that it goes to, which for a way down is the one *before* the reverted file.

Its lock key is a CRC-32 of schema, table and database; opened by URL, as its own command does, the
database's name has the URL's slash in front, opened by a program it has not. Both are taken.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from pgready.core.model import Applied, Folder, Migration, Outcome, Row, Script, SourceFile
from pgready.core.quoting import fill
from pgready.dialects.base import Draft, InCurrentSchema, is_sql
from pgready.dialects.layout import TopLevel, both_ways, checksum, empty, number, refuse, spellings
from pgready.dialects.native import read_script

_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<title>.*)\.(?P<way>down|up)\.[^/]*")
_MEANT = re.compile(r"[0-9].*\.sql", re.IGNORECASE)
_SHAPE = "<digits>_<title>.up.sql, or .down.sql to revert it"

_LOCK_SALT = 1486364155

_CREATE = """
CREATE TABLE IF NOT EXISTS :table (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)
"""

_SELECT = "SELECT version, dirty FROM :table ORDER BY version"

_RECORD = """
WITH others AS (DELETE FROM :table WHERE version OPERATOR(pg_catalog.<>) :version)
INSERT INTO :table (version, dirty) VALUES (:version, false)
ON CONFLICT (version) DO UPDATE SET dirty = false
"""

_RECORDED = "SELECT FROM :table WHERE version OPERATOR(pg_catalog.>=) :version"

_GO_BACK = """
UPDATE :table SET version = :previous, dirty = false WHERE version OPERATOR(pg_catalog.=) :version
"""

_EMPTY = "DELETE FROM :table WHERE version OPERATOR(pg_catalog.<=) :version"


class GolangMigrate(InCurrentSchema):
    """The layout and history of golang-migrate."""

    name: ClassVar[str] = "golang-migrate"
    table_name: ClassVar[str] = "schema_migrations"
    differences: ClassVar[tuple[str, ...]] = (
        "a file is applied together with its row or not at all, so no failure and no killed pod leaves the "
        "row dirty; golang-migrate marks it dirty before each file",
        "a file with a number below the newest applied one counts as applied: the history keeps one number",
        "a row newer than every file is a warning (--ahead); golang-migrate refuses to run",
    )

    def __init__(self, table: str = "") -> None:
        super().__init__(table)
        self._numbers: list[int] = []

    def owns(self, columns: frozenset[str]) -> bool:
        return {"version", "dirty"} <= columns

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """Both ways of each number, by number. A script of another name that begins with a digit is an error.

        A number that has only a way down is a version that does nothing, as golang-migrate takes it.
        """
        reading = _Reading()
        top = TopLevel(files, below)
        for name, file in top:
            reading.take(name, file)
        migrations = reading.migrations()
        self._numbers = [int(migration.version) for migration in migrations]
        return Folder(
            self.name,
            migrations=migrations,
            ignored=(*top.ignored, *reading.ignored),
            skipped=(*top.skipped, *reading.skipped),
        )

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        return both_ways(draft)

    def create_history(self) -> str:
        return fill(_CREATE, table=self.table)

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """Every file up to the row's version; the version itself, where it is dirty or has no file."""
        if not rows:
            return ()
        newest: int = rows[-1]["version"]
        dirty: bool = rows[-1]["dirty"]
        files = spellings(folder.migrations)
        if newest < 0 and files:  # on the way down from the first, which golang-migrate writes as -1
            newest = next(iter(files))
        done = (each for at, each in files.items() if at < newest or (at == newest and not dirty))
        applied = [Applied(each.version, each.name) for each in done]
        if dirty or newest not in files:
            file = files.get(newest)
            version, name = (file.version, file.name) if file else (str(newest), "")
            applied.append(Applied(version, name, success=not dirty))
        return tuple(applied)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        return self._of(_RECORD, migration)

    def recorded(self, migration: Migration) -> str:
        return self._of(_RECORDED, migration)

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return self._of(_RECORD, migration)

    def forget(self, applied: Applied) -> str:
        """Back to the version of the file before, as `migrate down 1` leaves it."""
        version = int(applied.version)
        before = bisect_left(self._numbers, version)
        if before == 0:
            return fill(_EMPTY, table=self.table, version=version)
        return fill(_GO_BACK, table=self.table, version=version, previous=self._numbers[before - 1])

    def lock_keys(self, database: str) -> tuple[int, ...]:
        return tuple(self._lock_key(name) for name in (f"/{database}", database))

    def _lock_key(self, database: str) -> int:
        names = "\0".join((self.table.schema, self.table.name, database))
        return zlib.crc32(names.encode()) * _LOCK_SALT % 2**32

    def _of(self, template: str, migration: Migration) -> str:
        return fill(template, table=self.table, version=int(migration.version))


class _Reading:
    """A folder on its way to being understood; collects every problem."""

    def __init__(self) -> None:
        self.ignored: list[str] = []
        self.skipped: list[str] = []
        self._problems: list[str] = []
        self._ups: dict[int, Migration] = {}
        self._downs: dict[int, Migration] = {}

    def take(self, name: str, file: SourceFile) -> None:
        match = _NAME.fullmatch(name)
        version = number(match["version"]) if match else None
        if match is None:
            self._pass_over(name, file.path)
        elif version is None:
            self._problems.append(f"{file.path}: its number is greater than the history's bigint can hold")
        else:
            self._keep(match, version, file)

    def _keep(self, match: re.Match[str], version: int, file: SourceFile) -> None:
        ways = self._ups if match["way"] == "up" else self._downs
        if version in ways:
            other = ways[version].script.path
            self._problems.append(f"{file.path}: has the version of {other}, {match['version']}")
            return
        script = read_script(file, self._problems)
        ways[version] = Migration(match["version"], match["title"], script, checksum(file))

    def _pass_over(self, name: str, path: str) -> None:
        if _MEANT.fullmatch(name):
            self._problems.append(f"{path}: not a migration's name; it is {_SHAPE}")
        else:
            (self.skipped if is_sql(name) else self.ignored).append(path)

    def migrations(self) -> tuple[Migration, ...]:
        """What was read. Raises FolderError."""
        refuse(self._problems)
        return tuple(self._both_ways(version) for version in sorted(self._ups.keys() | self._downs.keys()))

    def _both_ways(self, version: int) -> Migration:
        up, down = self._ups.get(version), self._downs.get(version)
        revert: Script | None = down.script if down else None
        if up is None:
            assert down is not None, "a number stands in one of the two"
            return Migration(
                down.version, down.name, empty(down.script.path), down.checksum, revert=down.script
            )
        return Migration(up.version, up.name, up.script, up.checksum, revert=revert)
