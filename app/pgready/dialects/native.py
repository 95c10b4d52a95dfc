"""pgready's own layout and history: `<version>_<name>.sql`, recorded in the schema `pgready`.

Every name in its SQL is qualified: nothing is found through a search_path that somebody else may have set.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pgready.core.decoding import decode
from pgready.core.errors import FolderError, PgreadyError
from pgready.core.model import Applied, Folder, Kind, Migration, Outcome, Row, Script, SourceFile, TableName
from pgready.core.quoting import create_schema, fill
from pgready.dialects.base import Dialect, Surroundings, is_sql

HISTORY = TableName("pgready", "history")
JOURNAL = TableName("pgready", "journal")
AUDIT = TableName("pgready", "audit")
STATUS = TableName("pgready", "status")
HANDOVER = TableName("pgready", "handover")

_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>[^/]+?)(?P<down>\.down)?\.sql", re.IGNORECASE)
_SHAPE = "<digits>_<name>.sql, and <digits>_<name>.down.sql beside it to revert it"

# Types, operators and what IN stands for are looked up through search_path as well, hence their schema.
_CREATE = """
CREATE TABLE IF NOT EXISTS pgready.history (
    namespace       pg_catalog.text NOT NULL,
    kind            pg_catalog.text NOT NULL
                    CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY['versioned', 'repeatable', 'bootstrap'])),
    version         pg_catalog.text NOT NULL,
    name            pg_catalog.text NOT NULL,
    checksum        pg_catalog.text NOT NULL,
    token_checksum  pg_catalog.text,
    segments        integer NOT NULL,
    applied_at      timestamp with time zone NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    duration_ms     bigint,
    applied_by      pg_catalog.text NOT NULL,
    pgready_version pg_catalog.text NOT NULL,
    PRIMARY KEY (namespace, kind, version)
);
CREATE TABLE IF NOT EXISTS pgready.journal (
    history     pg_catalog.text NOT NULL,
    kind        pg_catalog.text NOT NULL,
    version     pg_catalog.text NOT NULL,
    segment     integer NOT NULL,
    state       pg_catalog.text NOT NULL
                CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['started', 'done'])),
    checksum    pg_catalog.text NOT NULL,
    recorded_at timestamp with time zone NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    duration_ms bigint,
    recorded_by pg_catalog.text NOT NULL,
    PRIMARY KEY (history, kind, version, segment)
);
CREATE OR REPLACE VIEW pgready.status AS
SELECT namespace, kind, version, name, checksum, token_checksum, applied_at, duration_ms, applied_by
FROM pgready.history;
GRANT USAGE ON SCHEMA pgready TO PUBLIC;
GRANT SELECT ON pgready.status, pgready.journal TO PUBLIC
"""

# A moment that nobody's calendar has (infinity, BC: somebody wrote it by hand) is none.
_SELECT = """
SELECT kind, version, name, checksum, token_checksum, duration_ms, applied_by,
       CASE WHEN h.applied_at OPERATOR(pg_catalog.>=) '0001-01-02 UTC'::timestamp with time zone
             AND h.applied_at OPERATOR(pg_catalog.<) '9999-12-31 UTC'::timestamp with time zone
            THEN h.applied_at END AS applied_at
FROM :source AS h WHERE namespace OPERATOR(pg_catalog.=) :namespace ORDER BY h.applied_at
"""

# `extract` computes in numeric, which costs more than the rest of the statement. Operators that are written
# like these have one precedence, from left to right.
_RECORD = """
INSERT INTO pgready.history AS h (namespace, kind, version, name, checksum, token_checksum, segments,
                                  duration_ms, applied_by, pgready_version)
VALUES (:namespace, :kind, :version, :name, :checksum, :token_checksum, :segments,
        1000::pg_catalog.float8 OPERATOR(pg_catalog.*) pg_catalog.date_part(
            'epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.now())
        OPERATOR(pg_catalog.+) :earlier_ms::pg_catalog.float8,
        :applied_by, :pgready_version)
"""

_TAKE_OVER = """
INSERT INTO pgready.history (namespace, kind, version, name, checksum, token_checksum, segments, applied_at,
                             duration_ms, applied_by, pgready_version)
VALUES (:namespace, :kind, :version, :name, :checksum, :token_checksum, :segments,
        coalesce(:applied_at, pg_catalog.clock_timestamp()), :duration_ms, :applied_by, :pgready_version)
"""

_AGAIN = """ON CONFLICT (namespace, kind, version) DO UPDATE
SET name = excluded.name, checksum = excluded.checksum, token_checksum = excluded.token_checksum,
    segments = excluded.segments, applied_at = excluded.applied_at, duration_ms = excluded.duration_ms,
    applied_by = excluded.applied_by, pgready_version = excluded.pgready_version
"""

_RECORDED = """
SELECT FROM pgready.history WHERE namespace OPERATOR(pg_catalog.=) :namespace
 AND kind OPERATOR(pg_catalog.=) :kind AND version OPERATOR(pg_catalog.=) :version
"""

_WITH_CHECKSUM = " AND checksum OPERATOR(pg_catalog.=) :checksum"

_ACCEPT = """
UPDATE pgready.history SET checksum = :checksum, token_checksum = :token_checksum, name = :name
WHERE namespace OPERATOR(pg_catalog.=) :namespace AND kind OPERATOR(pg_catalog.=) :kind
 AND pg_catalog.ltrim(version, :zero) OPERATOR(pg_catalog.=) pg_catalog.ltrim(:version, :zero)
"""


_FORGET = """
DELETE FROM pgready.history WHERE namespace OPERATOR(pg_catalog.=) :namespace
 AND kind OPERATOR(pg_catalog.=) :kind
 AND pg_catalog.ltrim(version, :zero) OPERATOR(pg_catalog.=) pg_catalog.ltrim(:version, :zero)
"""

_MAKE_ROOM = """
DELETE FROM pgready.history AS h USING pgready.history AS s
WHERE h.namespace OPERATOR(pg_catalog.=) :target AND s.namespace OPERATOR(pg_catalog.=) :source
 AND s.kind OPERATOR(pg_catalog.<>) 'versioned' AND h.kind OPERATOR(pg_catalog.=) s.kind
 AND h.version OPERATOR(pg_catalog.=) s.version
"""

_MOVE = """
UPDATE pgready.history SET namespace = :target
WHERE namespace OPERATOR(pg_catalog.=) :source AND kind OPERATOR(pg_catalog.<>) 'versioned'
"""


class Native(Dialect):
    """The layout and history of pgready itself."""

    name: ClassVar[str] = "native"
    presumed: ClassVar[bool] = True
    first_version: ClassVar[str] = "0001"

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = namespace

    @classmethod
    def made(cls, around: Surroundings) -> Native:
        return cls(around.namespace)

    @property
    def table(self) -> TableName:
        return HISTORY

    def keeps(self, migration: Migration) -> bool:
        return True

    @property
    def identity(self) -> str:
        return f"{HISTORY}:{self.namespace}"

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """`<version>_<name>.sql` by number, with its `.down.sql`. A `.sql` of another name is an error."""
        reading = _Reading(below)
        for file in files:
            if is_sql(file.path):
                reading.take(file)
            else:
                reading.ignored.append(file.path)
        return reading.folder(self.name)

    def create_history(self) -> str:
        return f"{create_schema(HISTORY.schema)};{_CREATE}"

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, source=HISTORY, namespace=self.namespace)

    def select_status(self) -> str:
        """The same rows through the view that everybody may read: `wait` runs under the app's own role."""
        return fill(_SELECT, source=STATUS, namespace=self.namespace)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """The rows, under the folder's spelling of their versions: 1 and 01 are the same."""
        spelling = {_number(each.version): each.version for each in folder.migrations}
        return tuple(
            Applied(
                version=_spelled(row, spelling),
                name=row["name"],
                kind=Kind(row["kind"]),
                checksum=row["checksum"],
                token_checksum=row["token_checksum"],
                applied_at=row["applied_at"],
                duration_ms=row["duration_ms"],
                applied_by=row["applied_by"],
            )
            for row in rows
        )

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        template = _RECORD if migration.kind is Kind.VERSIONED else _RECORD + _AGAIN
        return fill(
            template,
            namespace=self.namespace,
            kind=migration.kind.value,
            version=migration.version,
            name=migration.name,
            checksum=migration.checksum,
            token_checksum=outcome.token_checksum,
            segments=outcome.segments,
            earlier_ms=outcome.earlier_ms,
            applied_by=outcome.applied_by,
            pgready_version=outcome.pgready_version,
        )

    def take_over(self, migration: Migration, applied: Applied, outcome: Outcome) -> str:
        """One INSERT that records *migration* as a peer's row *applied* says: when, by whom, how long.

        What runs again when it changes may be recorded here already, beside the peer's history.
        """
        return fill(
            _TAKE_OVER if migration.kind is Kind.VERSIONED else _TAKE_OVER + _AGAIN,
            namespace=self.namespace,
            kind=migration.kind.value,
            version=migration.version,
            name=migration.name,
            checksum=migration.checksum,
            token_checksum=outcome.token_checksum,
            segments=outcome.segments,
            applied_at=applied.applied_at,
            duration_ms=applied.duration_ms,
            applied_by=applied.applied_by or outcome.applied_by,
            pgready_version=outcome.pgready_version,
        )

    def move_rerunnable(self, source: Native) -> tuple[str, str]:
        """Statements after which what *source* says of repeatable and bootstrap scripts is said here."""
        namespaces = {"source": source.namespace, "target": self.namespace}
        return fill(_MAKE_ROOM, **namespaces), fill(_MOVE, **namespaces)

    def refuses_twice(self, migration: Migration) -> bool:
        return migration.kind is Kind.VERSIONED

    def recorded(self, migration: Migration) -> str:
        template = _RECORDED if migration.kind is Kind.VERSIONED else _RECORDED + _WITH_CHECKSUM
        return fill(
            template,
            namespace=self.namespace,
            kind=migration.kind.value,
            version=migration.version,
            checksum=migration.checksum,
        )

    def forget(self, applied: Applied) -> str:
        return fill(
            _FORGET,
            zero="0" if applied.kind is Kind.VERSIONED else "",
            namespace=self.namespace,
            kind=applied.kind.value,
            version=applied.version,
        )

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return fill(
            _ACCEPT,
            zero="0" if migration.kind is Kind.VERSIONED else "",
            namespace=self.namespace,
            kind=migration.kind.value,
            version=migration.version,
            name=migration.name,
            checksum=migration.checksum,
            token_checksum=token_checksum,
        )


def beside(dialect: Dialect) -> Native:
    """Where our history says what a peer's *dialect* has no rows for.

    The same folder may be run for several histories of its tool, in one schema after the other.
    """
    return Native(dialect.identity)


def keeper(dialect: Dialect, migration: Migration) -> Dialect:
    """Whose rows say that *migration*, of a folder of *dialect*, was applied."""
    return dialect if dialect.keeps(migration) else beside(dialect)


_Number = tuple[int, str]


def _number(version: str) -> _Number:
    """*version* as a sort key. int() has a limit of digits, file names have none."""
    digits = version.lstrip("0")
    return len(digits), digits


def _spelled(row: Row, spelling: Mapping[_Number, str]) -> str:
    version: str = row["version"]
    return spelling.get(_number(version), version) if row["kind"] == Kind.VERSIONED.value else version


class _Reading:
    """A native folder on its way to being understood; collects every problem."""

    def __init__(self, below: str) -> None:
        self.ignored: list[str] = []
        self._below = below
        self._problems: list[str] = []
        self._ups: dict[_Number, Migration] = {}
        self._downs: dict[_Number, Script] = {}

    def take(self, file: SourceFile) -> None:
        match = _NAME.fullmatch(file.path, len(self._below))
        if match is None:
            self._problems.append(f"{file.path}: not a migration's name; it is {_SHAPE}")
            return
        script = read_script(file, self._problems)
        number = _number(match["version"])
        other = self._downs.get(number) if match["down"] else self._up_script(number)
        if other is not None:
            self._problems.append(f"{file.path}: has the version of {other.path}, {match['version']}")
        elif match["down"]:
            self._downs[number] = script
        else:
            checksum = hashlib.sha256(file.data).hexdigest()
            self._ups[number] = Migration(match["version"], match["name"], script, checksum)

    def _up_script(self, number: _Number) -> Script | None:
        up = self._ups.get(number)
        return None if up is None else up.script

    def folder(self, dialect: str) -> Folder:
        """What was read. Raises FolderError."""
        for number in sorted(self._downs.keys() - self._ups.keys()):
            self._problems.append(f"{self._downs[number].path}: reverts a version that has no file")
        if self._problems:
            raise FolderError(tuple(self._problems), hint="no file is skipped in silence; nothing was run")
        migrations = (
            Migration(up.version, up.name, up.script, up.checksum, revert=self._downs.get(number))
            for number, up in sorted(self._ups.items())
        )
        return Folder(dialect, migrations=tuple(migrations), ignored=tuple(self.ignored))


def read_script(file: SourceFile, problems: list[str]) -> Script:
    """The file's text; what is wrong with its encoding is added to *problems*."""
    try:
        return Script(file.path, decode(file.path, file.data))
    except PgreadyError as problem:
        place = problem.place or file.path
        problems.append(f"{place}: {problem.what}" + (f" ({problem.hint})" if problem.hint else ""))
        return Script(file.path, "")
