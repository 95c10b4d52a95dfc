"""Drizzle's folders and history, 0.x and 1.0, as drizzle-kit and drizzle-orm read and write them.

0.x keeps `meta/_journal.json`, whose entries name `<tag>.sql`; an entry's `when` (ms) is what its history
row holds as `created_at`. 1.0 keeps `<14 digits>_<name>/migration.sql`, and the row holds the UTC of the
digits and the folder's name. A hash is the hex SHA-256 of the file's text.

Drizzle applies an entry whose `when` is greater than the newest `created_at`, so one merged from an older
branch is skipped in silence; here an entry is applied unless a row is its own. Real folders hold entries
of the same text, so a hash identifies rows only where as many entries as rows are left with it.

A table is used as it is found: rows of 0.x in front of a folder of 1.0 (drizzle-orm 1.0 adds its columns
when it next runs), and rows of 1.0 in front of an older release's folder of 0.x, which get the name that
`drizzle-kit up` would give them, or 1.0 would apply them again.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct

from pgready.core.errors import FolderError
from pgready.core.model import Applied, Folder, Migration, Outcome, Row, Script, SourceFile, TableName
from pgready.core.quoting import create_schema, fill
from pgready.dialects.base import Dialect
from pgready.dialects.native import read_script
from pgready.dialects.pairs import Pairs

BREAKPOINT = "--> statement-breakpoint"
TABLE = TableName("drizzle", "__drizzle_migrations")

_JOURNAL = "meta/_journal.json"
_SCRIPT = "/migration.sql"
_FOLDER = re.compile(r"(?P<stamp>[0-9]{14})_(?P<name>[^/]*)/migration\.sql")
_PAIR = re.compile("..")
_TAG = re.compile(r"(?P<number>[0-9]+)_(?P<name>.+)")

# The same columns and defaults as drizzle-orm's own statement, of which no name asks the search_path.
_CREATE = """
CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (
    id SERIAL PRIMARY KEY,
    hash pg_catalog.text NOT NULL,
    created_at bigint
)
"""

_CREATE_1 = """
CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (
    id SERIAL PRIMARY KEY,
    hash pg_catalog.text NOT NULL,
    created_at bigint,
    name pg_catalog.text,
    applied_at timestamp with time zone DEFAULT pg_catalog.now()
)
"""

_SELECT = "SELECT id, hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id"
_SELECT_1 = "SELECT id, hash, created_at, name, applied_at FROM drizzle.__drizzle_migrations ORDER BY id"

_RECORD = "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (:hash, :created_at)"
_RECORD_1 = """
INSERT INTO drizzle.__drizzle_migrations (hash, created_at, name) VALUES (:hash, :created_at, :name)
"""

# Whether or not the table has a column `name`. What drizzle-kit upgraded from 0.x to 1.0 keeps in its old
# rows the milliseconds that the folder's name lost, hence a span.
_ITS_ROW = """
WHERE created_at OPERATOR(pg_catalog.>=) :first AND created_at OPERATOR(pg_catalog.<=) :last
 AND COALESCE(pg_catalog.to_jsonb(m) OPERATOR(pg_catalog.->>) 'name', :name) OPERATOR(pg_catalog.=) :name
"""

_RECORDED = "SELECT FROM drizzle.__drizzle_migrations AS m" + _ITS_ROW

_ACCEPT = "UPDATE drizzle.__drizzle_migrations AS m SET hash = :hash" + _ITS_ROW

_BACKDATE = "UPDATE drizzle.__drizzle_migrations AS m SET applied_at = :applied_at" + _ITS_ROW

# Two of the same second may have the same text. Their names tell them apart, where rows have one.
_FORGET = """
DELETE FROM drizzle.__drizzle_migrations AS m
WHERE hash OPERATOR(pg_catalog.=) :hash
 AND (created_at OPERATOR(pg_catalog.=) :created_at OR (created_at IS NULL AND :created_at IS NULL))
 AND COALESCE(pg_catalog.to_jsonb(m) OPERATOR(pg_catalog.->>) 'name', :name) OPERATOR(pg_catalog.=) :name
"""


_YEAR_10000_MS = 253_402_300_800_000


class _Entry(Struct, frozen=True):
    idx: int
    when: Annotated[int, Meta(ge=0, lt=_YEAR_10000_MS)]
    tag: str
    breakpoints: bool = True


class _Journal(Struct, frozen=True):
    entries: list[_Entry]
    dialect: str = "postgresql"


class Drizzle(Dialect):
    """One class for both: a folder with a journal is 0.x, one with numbered folders is 1.0."""

    name: ClassVar[str] = "drizzle"
    generator: ClassVar[str] = "npx drizzle-kit generate --custom --name {name}"
    differences: ClassVar[tuple[str, ...]] = (
        "a lock keeps replicas apart; drizzle-kit takes none",
        "each entry is a transaction of its own; drizzle-kit runs all of them in one",
        "an entry merged from an older branch is applied, with a warning; drizzle-kit 0.x skips it",
        "a file that changed after it was applied is refused; drizzle-kit does not compare it",
    )

    def __init__(self) -> None:
        self._is_1 = False
        self._names: dict[str, str] = {}  # version → its folder in 1.0; for 0.x, what drizzle-kit up makes it
        self._recorded: dict[str, str] = {}  # version → the name in its row, where that has one

    @property
    def table(self) -> TableName:
        return TABLE

    @classmethod
    def proof(cls, paths: Sequence[str]) -> str | None:
        """Why a folder with these *paths* is Drizzle's, or None."""
        if _JOURNAL in paths:
            return _JOURNAL
        return next((path for path in paths if _FOLDER.fullmatch(path) and _is_drizzle(path, paths)), None)

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """The journal's entries in their order, or the numbered folders. Raises FolderError."""
        by_path = {file.path.removeprefix(below): file for file in files}
        if _JOURNAL not in by_path:
            return self._read_folders(by_path)
        if both := [file.path for path, file in by_path.items() if _FOLDER.fullmatch(path)]:
            problem = f"{both[0]}: is Drizzle 1.0's, while {_JOURNAL} is 0.x's: neither would run the other's"
            raise FolderError((problem,), hint="bring the folder to one layout: drizzle-kit up")
        return self._read_journal(by_path)

    def _read_journal(self, files: Mapping[str, SourceFile]) -> Folder:
        journal = _decoded(files[_JOURNAL])
        path = files[_JOURNAL].path
        problems = [f"{path}: {problem}" for problem in _contradictions(journal)]
        numbers = Counter(_number(entry.tag) for entry in journal.entries)
        migrations: list[Migration] = []
        for entry in journal.entries:
            file = files.get(f"{entry.tag}.sql")
            if file is None:
                problems.append(f"{path}: entry {entry.idx} names {entry.tag}.sql, which is not there")
                continue
            number = _number(entry.tag)
            version = number if numbers[number] == 1 else entry.tag
            name = entry.tag[len(number) + 1 :] or entry.tag
            migrations.append(_migration(file, version, name, entry.when, problems))
            self._names[version] = f"{_digits(entry.when)}_{entry.tag.partition('_')[2]}"
        _refuse(problems)
        used = {migration.script.path for migration in migrations}
        ignored = tuple(file.path for file in files.values() if file.path not in used)
        return Folder(self.name, migrations=tuple(migrations), ignored=ignored)

    def _read_folders(self, files: Mapping[str, SourceFile]) -> Folder:
        self._is_1 = True
        problems: list[str] = []
        migrations: list[Migration] = []
        scripts = sorted(path for path in files if path.endswith(_SCRIPT))
        numbers = Counter(path[:14] for path in scripts)
        for path in scripts:
            match = _FOLDER.fullmatch(path)
            stamp = _milliseconds(match["stamp"]) if match else None
            if match is None or stamp is None:
                problems.append(f"{files[path].path}: its folder's name does not begin with a date and time")
                continue
            folder = path[: -len(_SCRIPT)]
            version = match["stamp"] if numbers[match["stamp"]] == 1 else folder
            migrations.append(_migration(files[path], version, match["name"], stamp, problems))
            self._names[version] = folder
        if not scripts:
            problems.append(f"neither {_JOURNAL} (Drizzle 0.x) nor <date and time>_<name>{_SCRIPT} (1.0)")
        _refuse(problems)
        ignored = tuple(file.path for path, file in files.items() if not path.endswith(_SCRIPT))
        return Folder(self.name, migrations=tuple(migrations), ignored=ignored)

    def create_history(self) -> str:
        return f"{create_schema(self.table.schema)};{_CREATE_1 if self._is_1 else _CREATE}"

    def select_history(self, columns: frozenset[str]) -> str:
        return _SELECT_1 if {"name", "applied_at"} <= columns else _SELECT

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """The rows as the folder's versions: by name where there is one, by `when`, at last by hash."""
        pairs = Pairs(rows, folder.migrations)
        pairs.join(lambda row: row.get("name"), lambda each: self._names.get(each.version))
        pairs.join(
            lambda row: (self._moment(row["created_at"]), row["hash"]),
            lambda each: (self._moment(each.stamp), each.checksum),
        )
        pairs.join(lambda row: self._moment(row["created_at"]), lambda each: self._moment(each.stamp))
        pairs.join(lambda row: row["hash"], lambda each: each.checksum, only_as_many=True)
        applied = tuple(_applied(row, pairs.migration_of(index)) for index, row in enumerate(rows))
        self._recorded = {
            each.version: row["name"] for each, row in zip(applied, rows, strict=True) if row.get("name")
        }
        return applied

    def _moment(self, stamp: int | None) -> int | None:
        return stamp // 1000 if self._is_1 and stamp is not None else stamp

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        has_name = "name" in columns if columns else self._is_1
        return fill(
            _RECORD_1 if has_name else _RECORD,
            hash=migration.checksum,
            created_at=migration.stamp,
            name=self._names[migration.version],
        )

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        """The table of 1.0 alone says when."""
        if not ("applied_at" in columns if columns else self._is_1):
            return None
        return fill(_BACKDATE, applied_at=applied_at, **self._row_of(migration))

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, **self._row_of(migration))

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return fill(_ACCEPT, hash=migration.checksum, **self._row_of(migration))

    def forget(self, applied: Applied) -> str:
        name = self._recorded.get(applied.version, "")
        return fill(_FORGET, hash=applied.checksum, created_at=applied.stamp, name=name)

    def _row_of(self, migration: Migration) -> dict[str, str | int]:
        first = migration.stamp or 0
        last = first + 999 if self._is_1 else first
        return {"first": first, "last": last, "name": self._names[migration.version]}


def _is_drizzle(path: str, paths: Sequence[str]) -> bool:
    """Prisma lays out the same folders, with its lock file beside them; Drizzle 1.0 writes a snapshot."""
    return f"{path[: -len(_SCRIPT)]}/snapshot.json" in paths


def _decoded(file: SourceFile) -> _Journal:
    try:
        journal = msgspec.json.decode(file.data, type=_Journal)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        hint = "drizzle-kit writes it: restore it from version control"
        raise FolderError((f"{file.path}: {problem}",), hint=hint) from None
    if journal.dialect not in ("postgresql", "pg"):
        raise FolderError((f"{file.path}: it is for {journal.dialect}, not PostgreSQL",))
    return journal


def _contradictions(journal: _Journal) -> list[str]:
    tags = Counter(entry.tag for entry in journal.entries)
    whens = Counter(entry.when for entry in journal.entries)
    twice = [f"two entries have the tag {tag}" for tag, count in tags.items() if count > 1]
    return twice + [
        f"two entries have the same `when`, {when}: a history row could not tell them apart"
        for when, count in whens.items()
        if count > 1
    ]


def _migration(file: SourceFile, version: str, name: str, stamp: int, problems: list[str]) -> Migration:
    script = read_script(file, problems)
    script = Script(script.path, script.text, separator=BREAKPOINT)
    # Drizzle hashes the text that node decoded, which keeps a byte order mark.
    return Migration(version, name, script, hashlib.sha256(file.data).hexdigest(), stamp=stamp)


def _number(tag: str) -> str:
    match = _TAG.fullmatch(tag)
    return match["number"] if match else tag


def _digits(stamp: int) -> str:
    return datetime.fromtimestamp(stamp // 1000, UTC).strftime("%Y%m%d%H%M%S")


def _milliseconds(digits: str) -> int | None:
    year, *parts = (int(part) for part in (digits[:4], *_PAIR.findall(digits[4:])))
    month, day, hour, minute, second = parts
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000


def _applied(row: Row, migration: Migration | None) -> Applied:
    stamp = row["created_at"]
    return Applied(
        version=migration.version if migration else str(row.get("name") or stamp or row["hash"]),
        name=migration.name if migration else "",
        checksum=row["hash"],
        applied_at=row.get("applied_at"),
        stamp=stamp,
    )


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise FolderError(tuple(problems), hint="nothing was run")
