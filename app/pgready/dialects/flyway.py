"""Flyway's folders and history, as its community edition reads and writes them.

The history is a log: `installed_rank` grows, and what a version's or a repeatable's newest row says counts.
A row `BASELINE` or `SQL_BASELINE` stands for all versions up to its own. `DELETE` (Flyway's own repair) and
`UNDO_SQL` (its paid editions) take back what stands above them.

Flyway skips a version below the newest in silence, unless `outOfOrder` is set; here it is applied, and
Flyway then shows it as out of order. Its lock is taken for each migration, and polled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from msgspec.structs import replace

from pgready.core.errors import Diverged, FolderError, SettingsError
from pgready.core.model import Applied, Folder, Kind, Migration, Outcome, Row, SourceFile, TableName
from pgready.core.quoting import Name, fill, table
from pgready.dialects import flyway_settings
from pgready.dialects.base import Dialect, Draft, Surroundings
from pgready.dialects.flyway_layout import ASSUMED_SCHEMA, Layout, Number, number_of, spelling

_LOCK_MAGIC = 77_431_708_279_161  # "Flyway" as bytes

_CREATE = """
CREATE TABLE IF NOT EXISTS :table (
    installed_rank integer NOT NULL,
    version character varying(50),
    description character varying(200) NOT NULL,
    type character varying(20) NOT NULL,
    script character varying(1000) NOT NULL,
    checksum integer,
    installed_by character varying(100) NOT NULL,
    installed_on timestamp NOT NULL DEFAULT pg_catalog.now(),
    execution_time integer NOT NULL,
    success boolean NOT NULL,
    CONSTRAINT :key PRIMARY KEY (installed_rank)
);
CREATE INDEX IF NOT EXISTS :index ON :table (success)
"""

_SELECT = """
SELECT installed_rank, version, description, type, checksum, installed_by,
       CAST(installed_on AS timestamp with time zone) AS installed_on, execution_time, success
FROM :table ORDER BY installed_rank
"""

_RECORD = """
INSERT INTO :table (installed_rank, version, description, type, script, checksum, installed_by,
                    execution_time, success)
SELECT COALESCE(pg_catalog.max(installed_rank), 0) OPERATOR(pg_catalog.+) 1, :version, :description, :type,
       :script, :checksum, current_user,
       COALESCE(:earlier_ms OPERATOR(pg_catalog.+) pg_catalog.round(1000 OPERATOR(pg_catalog.*) extract(
           epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.now())), 0),
       true
FROM :table
"""

# The newest row is the one that was just recorded.
_BACKDATE = """
UPDATE :table SET installed_on = CAST(CAST(:applied_at AS timestamp with time zone) AS timestamp),
    execution_time = COALESCE(:took_ms, 0)
WHERE installed_rank OPERATOR(pg_catalog.=) (SELECT pg_catalog.max(installed_rank) FROM :table)
"""

# The newest row of a version, or of a repeatable's description, unless it takes back an older one.
_RECORDED = """
SELECT FROM :table AS newest
WHERE success AND type OPERATOR(pg_catalog.<>) ALL (ARRAY['DELETE', 'UNDO_SQL', 'UNDO_SCRIPT', 'UNDO_JDBC'])
 AND COALESCE(version OPERATOR(pg_catalog.=) :version, :version IS NULL AND version IS NULL)
 AND (:version IS NOT NULL
  OR (description OPERATOR(pg_catalog.=) :description AND checksum OPERATOR(pg_catalog.=) :checksum))
 AND (type OPERATOR(pg_catalog.=) 'SQL_BASELINE') OPERATOR(pg_catalog.=) :baseline
 AND NOT EXISTS (
    SELECT FROM :table AS newer
    WHERE newer.installed_rank OPERATOR(pg_catalog.>) newest.installed_rank
     AND COALESCE(newer.version OPERATOR(pg_catalog.=) newest.version,
                  newer.version IS NULL AND newest.version IS NULL
                  AND newer.description OPERATOR(pg_catalog.=) newest.description))
"""

_ACCEPT = """
UPDATE :table SET checksum = :checksum, description = :description, script = :script, success = true
WHERE installed_rank OPERATOR(pg_catalog.=) :rank
"""

_UNDONE = "UPDATE :table SET success = true WHERE installed_rank OPERATOR(pg_catalog.=) :rank"

_FORGET = "DELETE FROM :table WHERE installed_rank OPERATOR(pg_catalog.=) :rank"

# Else an older row would say that the script is applied, in the form that it had for the release before.
_FORGET_REPEATABLE = """
DELETE FROM :table AS older USING :table AS newest
WHERE newest.installed_rank OPERATOR(pg_catalog.=) :rank
 AND older.version IS NULL AND older.description OPERATOR(pg_catalog.=) newest.description
"""

_Key = tuple[Kind, str]


class Flyway(Dialect):
    """Versions, repeatables, undo scripts and baselines; SQL alone."""

    name: ClassVar[str] = "flyway"
    settings_files: ClassVar[frozenset[str]] = frozenset(flyway_settings.FILES)
    first_version: ClassVar[str] = "1"
    presumed: ClassVar[bool] = True
    differences: ClassVar[tuple[str, ...]] = (
        "a version below the newest applied one is applied, with a warning; Flyway skips it in silence",
        "a script whose name is nearly a migration's is refused; Flyway skips it in silence",
        "callbacks of migrate are refused",
        "`down` runs U__ files and deletes the version's row",
    )

    def __init__(self, around: Surroundings | None = None) -> None:
        self._around = around or Surroundings()
        self._layout = Layout(self._around, "")
        self._schema = ASSUMED_SCHEMA
        self._ranks: dict[_Key, int] = {}
        self._failed_undos: set[_Key] = set()

    @classmethod
    def made(cls, around: Surroundings) -> Flyway:
        return cls(around)

    @classmethod
    def claims(cls, path: str) -> bool:
        """Flyway looks for its files in every folder below its own."""
        name = path.rpartition("/")[2]
        return name[:1] in ("V", "R", "U", "B") and "__" in name

    @property
    def table(self) -> TableName:
        return TableName(self._layout.settings.schema or self._schema, self._layout.settings.table)

    def settle(self, schema: str) -> None:
        """Raises SettingsError where Flyway would run the scripts in another schema than *schema*."""
        wanted = self._layout.settings.schema or (ASSUMED_SCHEMA if self._layout.asks_schema else schema)
        if wanted != schema:
            raise SettingsError(
                (f"Flyway's default schema is {wanted}, and this session's is {schema}",),
                hint=f"set FLYWAY_DEFAULT_SCHEMA={schema}, or end the URL with ?search_path={wanted}",
            )
        self._schema = schema

    def keeps(self, migration: Migration) -> bool:
        return (migration.kind, migration.version) in self._layout.places

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """All folders below; `V`, then `R`. Raises FolderError."""
        self._layout = layout = Layout(self._around, below)
        layout.read(files)
        migrations, repeatables = tuple(layout.versioned()), tuple(layout.repeatables())
        if layout.problems:
            raise FolderError(tuple(sorted(layout.problems)), hint="nothing was run")
        return Folder(
            self.name,
            migrations=migrations,
            repeatables=repeatables,
            ignored=tuple(layout.ignored),
            skipped=tuple(layout.skipped),
        )

    def spelling(self, migration: Migration) -> str:
        return spelling(migration.script.path)

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        prefixes = "VU" if draft.down else "V"
        name = f"{draft.version}__{draft.name}.sql"
        return tuple(SourceFile(f"{draft.place}{prefix}{name}", b"") for prefix in prefixes)

    def draft_repeatable(self, name: str, place: str) -> SourceFile:
        return SourceFile(f"{place}R__{name}.sql", b"")

    def create_history(self) -> str:
        name = self.table.name
        return fill(_CREATE, table=self.table, key=Name(f"{name}_pk"), index=Name(f"{name}_s_idx"))

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """The newest rows as versions, and what a baseline stands for (see `_Log`)."""
        log = _Log(rows)
        files = {
            (_is_baseline(each.version), number_of(_digits(each.version))): each for each in folder.migrations
        }
        self._ranks, self._failed_undos = {}, set()
        found = [
            *(self._applied(row, files.get(key), _shown(key, row)) for key, row in log.versions.items()),
            *self._repeated(log, folder),
        ]
        recorded = {each.version for each in found if each.kind is Kind.VERSIONED}
        covered = (
            Applied(each.version, each.name, applied_by="baseline")
            for each in folder.migrations
            if each.version not in recorded and log.stands_for(each.version, folder)
        )
        return (*found, *covered)

    def _repeated(self, log: _Log, folder: Folder) -> Iterator[Applied]:
        files = {
            place.description: each
            for each in folder.repeatables
            if (place := self._layout.places.get((each.kind, each.version)))
        }
        for description, row in log.repeatables.items():
            migration = files.get(description)
            applied = self._applied(row, migration, f"R__{description}", Kind.REPEATABLE)
            # Older Flyways recorded the file as it is, and Flyway takes either for the same.
            if migration and applied.checksum == self._layout.places[migration.kind, migration.version].raw:
                applied = replace(applied, checksum=migration.checksum)
            yield applied

    def _applied(
        self, row: Row, migration: Migration | None, version: str, kind: Kind = Kind.VERSIONED
    ) -> Applied:
        program = "" if row["type"] in ("SQL", "SQL_BASELINE") else f" ({row['type']})"
        version = migration.version if migration else version
        self._ranks[kind, version] = row["installed_rank"]
        undo = _takes_back(row) and not row["success"]
        if undo:
            self._failed_undos.add((kind, version))
        return Applied(
            version=version,
            name=migration.name if migration else f"{row['description']}{program}",
            kind=kind,
            checksum=None if row["checksum"] is None else str(row["checksum"]),
            applied_at=row["installed_on"],
            duration_ms=row["execution_time"],
            applied_by=row["installed_by"],
            success=row["success"],
            undo=undo,
        )

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        baseline = _is_baseline(migration.version)
        return fill(
            _RECORD,
            type="SQL_BASELINE" if baseline else "SQL",
            earlier_ms=outcome.earlier_ms,
            **self._row_of(migration),
        )

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        longest = 2**31 - 1  # its column is an int4: 24 days
        took_ms = took_ms and min(took_ms, longest)
        return fill(_BACKDATE, table=self.table, applied_at=applied_at, took_ms=took_ms)

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, baseline=_is_baseline(migration.version), **self._row_of(migration))

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        key = migration.kind, migration.version
        rank = self._ranks.get(key)
        if key in self._failed_undos:
            return fill(_UNDONE, table=self.table, rank=rank)
        return fill(_ACCEPT, rank=rank, **self._row_of(migration))

    def forget(self, applied: Applied) -> str:
        """Raises Diverged where a baseline stands for it, which has no row for each version."""
        rank = self._ranks.get((applied.kind, applied.version))
        if rank is None:
            raise Diverged(f"{applied.version} has no row of its own: a baseline stands for it")
        all_of_them = applied.kind is Kind.REPEATABLE and applied.success
        return fill(_FORGET_REPEATABLE if all_of_them else _FORGET, table=self.table, rank=rank)

    def lock_keys(self, database: str) -> tuple[int, ...]:
        return (_LOCK_MAGIC + _java_hash(table(self.table)),)

    def _row_of(self, migration: Migration) -> Mapping[str, str | int | TableName | None]:
        place = self._layout.places[migration.kind, migration.version]
        return {
            "table": self.table,
            "version": _digits(migration.version) if migration.kind is Kind.VERSIONED else None,
            "description": place.description,
            "script": place.script,
            "checksum": int(migration.checksum),
        }


class _Log:
    """What a history's rows say in the end: the newest of each, and how far a baseline reaches."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.versions: dict[tuple[bool, Number], Row] = {}
        self.repeatables: dict[str, Row] = {}
        self._baseline: Number | None = None
        self._is_empty = True
        for row in rows:
            if row["type"] != "SCHEMA":
                self._is_empty = False
                self._take(row)

    def _take(self, row: Row) -> None:
        version, kind = row["version"], row["type"]
        takes_back = _takes_back(row)
        if version is None:
            if takes_back:
                self.repeatables.pop(row["description"], None)
            else:
                self.repeatables[row["description"]] = row
            return
        number = number_of(version)
        if kind.endswith("BASELINE") and (self._baseline is None or number > self._baseline):
            self._baseline = number
        if takes_back and row["success"]:
            self.versions.pop((False, number), None)
        elif kind != "BASELINE":
            self.versions[kind == "SQL_BASELINE", number] = row

    def stands_for(self, version: str, folder: Folder) -> bool:
        """Whether *version*, which has no row, is not to be run: a baseline stands for it.

        A baseline migration is for an empty history, and the newest of them alone.
        """
        number = number_of(_digits(version))
        if not self._is_empty:
            return _is_baseline(version) or (self._baseline is not None and number <= self._baseline)
        newest = max(
            (number_of(_digits(each.version)) for each in folder.migrations if _is_baseline(each.version)),
            default=None,
        )
        return newest is not None and (number < newest or (number == newest and not _is_baseline(version)))


def _takes_back(row: Row) -> bool:
    kind: str = row["type"]
    return kind == "DELETE" or kind.startswith("UNDO_")


def _is_baseline(version: str) -> bool:
    return version.startswith("B")


def _digits(version: str) -> str:
    return version.removeprefix("B")


def _shown(key: tuple[bool, Number], row: Row) -> str:
    """A row's version where no file has it."""
    return f"{'B' if key[0] else ''}{row['version']}"


def _java_hash(text: str) -> int:
    """`String.hashCode()` of *text*."""
    value = 0
    units = text.encode("utf-16-be")
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value
