"""graphile-migrate's committed migrations and its history, as it reads and writes them.

`committed/<number>[-slug].sql`, each with the headers `--! Previous:` and `--! Hash:`. A hash covers the body
and the hash before it, so the files are a chain in which nothing can be merged or changed. What is in
`current.sql` or `current/` is somebody's work and no migration yet: it is never run here.

`:NAME` in a body stands for a value of the environment; the hash covers the name. The tool's own lock is
tried, never waited for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import sql
from pgready.core.errors import SettingsError
from pgready.core.model import (
    Applied,
    Folder,
    Migration,
    Outcome,
    Row,
    Script,
    SourceFile,
    TableName,
    Unrunnable,
)
from pgready.core.quoting import create_schema, fill
from pgready.core.sql import TokenKind, Unscannable
from pgready.dialects import placeholders
from pgready.dialects.base import Dialect, Surroundings, is_sql
from pgready.dialects.layout import refuse
from pgready.dialects.native import read_script
from pgready.dialects.placeholders import Placeholder

LOCK_KEY = 4_727_445_306_447_283
TABLE = TableName("graphile_migrate", "migrations")

_COMMITTED = "committed/"
_FIXTURES = "fixtures/"  # what `--! include` names: committed files have its text already
_NAME = re.compile(r"(?P<number>[0-9]+)(?:-(?P<slug>[-_a-zA-Z0-9]*))?\.sql")
_HEADER = re.compile(r"--! (?P<name>[A-Z][a-zA-Z0-9_]*)(?::(?P<value>.*))?")
_NO_TRANSACTION = re.compile(r"--!\s*no-transaction\b")
_INCLUDE = re.compile(r"^--!\s*include\b", re.MULTILINE | re.IGNORECASE)
_PLACEHOLDER = re.compile(r"(?<![:\w]):(?P<name>[A-Z][A-Z0-9_]+)\b")
_SPACE = " \t\n\r\v\f\ufeff\xa0\u2028\u2029"  # what JavaScript's trim() takes away, but for rare ones
_NOTHING = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z))*")

_CREATE = """
CREATE TABLE IF NOT EXISTS graphile_migrate.migrations (
    hash pg_catalog.text PRIMARY KEY,
    previous_hash pg_catalog.text REFERENCES graphile_migrate.migrations,
    filename pg_catalog.text NOT NULL,
    date timestamp with time zone NOT NULL DEFAULT pg_catalog.now()
);
CREATE TABLE IF NOT EXISTS graphile_migrate.current (
    filename pg_catalog.text PRIMARY KEY DEFAULT 'current.sql',
    content pg_catalog.text NOT NULL,
    date timestamp with time zone NOT NULL DEFAULT pg_catalog.now()
)
"""

_SELECT = "SELECT hash, filename, date FROM graphile_migrate.migrations AS m ORDER BY m.filename"

_RECORD = """
INSERT INTO graphile_migrate.migrations (hash, previous_hash, filename)
VALUES (:hash, :previous, :filename)
"""

_ITS_ROW = "FROM graphile_migrate.migrations WHERE filename OPERATOR(pg_catalog.=) :filename"

_RECORDED = "SELECT " + _ITS_ROW

_FORGET = "DELETE " + _ITS_ROW

_BACKDATE = """
UPDATE graphile_migrate.migrations SET date = :applied_at WHERE filename OPERATOR(pg_catalog.=) :filename
"""

# The next row refers to this one's hash, and must go on doing so.
_ACCEPT = """
UPDATE graphile_migrate.migrations AS m
SET hash = CASE WHEN m.filename OPERATOR(pg_catalog.=) :filename THEN :hash ELSE m.hash END,
    previous_hash = CASE WHEN m.filename OPERATOR(pg_catalog.=) :filename THEN m.previous_hash ELSE :hash END
FROM graphile_migrate.migrations AS accepted
WHERE accepted.filename OPERATOR(pg_catalog.=) :filename
 AND (m.hash OPERATOR(pg_catalog.=) accepted.hash OR m.previous_hash OPERATOR(pg_catalog.=) accepted.hash)
"""


class _Link(Struct, frozen=True):
    """A file's place in the chain, as its headers say it."""

    filename: str
    hash: str
    previous: str | None


class GraphileMigrate(Dialect):
    """The layout and history of graphile-migrate: what was committed."""

    name: ClassVar[str] = "graphile-migrate"
    generator: ClassVar[str] = "write it into current.sql, then: graphile-migrate commit --message {name}"
    differences: ClassVar[tuple[str, ...]] = (
        "current.sql and current/ are never run, as with `graphile-migrate migrate`",
        "placeholders take their values from the environment: `:NAME` that of NAME",
        "a file that changed after it was applied is refused; graphile-migrate checks what is pending",
    )

    def __init__(self, around: Surroundings | None = None) -> None:
        self._around = around or Surroundings()
        self._links: dict[str, _Link] = {}  # by version, in order

    @classmethod
    def made(cls, around: Surroundings) -> GraphileMigrate:
        return cls(around)

    @property
    def table(self) -> TableName:
        return TABLE

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """`committed/`, or the folder itself where it has none. Raises FolderError for a broken chain."""
        problems: list[str] = []
        by_path = {file.path.removeprefix(below): file for file in files}
        inside = _COMMITTED if any(path.startswith(_COMMITTED) for path in by_path) else ""
        self._links, migrations, others = {}, [], []
        for path, file in sorted(by_path.items(), key=lambda item: _order(item[0])):
            if not is_sql(path) or not path.startswith(inside) or "/" in path[len(inside) :]:
                others.append((path, file))
            elif match := _NAME.fullmatch(path[len(inside) :]):
                migrations += self._taken(file, match["number"], match["slug"] or "", problems)
            else:
                problems.append(f"{file.path}: not a committed migration's name; it is <number>[-slug].sql")
        refuse(problems)
        return Folder(
            self.name,
            migrations=tuple(migrations),
            ignored=tuple(file.path for path, file in others if not _is_work(path, file)),
            skipped=tuple(file.path for path, file in others if _is_work(path, file)),
        )

    def _taken(self, file: SourceFile, number: str, slug: str, problems: list[str]) -> list[Migration]:
        script = read_script(file, problems)
        headers, start = _headers(script.text)
        previous = next(reversed(self._links.values()), None)
        said = (headers.get("Previous") or "").strip()
        link = _Link(
            f"{number}.sql", (headers.get("Hash") or "").strip(), None if said in ("", "-") else said
        )
        problems += _chain_problems(file.path, link, previous, said=bool(said))
        if number in self._links:
            problems.append(f"{file.path}: has the number of another, {number}")
        self._links[number] = link
        found = _hash(script.text[start:], link.previous)
        body = self._body(script, start)
        if "AllowInvalidHash" in headers:
            found = link.hash
        elif found != link.hash:
            what = f"the hash in the file is {link.hash}, and that of its text {found}: it was changed"
            body = replace(body, unrunnable=Unrunnable(what, "restore the file from version control"))
        return [Migration(number, slug, body, found)]

    def _body(self, script: Script, start: int) -> Script:
        text = script.text[start:]
        lead = len(text) - len(text.lstrip(_SPACE))
        line = script.text.count("\n", 0, start + lead) + 1
        body = Script(
            script.path,
            text.strip(_SPACE) + "\n",
            first_line=line,
            transactional=not _NO_TRANSACTION.match(text[lead:]),
        )
        if include := _INCLUDE.search(body.text):
            what = "an include in a committed file: graphile-migrate puts the text in when it commits"
            return replace(body, unrunnable=Unrunnable(what, "commit it again", include.start()))
        values = {
            **self._around.environ,
            "DATABASE_NAME": self._around.database,
            "DATABASE_OWNER": self._around.environ.get("DATABASE_OWNER", self._around.user),
        }
        comments = cache(partial(_comments, body.text))
        return placeholders.fill_in(body, partial(_find, values, comments), _no_value)

    def create_history(self) -> str:
        return f"{create_schema(self.table.schema)};{_CREATE}"

    def select_history(self, columns: frozenset[str]) -> str:
        return _SELECT

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """By file name, which in the history is the number alone."""
        files = {f"{each.version}.sql": each for each in folder.migrations}
        applied = []
        for row in rows:
            migration = files.get(row["filename"])
            version = migration.version if migration else row["filename"].removesuffix(".sql")
            name = migration.name if migration else ""
            applied.append(Applied(version, name, checksum=row["hash"], applied_at=row["date"]))
        return tuple(applied)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        link = self._links[migration.version]
        return fill(_RECORD, hash=link.hash, previous=link.previous, filename=link.filename)

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        return fill(_BACKDATE, filename=self._links[migration.version].filename, applied_at=applied_at)

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, filename=f"{migration.version}.sql")

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        """Raises SettingsError for a file whose text is not what its own hash says: the next is chained."""
        link = self._links[migration.version]
        if link.hash != migration.checksum:
            what = (
                f"{migration.version}: its hash is a link of the chain, so a changed text cannot be accepted"
            )
            raise SettingsError((what,), hint="restore the file from version control")
        return fill(_ACCEPT, hash=link.hash, filename=link.filename)

    def forget(self, applied: Applied) -> str:
        return fill(_FORGET, filename=f"{applied.version}.sql")

    def lock_keys(self, database: str) -> tuple[int, ...]:
        return (LOCK_KEY,)


def _order(path: str) -> tuple[int, str]:
    match = _NAME.fullmatch(path.rpartition("/")[2])
    digits = match["number"].lstrip("0") if match else ""
    return len(digits), f"{digits} {path}"


def _headers(text: str) -> tuple[dict[str, str | None], int]:
    """The headers at the top of *text*, and where they end."""
    headers: dict[str, str | None] = {}
    start = 0
    while match := _HEADER.fullmatch(text, start, _line_end(text, start)):
        headers[match["name"]] = match["value"]
        start = min(match.end() + 1, len(text))
    return headers, start


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _chain_problems(path: str, link: _Link, previous: _Link | None, *, said: bool) -> list[str]:
    if not said or not link.hash:
        return [f"{path}: has no `--! {'Hash' if said else 'Previous'}:`, as committed migrations have"]
    expected = previous.hash if previous else None
    if link.previous == expected:
        return []
    before = f"{previous.filename} has {expected}" if previous else "there is none before it"
    return [f"{path}: follows {link.previous or 'nothing'}, and {before}: the chain is broken"]


def _hash(body: str, previous: str | None) -> str:
    text = f"{previous or ''}\n{body.strip(_SPACE)}".strip(_SPACE) + "\n"
    return f"sha1:{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"


def _is_work(path: str, file: SourceFile) -> bool:
    """Whether it is a script with a statement in it, such as a `current.sql` that somebody works at."""
    if not is_sql(path) or path.startswith(_FIXTURES):
        return False
    return not _NOTHING.fullmatch(file.data[:65536].decode(errors="replace"))


def _find(
    values: dict[str, Any], comments: Callable[[], list[range]], text: str, start: int
) -> Placeholder | None:
    # graphile-migrate leaves alone what `.gmrc` does not name, as in a comment about a role that is gone.
    for match in _PLACEHOLDER.finditer(text, start):
        value = values.get(match["name"]) or None
        if value is not None or not any(match.start() in comment for comment in comments()):
            return Placeholder(match.start(), match.end(), match["name"], value)
    return None


def _comments(text: str) -> list[range]:
    """Where the comments of *text* are; none where it is too long, or no SQL, such as a COPY's data."""
    if len(text) > sql.SCAN_LIMIT_CHARACTERS:
        return []
    try:
        tokens = sql.tokens(text)
    except Unscannable:
        return []
    return [range(each.start, each.start + each.length) for each in tokens if each.kind is TokenKind.COMMENT]


def _no_value(name: str) -> Unrunnable:
    return Unrunnable(
        f"no value for the placeholder :{name}",
        f'set {name} in the environment, as .gmrc\'s "!ENV" does',
    )
