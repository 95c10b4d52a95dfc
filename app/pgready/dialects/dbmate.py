"""dbmate's folders and history, as dbmate 2 reads and writes them.

`<digits>….sql`, in the order of the file names, each with `-- migrate:up` and, behind it, `-- migrate:down`,
both at a line's very start and in lower case; only comments may stand before. `transaction:false` behind
either opts out of the transaction. The version is the digits as they are written: 1 and 01 are two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from pgready.core.model import Applied, Folder, Migration, Outcome, Row, Script, SourceFile
from pgready.core.quoting import fill
from pgready.dialects.base import Draft, InCurrentSchema, is_sql
from pgready.dialects.layout import TopLevel, checksum, refuse
from pgready.dialects.markers import Lines

_NAME = re.compile(r"(?P<version>[0-9]+)_?(?P<name>.*)\.sql")
_MARKER = re.compile(r"--\s*migrate:(?P<way>up|down)(?P<options>\s.*)?")
_OPTIONS = {"transaction:true": True, "transaction:false": False}

_CREATE = "CREATE TABLE IF NOT EXISTS :table (version varchar PRIMARY KEY)"

_SELECT = "SELECT version FROM :table ORDER BY version"

_RECORD = "INSERT INTO :table (version) VALUES (:version)"

_ITS_ROW = "FROM :table WHERE version OPERATOR(pg_catalog.=) CAST(:version AS varchar)"

_RECORDED = "SELECT " + _ITS_ROW

_FORGET = "DELETE " + _ITS_ROW

_ACCEPT = """
UPDATE :table SET version = :version WHERE version OPERATOR(pg_catalog.=) CAST(:version AS varchar)
"""


class Dbmate(InCurrentSchema):
    """The layout and history of dbmate."""

    name: ClassVar[str] = "dbmate"
    table_name: ClassVar[str] = "schema_migrations"
    table_variable: ClassVar[str] = "DBMATE_MIGRATIONS_TABLE"
    differences: ClassVar[tuple[str, ...]] = (
        "a lock keeps replicas apart; dbmate takes none",
        "a file below the newest applied one is applied with a warning, as dbmate does without one",
        "no schema.sql is written: `dbmate dump` writes it",
    )

    def owns(self, columns: frozenset[str]) -> bool:
        return "version" in columns and "dirty" not in columns

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """Each file that begins with a digit, by name. Without both markers it cannot be run."""
        problems: list[str] = []
        found: dict[str, Migration] = {}
        top = TopLevel(files, below)
        for name, file in sorted(top, key=lambda each: each[0].encode()):
            match = _NAME.fullmatch(name)
            if match is None:
                (top.skipped if is_sql(name) else top.ignored).append(file.path)
                continue
            version = match["version"]
            if version in found:
                problems.append(f"{file.path}: has the version of {found[version].script.path}, {version}")
                continue
            up, down = _Markers(Lines(file, problems)).scripts()
            found[version] = Migration(version, match["name"], up, checksum(file), revert=down)
        refuse(problems)
        migrations = tuple(found.values())
        return Folder(self.name, migrations, ignored=tuple(top.ignored), skipped=tuple(top.skipped))

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        return (SourceFile(f"{draft.stem}.sql", b"-- migrate:up\n\n-- migrate:down\n"),)

    def create_history(self) -> str:
        return fill(_CREATE, table=self.table)

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        names = {migration.version: migration.name for migration in folder.migrations}
        return tuple(Applied(row["version"], names.get(row["version"], "")) for row in rows)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        return self._of(_RECORD, migration.version)

    def recorded(self, migration: Migration) -> str:
        return self._of(_RECORDED, migration.version)

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        """Nothing to do: a row holds no more than its version."""
        return self._of(_ACCEPT, migration.version)

    def forget(self, applied: Applied) -> str:
        return self._of(_FORGET, applied.version)

    def _of(self, template: str, version: str) -> str:
        return fill(template, table=self.table, version=version)


class _Markers:
    """Where the two markers of a file stand, and what stands behind them."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._found: dict[str, tuple[int, bool]] = {}  # its way → its line, whether in a transaction
        early: int | None = None
        for at, line in enumerate(lines.lines):
            if match := _MARKER.fullmatch(line.rstrip()):
                self._take(at, match)
            elif not self._found and early is None and _is_sql_line(line):
                early = at
        for way in ("up", "down"):
            if way not in self._found:
                lines.problem(0, f"dbmate needs `-- migrate:{way}` at a line's start, and this file has none")
        if early is not None and "up" in self._found:
            lines.problem(early, "SQL stands before `-- migrate:up`, where dbmate allows none")

    def _take(self, at: int, match: re.Match[str]) -> None:
        way = match["way"]
        if way in self._found or (way == "up" and self._found):
            self._lines.problem(at, f"`-- migrate:{way}` must stand once, up before down")
            return
        words = (match["options"] or "").split()
        unknown = [word for word in words if word not in _OPTIONS]
        if unknown:
            self._lines.problem(at, f"{unknown[0]!r} is no option; they are {' and '.join(_OPTIONS)}")
        self._found[way] = at, all(_OPTIONS.get(word, True) for word in words)

    def scripts(self) -> tuple[Script, Script]:
        """What applies and what reverts."""
        end = len(self._lines.lines)
        up, up_transactional = self._found.get("up", (0, True))
        down, down_transactional = self._found.get("down", (end, True))
        return (
            self._lines.script(up + 1, down, transactional=up_transactional),
            self._lines.script(down + 1, end, transactional=down_transactional),
        )


def _is_sql_line(line: str) -> bool:
    text = line.strip()
    return bool(text) and not text.startswith("--")
