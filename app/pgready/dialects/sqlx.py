"""sqlx's folders and history, as sqlx 0.9 (its library and sqlx-cli) reads and writes them.

`<number>_<description>.sql`, or `.up.sql` and `.down.sql`. A file that begins with `-- no-transaction`, to
the letter, opts out of the transaction. A row holds the SHA-384 of the whole file, the description with
blanks for `_`, and how long it took in nanoseconds. Other releases compare every checksum, so a changed
file stops them, too.

The library's lock key is made from the database's name; sqlx-cli takes no lock.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from msgspec.structs import replace

from pgready.core.model import Applied, Folder, Migration, Outcome, Row, Script, SourceFile
from pgready.core.quoting import fill
from pgready.dialects.base import Draft, InCurrentSchema, is_sql
from pgready.dialects.layout import TopLevel, both_ways, number, refuse, spellings
from pgready.dialects.native import read_script

_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>.*?)(?P<way>\.up|\.down)?\.sql")
_SHAPE = "<digits>_<description>.sql, or .up.sql and .down.sql"
_NO_TRANSACTION = "-- no-transaction"

_LOCK_SALT = 0x3D32AD9E

_CREATE = """
CREATE TABLE IF NOT EXISTS :table (
    version bigint PRIMARY KEY,
    description pg_catalog.text NOT NULL,
    installed_on timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
    success boolean NOT NULL,
    checksum pg_catalog.bytea NOT NULL,
    execution_time bigint NOT NULL
)
"""

_SELECT = """
SELECT version, description, installed_on, success, pg_catalog.encode(checksum, 'hex') AS checksum,
       execution_time
FROM :table ORDER BY version
"""

_RECORD = """
INSERT INTO :table (version, description, success, checksum, execution_time)
VALUES (:version, :description, true, pg_catalog.decode(:checksum, 'hex'),
        COALESCE(pg_catalog.round(1000000000 OPERATOR(pg_catalog.*) (
            :earlier_ms OPERATOR(pg_catalog./) 1000.0
            OPERATOR(pg_catalog.+) extract(epoch FROM pg_catalog.clock_timestamp()
                                                      OPERATOR(pg_catalog.-) pg_catalog.now()))), -1))
"""

_ITS_ROW = " WHERE version OPERATOR(pg_catalog.=) :version"

_RECORDED = "SELECT FROM :table" + _ITS_ROW

_BACKDATE = (
    "UPDATE :table SET installed_on = :applied_at,"
    " execution_time = COALESCE(CAST(:took_ms AS bigint) OPERATOR(pg_catalog.*) 1000000, -1)" + _ITS_ROW
)

_ACCEPT = "UPDATE :table SET success = true, checksum = pg_catalog.decode(:checksum, 'hex')" + _ITS_ROW

_FORGET = "DELETE FROM :table" + _ITS_ROW


class Sqlx(InCurrentSchema):
    """The layout and history of sqlx."""

    name: ClassVar[str] = "sqlx"
    table_name: ClassVar[str] = "_sqlx_migrations"
    differences: ClassVar[tuple[str, ...]] = (
        "a lock keeps replicas apart, and the library's own is taken; sqlx-cli takes none",
        "a file below the newest applied one is applied with a warning, as sqlx does without one",
        "applied versions newer than every file are a warning (--ahead); sqlx refuses to run",
    )

    def owns(self, columns: frozenset[str]) -> bool:
        return {"version", "success", "checksum"} <= columns

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """Each number's file or pair of files, by number. A script of another name with a `_` is an error."""
        problems: list[str] = []
        ups: dict[int, Migration] = {}
        downs: dict[int, Script] = {}
        top = TopLevel(files, below)
        for name, file in top:
            match = _NAME.fullmatch(name)
            version = number(match["version"]) if match else None
            if match is None or version is None:
                _pass_over(name, file.path, top, problems)
                continue
            other = downs.get(version) if match["way"] == ".down" else _script(ups.get(version))
            if other is not None:
                problems.append(f"{file.path}: has the version of {other.path}, {version}")
            elif match["way"] == ".down":
                downs[version] = _read(file, problems)
            else:
                digest = hashlib.sha384(file.data).hexdigest()
                ups[version] = Migration(match["version"], match["name"], _read(file, problems), digest)
        problems += [
            f"{downs[at].path}: reverts a version that has no file"
            for at in sorted(downs.keys() - ups.keys())
        ]
        refuse(problems)
        migrations = tuple(replace(up, revert=downs.get(at)) for at, up in sorted(ups.items()))
        return Folder(self.name, migrations, ignored=tuple(top.ignored), skipped=tuple(top.skipped))

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        """A pair where one is asked for or the newest is one, as sqlx-cli goes by the newest."""
        paired = draft.newest is not None and draft.newest.script.path.endswith(".up.sql")
        return both_ways(draft) if draft.down or paired else super().draft(draft)

    def create_history(self) -> str:
        return fill(_CREATE, table=self.table)

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        files = spellings(folder.migrations)
        return tuple(_applied(row, files.get(row["version"])) for row in rows)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        return fill(
            _RECORD,
            table=self.table,
            version=int(migration.version),
            description=migration.name.replace("_", " "),
            checksum=migration.checksum,
            earlier_ms=outcome.earlier_ms,
        )

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        version = int(migration.version)
        return fill(_BACKDATE, table=self.table, version=version, applied_at=applied_at, took_ms=took_ms)

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, table=self.table, version=int(migration.version))

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return fill(_ACCEPT, table=self.table, version=int(migration.version), checksum=migration.checksum)

    def forget(self, applied: Applied) -> str:
        return fill(_FORGET, table=self.table, version=int(applied.version))

    def lock_keys(self, database: str) -> tuple[int, ...]:
        return (_LOCK_SALT * zlib.crc32(database.encode()),)


def _pass_over(name: str, path: str, top: TopLevel, problems: list[str]) -> None:
    """sqlx passes over what has no `_`, and refuses whatever else is no number."""
    if is_sql(name) and ("_" in name or name[0].isdigit()):
        problems.append(f"{path}: not a migration's name; it is {_SHAPE}")
    else:
        (top.skipped if is_sql(name) else top.ignored).append(path)


def _read(file: SourceFile, problems: list[str]) -> Script:
    script = read_script(file, problems)
    return replace(script, transactional=not script.text.startswith(_NO_TRANSACTION))


def _script(migration: Migration | None) -> Script | None:
    return None if migration is None else migration.script


def _applied(row: Row, migration: Migration | None) -> Applied:
    took: int = row["execution_time"]
    return Applied(
        version=migration.version if migration else str(row["version"]),
        name=migration.name if migration else row["description"],
        checksum=row["checksum"],
        applied_at=row["installed_on"],
        duration_ms=took // 1_000_000 if took >= 0 else None,  # -1 until sqlx has measured it
        success=row["success"],
    )
