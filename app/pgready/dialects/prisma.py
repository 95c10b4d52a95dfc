"""Prisma's folders and history, up to 7, as its schema engine reads and writes them.

`<name>/migration.sql`, in the order of the names, which begin with 14 digits (or with `0_`, where there was a
schema before). Prisma's guide puts what reverts into `down.sql` beside it. A checksum is the hex SHA-256 of
the file, with LF or CRLF. A row is finished, rolled back, or failed: then neither time is set, and Prisma
refuses to go on (P3009), as we do.

Prisma 8 keeps programs (`ops.json`): they are refused.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from pgready.core.model import Applied, Folder, Migration, Outcome, Row, SourceFile
from pgready.core.quoting import fill
from pgready.dialects.base import InCurrentSchema, is_sql
from pgready.dialects.layout import refuse
from pgready.dialects.native import read_script

LOCK_KEY = 72_707_369

_LOCK_FILE = "migration_lock.toml"
_PARTS = re.compile(r"(?P<stamp>[0-9]+)_(?P<name>.+)", re.DOTALL)
_PROVIDERS = ("postgresql", "postgres", "cockroachdb")

_CREATE = """
CREATE TABLE IF NOT EXISTS :table (
    id character varying(36) PRIMARY KEY NOT NULL,
    checksum character varying(64) NOT NULL,
    finished_at timestamp with time zone,
    migration_name character varying(255) NOT NULL,
    logs pg_catalog.text,
    rolled_back_at timestamp with time zone,
    started_at timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
    applied_steps_count integer NOT NULL DEFAULT 0
)
"""

_SELECT = """
SELECT checksum, finished_at, migration_name, started_at
FROM :table WHERE rolled_back_at IS NULL ORDER BY started_at
"""

_RECORD = """
INSERT INTO :table (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
VALUES (CAST(pg_catalog.gen_random_uuid() AS pg_catalog.text), :checksum, pg_catalog.clock_timestamp(), :name,
        pg_catalog.now() OPERATOR(pg_catalog.-) (
            interval '1 millisecond' OPERATOR(pg_catalog.*) COALESCE(:earlier_ms, 0)), 1)
"""

_ITS_ROW = """
WHERE migration_name OPERATOR(pg_catalog.=) CAST(:name AS character varying) AND rolled_back_at IS NULL
"""

_RECORDED = "SELECT FROM :table" + _ITS_ROW

_BACKDATE = (
    """
UPDATE :table SET finished_at = :applied_at,
    started_at = CAST(:applied_at AS timestamp with time zone) OPERATOR(pg_catalog.-) (
        interval '1 millisecond' OPERATOR(pg_catalog.*) COALESCE(:took_ms, 0))
"""
    + _ITS_ROW
)

_ACCEPT = (
    "UPDATE :table SET checksum = :checksum, logs = NULL,"
    " finished_at = COALESCE(finished_at, pg_catalog.clock_timestamp())" + _ITS_ROW
)

_FORGET = "UPDATE :table SET rolled_back_at = pg_catalog.clock_timestamp()" + _ITS_ROW

# As `prisma migrate resolve --rolled-back` does: a row that is finished, which may stand beside, says that an
# earlier try went well.
_FORGET_FAILED = _FORGET + " AND finished_at IS NULL"


class Prisma(InCurrentSchema):
    """The layout and history of Prisma Migrate, up to 7."""

    name: ClassVar[str] = "prisma"
    generator: ClassVar[str] = "npx prisma migrate dev --create-only --name {name}"
    table_name: ClassVar[str] = "_prisma_migrations"
    along_search_path: ClassVar[bool] = True  # not quite: without ?schema= it is in public
    differences: ClassVar[tuple[str, ...]] = (
        "each migration is a transaction of its own, with its record; what fails leaves no failed row",
        "a file that changed after it was applied is refused; `migrate deploy` does not look",
        "an applied migration without a file is refused; `migrate deploy` does not mind",
        "`down` runs the migration's down.sql and marks its row as rolled back",
    )

    def __init__(self, table: str = "") -> None:
        super().__init__(table)
        self._names: dict[str, str] = {}  # version → folder
        self._other_ends: dict[str, str] = {}  # version → the checksum with the other line ends

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """The folders by name. Raises FolderError."""
        problems: list[str] = []
        by_path = {file.path.removeprefix(below): file for file in files}
        if lock := by_path.get(_LOCK_FILE):
            problems += _other_database(lock)
        folders = sorted({path.partition("/")[0] for path in by_path if "/" in path}, key=str.encode)
        stamps = Counter(_stamp(folder) for folder in folders)
        self._names, migrations, taken = {}, [], set[str]()
        for folder in folders:
            paths = [f"{folder}/migration.sql", f"{folder}/down.sql"]
            if paths[0] not in by_path:
                problems.append(_without_script(folder, below, by_path))
                continue
            version = _stamp(folder) if stamps[_stamp(folder)] == 1 else folder
            migrations.append(self._migration(version, folder, paths, by_path, problems))
            taken.update(paths)
        refuse(problems)
        others = [file.path for path, file in by_path.items() if path not in taken]
        return Folder(
            self.name,
            migrations=tuple(migrations),
            ignored=tuple(path for path in others if not is_sql(path)),
            skipped=tuple(filter(is_sql, others)),
        )

    def _migration(
        self,
        version: str,
        folder: str,
        paths: Sequence[str],
        by_path: Mapping[str, SourceFile],
        problems: list[str],
    ) -> Migration:
        up, down = by_path[paths[0]], by_path.get(paths[1])
        match = _PARTS.fullmatch(folder)
        self._names[version] = folder
        self._other_ends[version] = _sha256(_other_line_ends(up.data))
        return Migration(
            version,
            match["name"] if match else folder,
            read_script(up, problems),
            _sha256(up.data),
            revert=read_script(down, problems) if down else None,
        )

    def create_history(self) -> str:
        return fill(_CREATE, table=self.table)

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """By folder's name. A checksum of the same text with other line ends is the file's."""
        versions = {name: version for version, name in self._names.items()}
        files = {each.version: each for each in folder.migrations}
        return tuple(self._applied(row, files.get(versions.get(row["migration_name"], ""))) for row in rows)

    def _applied(self, row: Row, migration: Migration | None) -> Applied:
        checksum = row["checksum"]
        if migration and checksum == self._other_ends[migration.version]:
            checksum = migration.checksum
        return Applied(
            version=migration.version if migration else row["migration_name"],
            name=migration.name if migration else "",
            checksum=checksum,
            applied_at=row["finished_at"] or row["started_at"],
            success=row["finished_at"] is not None,
        )

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        return fill(_RECORD, earlier_ms=outcome.earlier_ms, **self._row_of(migration))

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        name = self._names[migration.version]
        return fill(_BACKDATE, table=self.table, name=name, applied_at=applied_at, took_ms=took_ms)

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, **self._row_of(migration))

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return fill(_ACCEPT, **self._row_of(migration))

    def forget(self, applied: Applied) -> str:
        forget = _FORGET if applied.success else _FORGET_FAILED
        return fill(forget, table=self.table, name=self._names.get(applied.version, applied.version))

    def lock_keys(self, database: str) -> tuple[int, ...]:
        return (LOCK_KEY,)

    def _row_of(self, migration: Migration) -> dict[str, Any]:
        name = self._names[migration.version]
        return {"table": self.table, "name": name, "checksum": migration.checksum}


def _stamp(folder: str) -> str:
    match = _PARTS.fullmatch(folder)
    return match["stamp"] if match else folder


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _other_line_ends(data: bytes) -> bytes:
    lines = data.replace(b"\r\n", b"\n")
    return lines if lines != data else data.replace(b"\n", b"\r\n")


def _without_script(folder: str, below: str, by_path: Mapping[str, SourceFile]) -> str:
    if f"{folder}/ops.json" in by_path:
        return f"{below}{folder}/ops.json: is Prisma 8's, a program; pgready runs SQL alone"
    return f"{below}{folder}: has no migration.sql (Prisma: P3015)"


def _other_database(lock: SourceFile) -> list[str]:
    try:
        provider = tomllib.loads(lock.data.decode()).get("provider", "postgresql")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        return [f"{lock.path}: {problem}"]
    return [] if provider in _PROVIDERS else [f"{lock.path}: it is for {provider}, not PostgreSQL"]
