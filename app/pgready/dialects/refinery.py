"""refinery's folders and history, as refinery 0.10 (its library and its command) reads and writes them.

`V<number>__<name>.sql`, in any folder below, in the order of the numbers. `U` for `V` says that the file may
be merged below the newest; here any may. There is no way back, and no marker of any kind. Migrations in Rust
are built into programs: they are known, and never run here.

A row's checksum is a SipHash of name, number and text, in which the number is as wide as the history's
column: four bytes, or eight where refinery was built with `int8-versions`. What is written follows the table
that is there, a new one is as wide as the folder's numbers need, and either checksum is taken for the file's.

refinery takes no lock, and commits a migration's row in a transaction of its own behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from msgspec.structs import replace

from pgready.core.errors import SettingsError
from pgready.core.model import Applied, Folder, Migration, Outcome, Row, Script, SourceFile, Unrunnable
from pgready.core.quoting import Sql, fill
from pgready.dialects.base import Draft, InCurrentSchema, is_sql
from pgready.dialects.layout import number, refuse, spellings
from pgready.dialects.native import read_script
from pgready.dialects.siphash import siphash13

_NAME = re.compile(r"[UV](?P<version>[0-9]+)__(?P<name>\w+)\.(?:sql|rs)")
_MEANT = re.compile(r"[uv][._-]?[0-9].*\.(?:sql|rs)", re.IGNORECASE | re.DOTALL)
_SHAPE = "V<number>__<name>.sql, or U<number>__…, with no more than letters, digits and _ in the name"

_PROGRAM = Unrunnable(
    "is a program, which only refinery can run, built into one of yours",
    "let that apply it, then start again; or write it in SQL",
)

_INTEGER_MAX = 2**31 - 1
_NARROW, _WIDE = 4, 8
_TYPES = {_NARROW: Sql("integer"), _WIDE: Sql("bigint")}

_CREATE = """
CREATE TABLE IF NOT EXISTS :table (
    version :type PRIMARY KEY,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255)
)
"""

_SELECT = "SELECT version, name, applied_on, checksum FROM :table ORDER BY version"

# The type of its column, whatever rows there are: a column of an outer join has one without any.
_RECORD = """
INSERT INTO :table (version, name, applied_on, checksum)
SELECT :version, :name,
       pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.clock_timestamp()),
                          'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       CASE WHEN pg_catalog.pg_typeof(h.version) OPERATOR(pg_catalog.=) CAST('bigint' AS pg_catalog.regtype)
            THEN :wide ELSE :narrow END
FROM (SELECT) AS one LEFT JOIN :table AS h ON false
"""

_ITS_ROW = "WHERE version OPERATOR(pg_catalog.=) :version"

_BACKDATE = (
    "UPDATE :table SET applied_on = pg_catalog.to_char(pg_catalog.timezone('UTC',"
    ' CAST(:applied_at AS timestamp with time zone)), \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') ' + _ITS_ROW
)

_RECORDED = "SELECT FROM :table " + _ITS_ROW

_ACCEPT = (
    """
UPDATE :table SET name = :name, checksum =
       CASE WHEN pg_catalog.pg_typeof(version) OPERATOR(pg_catalog.=) CAST('bigint' AS pg_catalog.regtype)
            THEN :wide ELSE :narrow END
"""
    + _ITS_ROW
)

_FORGET = "DELETE FROM :table " + _ITS_ROW


class Refinery(InCurrentSchema):
    """The layout and history of refinery, SQL files; programs count where they were run already."""

    name: ClassVar[str] = "refinery"
    table_name: ClassVar[str] = "refinery_schema_history"
    first_version: ClassVar[str] = "1"
    differences: ClassVar[tuple[str, ...]] = (
        "a lock keeps replicas apart; refinery takes none",
        "a file is applied together with its row or not at all; refinery commits the row behind it",
        "a version below the newest applied one is applied, with a warning; refinery refuses to run, or "
        "passes over it",
        "a file that changed after it was applied is refused; refinery's command goes on without -d",
        "migrations that are programs are refused where they are pending",
    )

    def __init__(self, table: str = "") -> None:
        super().__init__(table)
        self._bytes = _NARROW

    @classmethod
    def claims(cls, path: str) -> bool:
        """refinery looks for its files in every folder below its own."""
        return _NAME.fullmatch(path.rpartition("/")[2]) is not None

    def owns(self, columns: frozenset[str]) -> bool:
        return {"version", "name", "applied_on", "checksum"} <= columns

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """All folders below, by number. A file whose name is nearly a migration's is an error."""
        reading = _Reading()
        for file in files:
            reading.take(file)
        self._bytes = reading.bytes_of_a_number
        return Folder(
            self.name,
            migrations=reading.migrations(),
            ignored=tuple(reading.ignored),
            skipped=tuple(reading.skipped),
        )

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        """Raises SettingsError where it is to have a way back."""
        if draft.down:
            raise SettingsError(
                ("refinery has no way back, so there is no file for one",), hint="leave out --down"
            )
        return (SourceFile(f"{draft.place}V{draft.version}__{draft.name}.sql", b""),)

    def create_history(self) -> str:
        return fill(_CREATE, table=self.table, type=_TYPES[self._bytes])

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        files = spellings(folder.migrations)
        return tuple(_applied(row, files.get(row["version"])) for row in rows)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        return self._of(_RECORD, migration)

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        return fill(_BACKDATE, table=self.table, version=int(migration.version), applied_at=applied_at)

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, table=self.table, version=int(migration.version))

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return self._of(_ACCEPT, migration)

    def forget(self, applied: Applied) -> str:
        return fill(_FORGET, table=self.table, version=int(applied.version))

    def _of(self, template: str, migration: Migration) -> str:
        return fill(
            template,
            table=self.table,
            version=int(migration.version),
            name=migration.name,
            narrow=migration.checksum,
            wide=_wide(migration),
        )


class _Reading:
    """A folder on its way to being understood; collects every problem."""

    def __init__(self) -> None:
        self.ignored: list[str] = []
        self.skipped: list[str] = []
        self._problems: list[str] = []
        self._found: dict[int, tuple[str, str, Script]] = {}

    def take(self, file: SourceFile) -> None:
        name = file.path.rpartition("/")[2]
        match = _NAME.fullmatch(name)
        version = number(match["version"]) if match else None
        if match is None:
            self._pass_over(name, file.path)
        elif version is None:
            self._problems.append(f"{file.path}: its number is greater than the history's bigint can hold")
        elif version in self._found:
            other = self._found[version][2].path
            self._problems.append(f"{file.path}: has the version of {other}, {match['version']}")
        elif is_sql(name):
            self._found[version] = match["version"], match["name"], read_script(file, self._problems)
        else:
            self._found[version] = match["version"], match["name"], Script(file.path, "", unrunnable=_PROGRAM)

    def _pass_over(self, name: str, path: str) -> None:
        if _MEANT.fullmatch(name):
            self._problems.append(f"{path}: not a migration's name; it is {_SHAPE}")
        else:
            (self.skipped if is_sql(name) else self.ignored).append(path)

    @property
    def bytes_of_a_number(self) -> int:
        return _WIDE if max(self._found, default=0) > _INTEGER_MAX else _NARROW

    def migrations(self) -> tuple[Migration, ...]:
        """What was read, by number. Raises FolderError."""
        refuse(self._problems)
        wide = self.bytes_of_a_number
        return tuple(
            Migration(version, name, script, _checksum(version, name, script, wide))
            for _, (version, name, script) in sorted(self._found.items())
        )


def _applied(row: Row, migration: Migration | None) -> Applied:
    version: int = row["version"]
    applied = Applied(
        str(version), row["name"] or "", checksum=row["checksum"] or "", applied_at=_moment(row)
    )
    if migration is None:
        return applied
    checksum = applied.checksum
    if migration.script.unrunnable is not None:
        checksum = None  # of what the program returned
    elif checksum != migration.checksum and checksum == _wide(migration):
        checksum = migration.checksum
    return replace(applied, version=migration.version, name=migration.name, checksum=checksum)


def _moment(row: Row) -> datetime | None:
    """When a row was written, in a form that refinery can read, or somebody put in something else."""
    try:
        return datetime.fromisoformat(row["applied_on"] or "")
    except ValueError:
        return None


def _wide(migration: Migration) -> str:
    return _checksum(migration.version, migration.name, migration.script, _WIDE)


def _checksum(version: str, name: str, script: Script, bytes_of_a_number: int) -> str:
    """Rust's hash of a text, an integer and a text."""
    digits = int(version).to_bytes(bytes_of_a_number, "little")
    return str(siphash13(b"%b\xff%b%b\xff" % (name.encode(), digits, script.text.encode())))
