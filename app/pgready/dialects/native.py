"""pgready's own layout and history: `<version>_<name>.sql`, recorded in the schema `pgready`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from typing import ClassVar

from pgready.core.errors import FolderError
from pgready.core.model import Applied, Folder, Kind, Migration, Outcome, Row, Script, SourceFile, TableName
from pgready.core.quoting import fill
from pgready.core.sql import decode
from pgready.dialects.base import Dialect

HISTORY = TableName("pgready", "history")
JOURNAL = TableName("pgready", "journal")

_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>.+?)(?P<down>\.down)?\.sql")

_CREATE = """
CREATE SCHEMA IF NOT EXISTS pgready;
CREATE TABLE IF NOT EXISTS pgready.history (
    namespace       text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('versioned', 'repeatable', 'bootstrap')),
    version         text NOT NULL,
    name            text NOT NULL,
    checksum        text NOT NULL,
    token_checksum  text,
    segments        integer NOT NULL,
    applied_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    duration_ms     bigint,
    applied_by      text NOT NULL,
    pgready_version text NOT NULL,
    PRIMARY KEY (namespace, kind, version)
);
CREATE TABLE IF NOT EXISTS pgready.journal (
    history     text NOT NULL,
    kind        text NOT NULL,
    version     text NOT NULL,
    segment     integer NOT NULL,
    state       text NOT NULL CHECK (state IN ('started', 'done')),
    checksum    text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    duration_ms bigint,
    recorded_by text NOT NULL,
    PRIMARY KEY (history, kind, version, segment)
);
CREATE OR REPLACE VIEW pgready.status AS
SELECT namespace, kind, version, name, checksum, token_checksum, applied_at, duration_ms, applied_by
FROM pgready.history;
GRANT USAGE ON SCHEMA pgready TO PUBLIC;
GRANT SELECT ON pgready.status TO PUBLIC
"""

_SELECT = """
SELECT kind, version, name, checksum, token_checksum, applied_at, duration_ms, applied_by
FROM pgready.history WHERE namespace = :namespace ORDER BY applied_at
"""

_RECORD = """
INSERT INTO pgready.history AS h (namespace, kind, version, name, checksum, token_checksum, segments,
                                  duration_ms, applied_by, pgready_version)
VALUES (:namespace, :kind, :version, :name, :checksum, :token_checksum, :segments,
        :earlier_ms + pg_catalog.round(1000 * extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.now())),
        :applied_by, :pgready_version)
ON CONFLICT (namespace, kind, version) DO UPDATE
SET name = excluded.name, checksum = excluded.checksum, token_checksum = excluded.token_checksum,
    segments = excluded.segments, applied_at = excluded.applied_at, duration_ms = excluded.duration_ms,
    applied_by = excluded.applied_by, pgready_version = excluded.pgready_version
WHERE h.kind <> 'versioned'
"""

_RECORDED = """
SELECT FROM pgready.history WHERE namespace = :namespace AND kind = :kind AND version = :version
 AND (kind = 'versioned' OR checksum = :checksum)
"""


class Native(Dialect):
    """The layout and history of pgready itself; it keeps repeatables and bootstrap scripts for all dialects."""

    name: ClassVar[str] = "native"

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = namespace

    @property
    def table(self) -> TableName:
        return HISTORY

    @property
    def identity(self) -> str:
        return f"{HISTORY}:{self.namespace}"

    def proof(self, paths: Collection[str]) -> str | None:
        return None

    def read(self, files: Sequence[SourceFile]) -> Folder:
        problems: list[str] = []
        found: dict[int, Migration] = {}
        down: dict[int, Script] = {}
        for file in files:
            match = _NAME.fullmatch(file.path.rpartition("/")[2])
            if match is None:
                problems.append(f"{file.path}: the name is not <version>_<name>.sql")
                continue
            number = int(match["version"])
            script = Script(file.path, decode(file.path, file.data))
            if match["down"]:
                down[number] = script
                continue
            if number in found:
                problems.append(f"{file.path}: the version of {found[number].script.path} again")
            checksum = hashlib.sha256(file.data).hexdigest()
            found[number] = Migration(match["version"], match["name"], script, checksum)
        if problems:
            raise FolderError(tuple(problems))
        return Folder(self.name, migrations=tuple(found[number] for number in sorted(found)))

    def create_history(self) -> str:
        return _CREATE

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, namespace=self.namespace)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        return tuple(
            Applied(
                version=row["version"],
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
        return fill(
            _RECORD,
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

    def recorded(self, migration: Migration) -> str:
        return fill(
            _RECORDED,
            namespace=self.namespace,
            kind=migration.kind.value,
            version=migration.version,
            checksum=migration.checksum,
        )
