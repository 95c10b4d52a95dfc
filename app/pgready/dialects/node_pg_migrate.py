"""node-pg-migrate's folders and history, as its runner reads and writes them.

A migration's name is its file's without the extension, in the order of the numbers in front. SQL files hold
`-- Up Migration` and `-- Down Migration`, or, where a `.down.sql` is in the folder, come in pairs (its `sql`
loader). The history holds the names. The runner compares it with the folder position by position, by `run_on`
and `id`, and refuses to run when a name is out of its place: what is merged below the newest is therefore
recorded between its neighbours.

Its lock is one key for all databases and tables of a server's database; it does not wait for it unless told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from msgspec.structs import replace

from pgready.core.model import (
    Applied,
    Folder,
    Migration,
    Outcome,
    Row,
    Script,
    SourceFile,
    Unrunnable,
)
from pgready.core.quoting import fill
from pgready.dialects import versions
from pgready.dialects.base import Draft, InCurrentSchema, is_sql
from pgready.dialects.layout import TopLevel, both_ways, checksum, refuse
from pgready.dialects.native import read_script

LOCK_KEY = 7_241_865_325_823_964

_PROGRAM = re.compile(r"\.[cm]?[jt]s$", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")
_UTC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{3})")
# Its own pattern lets what repeats run over lines, which takes for ever on a file of a million of them.
_MARKER = r"(?:^|(?<=\r))[ \t\ufeff]*--[ \t-]*{}[ \t]+migration"
_UP = re.compile(_MARKER.format("up"), re.IGNORECASE | re.MULTILINE)
_REST_OF_LINE = re.compile(r"[^\r\n]*")
_DOWN = re.compile(_MARKER.format("down"), re.IGNORECASE | re.MULTILINE)

_CREATE = """
CREATE TABLE IF NOT EXISTS :table (
    id SERIAL PRIMARY KEY,
    name character varying(255) NOT NULL,
    run_on timestamp NOT NULL
)
"""

_SELECT = """
SELECT id, name, CAST(run_on AS timestamp with time zone) AS run_on
FROM :table AS m ORDER BY m.run_on, m.id
"""

# `run_on` has no time zone: it goes back with a session's, when summer ends, and with another host's clock.
_RECORD = """
INSERT INTO :table (name, run_on)
SELECT :name, GREATEST(CAST(pg_catalog.now() AS timestamp), pg_catalog.max(run_on)) FROM :table
"""

# Right behind what runs before it, or in front of all. Where what runs after it would not stand behind, all
# of that moves by the least step that there is: it keeps its own order. A file's name holds no slash.
_RECORD_BETWEEN = """
WITH place AS (
    SELECT COALESCE(pg_catalog.max(run_on) FILTER (
               WHERE name OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(:earlier, '/'))),
           pg_catalog.min(run_on) OPERATOR(pg_catalog.-) interval '1 microsecond') AS run_on,
           pg_catalog.min(run_on) FILTER (
               WHERE name OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(:later, '/'))) AS next
    FROM :table
), moved AS (
    UPDATE :table AS m SET run_on = m.run_on OPERATOR(pg_catalog.+) (
        place.run_on OPERATOR(pg_catalog.-) place.next OPERATOR(pg_catalog.+) interval '1 microsecond')
    FROM place
    WHERE m.name OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(:later, '/'))
     AND place.next OPERATOR(pg_catalog.<=) place.run_on
)
INSERT INTO :table (name, run_on) SELECT :name, place.run_on FROM place
"""

# Not before what runs before it; and what was put between others stays where it is.
_BACKDATE = """
UPDATE :table SET run_on = GREATEST(
    CAST(CAST(:applied_at AS timestamp with time zone) AS timestamp),
    (SELECT pg_catalog.max(run_on) FROM :table
     WHERE name OPERATOR(pg_catalog.<>) CAST(:name AS character varying)))
WHERE name OPERATOR(pg_catalog.=) CAST(:name AS character varying)
 AND run_on OPERATOR(pg_catalog.>=) ALL (SELECT run_on FROM :table)
"""

_ITS_ROW = "FROM :table WHERE name OPERATOR(pg_catalog.=) CAST(:name AS character varying)"

_RECORDED = "SELECT " + _ITS_ROW

_FORGET = "DELETE " + _ITS_ROW

_ACCEPT = """
UPDATE :table SET name = :name WHERE name OPERATOR(pg_catalog.=) CAST(:name AS character varying)
"""


class NodePgMigrate(InCurrentSchema):
    """The layout and history of node-pg-migrate, SQL files; programs count where they were run already."""

    name: ClassVar[str] = "node-pg-migrate"
    table_name: ClassVar[str] = "pgmigrations"
    differences: ClassVar[tuple[str, ...]] = (
        "each migration is a transaction of its own; node-pg-migrate runs all in one by default",
        "a file below the newest applied one is applied, with a warning, and recorded in its place; "
        "node-pg-migrate refuses to run",
        "migrations that are programs are refused where they are pending",
        "a file with a Down and no Up marker is refused; node-pg-migrate runs all of it as Up",
    )

    def __init__(self, table: str = "") -> None:
        super().__init__(table)
        self._names: dict[str, str] = {}  # version → name, in the folder's order
        self._recorded: dict[str, str] = {}  # version → name, as a row has it

    def settle(self, schema: str) -> None:
        """Its history is in `public` whatever the session says."""

    def owns(self, columns: frozenset[str]) -> bool:
        return {"name", "run_on"} <= columns

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """The files right in the folder, by their numbers; one without a number is an error."""
        problems: list[str] = []
        top = TopLevel(files, below)
        named = {name: file for name, file in top if is_sql(name) or _PROGRAM.search(name)}
        paired = any(name.lower().endswith(".down.sql") for name in named)
        found = dict(_paired(named) if paired else _single(named))
        for name, (up, _) in found.items():
            if not _NUMBER.match(name):
                problems.append(f"{up.path}: does not begin with a number")
        ordered = sorted((name for name in found if _NUMBER.match(name)), key=_order)
        numbers = Counter(_digits(name) for name in ordered)
        migrations = tuple(_migration(name, *found[name], numbers, problems) for name in ordered)
        refuse(sorted(problems))
        self._names = {each.version: name for each, name in zip(migrations, ordered, strict=True)}
        return Folder(
            self.name,
            migrations=migrations,
            ignored=(*top.ignored, *(file.path for name, file in top if name not in named)),
            skipped=tuple(top.skipped),
        )

    def next_version(self, newest: Migration | None, now: datetime) -> str:
        return super().next_version(newest, now) if newest else versions.written(now, versions.EPOCH_MS)

    def spelling(self, migration: Migration) -> str:
        return _digits(migration.version)

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        """Both ways in one file, or a pair where the folder has pairs; it writes `-` between words."""
        draft = replace(draft, name=draft.name.replace("_", "-"))
        if draft.newest is not None and draft.newest.script.path.lower().endswith(".up.sql"):
            return both_ways(draft)
        return (SourceFile(f"{draft.stem}.sql", b"-- Up Migration\n\n-- Down Migration\n"),)

    def create_history(self) -> str:
        return fill(_CREATE, table=self.table)

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """By name; of a pair, also by the name that its `.up.sql` has for the other loader."""
        versions = {name: version for version, name in self._names.items()}
        versions |= {
            f"{name}.up": version for name, version in versions.items() if f"{name}.up" not in versions
        }
        files = {each.version: each for each in folder.migrations}
        self._recorded = {}
        applied = []
        for row in rows:
            name: str = row["name"]
            version = versions.get(name, name)
            migration = files.get(version)
            self._recorded[version] = name
            applied.append(Applied(version, migration.name if migration else "", applied_at=row["run_on"]))
        return tuple(applied)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        versions = list(self._names)
        place = versions.index(migration.version)
        later = [self._recorded[each] for each in versions[place + 1 :] if each in self._recorded]
        self._recorded[migration.version] = name = self._names[migration.version]
        if not later:
            return fill(_RECORD, table=self.table, name=name)
        earlier = [self._recorded[each] for each in versions[:place] if each in self._recorded]
        return fill(
            _RECORD_BETWEEN, table=self.table, name=name, earlier="/".join(earlier), later="/".join(later)
        )

    def backdate(
        self, migration: Migration, applied_at: datetime, took_ms: int | None, columns: frozenset[str]
    ) -> str | None:
        name = self._names[migration.version]
        return fill(_BACKDATE, table=self.table, name=name, applied_at=applied_at)

    def recorded(self, migration: Migration) -> str:
        return fill(_RECORDED, table=self.table, name=self._names[migration.version])

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        return fill(_ACCEPT, table=self.table, name=self._names[migration.version])

    def forget(self, applied: Applied) -> str:
        return fill(_FORGET, table=self.table, name=self._recorded.get(applied.version, applied.version))

    def lock_keys(self, database: str) -> tuple[int, ...]:
        return (LOCK_KEY,)


_Pair = tuple[SourceFile, SourceFile | None]


def _single(named: dict[str, SourceFile]) -> Iterator[tuple[str, _Pair]]:
    for name, file in named.items():
        yield name.rpartition(".")[0], (file, None)


def _paired(named: dict[str, SourceFile]) -> Iterator[tuple[str, _Pair]]:
    for name, file in named.items():
        stem = name.rpartition(".")[0]
        if stem.lower().endswith(".up"):
            stem = stem[: -len(".up")]
            yield stem, (file, named.get(f"{stem}.down.sql"))
        elif not stem.lower().endswith(".down") or f"{stem[: -len('.down')]}.up.sql" not in named:
            yield stem, (file, None)


def _migration(
    name: str, up: SourceFile, down: SourceFile | None, numbers: Counter[str], problems: list[str]
) -> Migration:
    digits = _digits(name)
    version = digits if numbers[digits] == 1 else name
    shown = name[len(digits) :].lstrip("_-")
    if not is_sql(up.path):
        return Migration(version, shown, _program(up.path), checksum(up))
    script = read_script(up, problems)
    if down is not None:
        return Migration(version, shown, script, checksum(up), revert=read_script(down, problems))
    above, below = _sections(script)
    return Migration(version, shown, above, checksum(up), revert=below)


def _program(path: str) -> Script:
    what = "this migration is a program, and pgready runs SQL alone"
    return Script(path, "", unrunnable=Unrunnable(what, "run node-pg-migrate once, then start again"))


def _sections(script: Script) -> tuple[Script, Script | None]:
    """What applies and what reverts, as node-pg-migrate cuts a file at its first marker of each sort."""
    text = script.text
    up, down = _UP.search(text), _DOWN.search(text)
    if down is None:
        return (script if up is None else _part(script, up, len(text))), None
    if up is None:
        what = "the file has a Down marker and no Up marker"
        hint = "write `-- Up Migration` in front of what applies: node-pg-migrate would run all of it"
        unrunnable = Unrunnable(what, hint, text.index("--", down.start()))
        broken = Script(script.path, text, unrunnable=unrunnable)
        return broken, _part(script, down, len(text))
    ends = (down.start(), len(text)) if up.start() < down.start() else (len(text), up.start())
    return _part(script, up, ends[0]), _part(script, down, ends[1])


def _part(script: Script, marker: re.Match[str], end: int) -> Script:
    """What stands behind the line of *marker*, which would make node-pg-migrate's of what `adopt` writes."""
    line = _REST_OF_LINE.match(script.text, marker.end())
    start = line.end() if line else marker.end()
    return Script(script.path, script.text[start:end], first_line=script.text.count("\n", 0, start) + 1)


def has_both_markers(script: SourceFile) -> bool:
    text = script.data.decode(errors="replace")
    return bool(_UP.search(text) and _DOWN.search(text))


def _digits(name: str) -> str:
    match = _NUMBER.match(name)
    return match.group() if match else ""


def _order(name: str) -> tuple[float, list[tuple[int, str]]]:
    """By the number in front; 17 digits are a moment (UTC), told in milliseconds since 1970."""
    digits = _digits(name)
    moment = _UTC.fullmatch(digits)
    value = float(digits[:300])
    if moment:
        year, month, day, hour, minute, second, ms = map(int, moment.groups())
        try:
            start = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
            value = start.timestamp() * 1000 + ms
        except ValueError:
            pass  # as JavaScript's NaN: it compares with nothing, and the names decide
    words = re.findall(r"[0-9]+|[^\W\d_]+", name.lower())
    return value, [(int(word[:300]), "") if word.isdecimal() else (-1, word) for word in words]
