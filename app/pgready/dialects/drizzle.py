"""Drizzle's folders and history, 0.x and 1.0, as drizzle-kit and drizzle-orm read and write them.

0.x keeps `meta/_journal.json`, whose entries name `<tag>.sql`; an entry's `when` (ms) is what its history
row holds as `created_at`. 1.0 keeps `<14 digits>_<name>/migration.sql`, and the row holds the UTC of the
digits and the folder's name. A hash is the hex SHA-256 of the file's text.

Drizzle applies an entry whose `when` is greater than the newest `created_at`, so one merged from an older
branch is skipped in silence; here an entry is applied unless a row is its own. Real folders hold entries
of the same text, so a hash identifies a row only where neither another entry nor another row has it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

import msgspec
from msgspec import Struct

from pgready.core.errors import FolderError
from pgready.core.model import Applied, Folder, Migration, Outcome, Row, Script, SourceFile, TableName
from pgready.core.quoting import fill
from pgready.dialects.base import Dialect
from pgready.dialects.native import read_script

BREAKPOINT = "--> statement-breakpoint"
TABLE = TableName("drizzle", "__drizzle_migrations")

_JOURNAL = "meta/_journal.json"
_FOLDER = re.compile(r"(?P<stamp>[0-9]{14})_(?P<name>[^/]+)/migration\.sql")
_TAG = re.compile(r"(?P<number>[0-9]+)_(?P<name>.+)")

_CREATE = """
CREATE SCHEMA IF NOT EXISTS drizzle;
CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (
    id SERIAL PRIMARY KEY,
    hash text NOT NULL,
    created_at bigint
)
"""

_CREATE_1 = """
CREATE SCHEMA IF NOT EXISTS drizzle;
CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (
    id SERIAL PRIMARY KEY,
    hash text NOT NULL,
    created_at bigint,
    name text,
    applied_at timestamp with time zone DEFAULT now()
)
"""

_SELECT = "SELECT id, hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id"
_SELECT_1 = "SELECT id, hash, created_at, name, applied_at FROM drizzle.__drizzle_migrations ORDER BY id"

_RECORD = "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (:hash, :created_at)"
_RECORD_1 = """
INSERT INTO drizzle.__drizzle_migrations (hash, created_at, name) VALUES (:hash, :created_at, :name)
"""

_RECORDED = """
SELECT FROM drizzle.__drizzle_migrations WHERE created_at OPERATOR(pg_catalog.=) :created_at
"""

_ACCEPT = """
UPDATE drizzle.__drizzle_migrations SET hash = :hash WHERE created_at OPERATOR(pg_catalog.=) :created_at
"""


class _Entry(Struct, frozen=True):
    idx: int
    when: int
    tag: str
    breakpoints: bool = True


class _Journal(Struct, frozen=True):
    entries: list[_Entry]
    dialect: str = "postgresql"


class Drizzle(Dialect):
    """One class for both: a folder with a journal is 0.x, one with numbered folders is 1.0."""

    name: ClassVar[str] = "drizzle"

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    @property
    def table(self) -> TableName:
        return TABLE

    @classmethod
    def proof(cls, paths: Sequence[str], texts: Mapping[str, str]) -> str | None:
        if _JOURNAL in paths:
            return _JOURNAL
        return next((path for path in paths if _FOLDER.fullmatch(path) and _is_drizzle(path, paths)), None)

    def read(self, files: Sequence[SourceFile]) -> Folder:
        """The journal's entries in their order, or the numbered folders. Raises FolderError."""
        by_path = {file.path: file for file in files}
        if _JOURNAL in by_path:
            return self._read_journal(by_path)
        return self._read_folders(files)

    def _read_journal(self, files: Mapping[str, SourceFile]) -> Folder:
        journal = _decoded(files[_JOURNAL])
        problems = [f"{_JOURNAL}: {problem}" for problem in _contradictions(journal)]
        numbers = Counter(_number(entry.tag) for entry in journal.entries)
        migrations: list[Migration] = []
        for entry in journal.entries:
            file = files.get(f"{entry.tag}.sql")
            if file is None:
                problems.append(f"{_JOURNAL}: entry {entry.idx} names {entry.tag}.sql, which is not there")
                continue
            number = _number(entry.tag)
            version = number if numbers[number] == 1 else entry.tag
            name = entry.tag if version == entry.tag else entry.tag[len(number) + 1 :]
            migrations.append(_migration(file, version, name, entry.when, problems))
        _refuse(problems)
        used = {migration.script.path for migration in migrations}
        ignored = tuple(path for path in files if path not in used)
        return Folder(self.name, migrations=tuple(migrations), ignored=ignored)

    def _read_folders(self, files: Sequence[SourceFile]) -> Folder:
        problems: list[str] = []
        migrations: list[Migration] = []
        ignored: list[str] = []
        for file in files:
            match = _FOLDER.fullmatch(file.path)
            if match is None:
                ignored.append(file.path)
                continue
            stamp = _milliseconds(match["stamp"])
            if stamp is None:
                problems.append(f"{file.path}: {match['stamp']} is no date and time")
                continue
            migrations.append(_migration(file, match["stamp"], match["name"], stamp, problems))
            self._names[match["stamp"]] = file.path.partition("/")[0]
        twice = [stamp for stamp, count in Counter(each.version for each in migrations).items() if count > 1]
        problems += [f"{stamp}: two folders begin with it" for stamp in twice]
        _refuse(problems)
        ordered = tuple(sorted(migrations, key=lambda migration: migration.script.path))
        return Folder(self.name, migrations=ordered, ignored=tuple(ignored))

    @property
    def _is_1(self) -> bool:
        return bool(self._names)

    def create_history(self) -> str:
        return _CREATE_1 if self._is_1 else _CREATE

    def select_history(self, columns: frozenset[str]) -> str:
        return _SELECT_1 if {"name", "applied_at"} <= columns else _SELECT

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        by_name = {self._names.get(each.version): each for each in folder.migrations if self._is_1}
        by_stamp = {each.stamp: each for each in folder.migrations}
        taken: set[str] = set()
        matched: list[tuple[Row, Migration | None]] = []
        for row in rows:
            found = by_name.get(row.get("name")) if row.get("name") else None
            found = found or by_stamp.get(row["created_at"])
            if found is not None and found.version in taken:
                found = None
            if found is not None:
                taken.add(found.version)
            matched.append((row, found))
        by_hash = _unambiguous(matched, [each for each in folder.migrations if each.version not in taken])
        return tuple(_applied(row, found or by_hash.get(row["hash"])) for row, found in matched)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        template = _RECORD_1 if self._is_1 and (not columns or "name" in columns) else _RECORD
        return fill(
            template,
            hash=migration.checksum,
            created_at=migration.stamp,
            name=self._names.get(migration.version),
        )

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, created_at=migration.stamp)

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return fill(_ACCEPT, hash=migration.checksum, created_at=migration.stamp)


def _is_drizzle(path: str, paths: Sequence[str]) -> bool:
    """Prisma lays out the same folders, with its lock file beside them; Drizzle 1.0 writes a snapshot."""
    return path.replace("migration.sql", "snapshot.json") in paths


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


def _milliseconds(digits: str) -> int | None:
    try:
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000


def _unambiguous(
    matched: Sequence[tuple[Row, Migration | None]], left: Sequence[Migration]
) -> dict[str, Migration]:
    """Migrations without a row, by hash, where one of them alone and one such row alone has it."""
    rows = Counter(row["hash"] for row, found in matched if found is None)
    files = Counter(migration.checksum for migration in left)
    return {each.checksum: each for each in left if files[each.checksum] == 1 and rows[each.checksum] == 1}


def _applied(row: Row, migration: Migration | None) -> Applied:
    stamp = row["created_at"]
    at = row.get("applied_at")
    return Applied(
        version=migration.version if migration else str(row.get("name") or stamp),
        name=migration.name if migration else "",
        checksum=row["hash"],
        applied_at=at,
        stamp=stamp,
    )


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise FolderError(tuple(problems), hint="nothing was run")
