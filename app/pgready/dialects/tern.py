"""tern's folders and history, as tern 2.4 reads and writes them.

`<number>_<name>.sql`, numbered from 1 without a gap. What stands behind the first `---- create above / drop
below ----`, wherever in the file that is, reverts what stands before it. `---- tern: disable-tx ----`, alone
on its line, opts the half in which it stands out of the transaction. Each half is a template of Go's for
tern: one with `{{` is known here, and never run.

The history is one row, the number of the newest applied file, 0 before the first. There are no gaps in it, so
a file cannot be merged below the newest: it gets a new number (`tern renumber`).

Its table is `public.schema_version`, or what `version_table` in a `tern.conf` says, in which case a name
without a schema is looked up in search_path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
    TableName,
    Unrunnable,
)
from pgready.core.quoting import fill
from pgready.dialects.base import Draft, InCurrentSchema, is_sql
from pgready.dialects.layout import TopLevel, checksum, number, refuse, spellings
from pgready.dialects.native import read_script

_SETTINGS = "tern.conf"
_TABLE = "public.schema_version"

_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>.+)\.sql")
_MEANT = re.compile(r"[0-9].*\.sql", re.IGNORECASE)
_SHAPE = "<digits>_<name>.sql"
_INTEGER_MAX = 2**31 - 1

_SEPARATOR = "---- create above / drop below ----"
_DISABLE_TX = "---- tern: disable-tx ----"
_DISABLES_TX = re.compile(f"^{_DISABLE_TX}$", re.MULTILINE)

_OBSTACLES = (
    (
        re.compile(r"\{\{"),
        Unrunnable(
            "is a template, which only tern can fill in",
            "let that apply it, then start again; or write out what `tern print-migrations` shows",
        ),
    ),
    (
        re.compile(r"--[ \t-]*create[ \t]+above[ \t]*/[ \t]*drop[ \t]+below", re.IGNORECASE),
        Unrunnable(
            f"is not the one `{_SEPARATOR}` of a file, so what is to revert would apply, or the reverse",
            "mend the line; one file has one of them",
        ),
    ),
)
_NOTHING_TO_APPLY = Unrunnable(
    f"has no SQL above `{_SEPARATOR}`, and tern refuses its folder",
    "write what applies it, or delete the file",
)

_LOCK_KEY = 9_628_173_550_095_224

_CREATE = """
CREATE TABLE IF NOT EXISTS :table (version integer NOT NULL PRIMARY KEY);
INSERT INTO :table (version) SELECT 0 WHERE NOT EXISTS (SELECT FROM :table)
"""

_SELECT = "SELECT version FROM :table ORDER BY version"

# Up to tern 2.3.5 the table had no key that ON CONFLICT could name.
_RECORD = """
WITH moved AS (UPDATE :table SET version = :version RETURNING version)
INSERT INTO :table (version) SELECT :version WHERE NOT EXISTS (SELECT FROM moved)
"""

_ACCEPT = "UPDATE :table SET version = :version WHERE version OPERATOR(pg_catalog.<) :version"

_RECORDED = "SELECT FROM :table WHERE version OPERATOR(pg_catalog.>=) :version"

_FORGET = "UPDATE :table SET version = :previous WHERE version OPERATOR(pg_catalog.=) :version"


class Tern(InCurrentSchema):
    """The layout and history of tern, of files that are no templates."""

    name: ClassVar[str] = "tern"
    settings_files: ClassVar[frozenset[str]] = frozenset({_SETTINGS})
    first_version: ClassVar[str] = "001"
    differences: ClassVar[tuple[str, ...]] = (
        "a row newer than every file is a warning (--ahead); tern refuses to run",
        "templates are refused where they are pending",
        "a file with a misspelled separator is refused, and one with two is not reverted; tern runs both",
        "a file with only comments below its separator is not reverted; tern says that it was",
    )

    def __init__(self, table: str = "") -> None:
        super().__init__()
        self._named = table
        self._newest_file = 0

    @property
    def sought(self) -> str:
        return "" if "." in (self._named or _TABLE) else self._named

    @property
    def table(self) -> TableName:
        schema, _, name = (self._named or _TABLE).rpartition(".")
        return TableName(schema or self._schema, name)

    def owns(self, columns: frozenset[str]) -> bool:
        """An old Flyway's table is called the same, and programs make their own with more columns."""
        return columns == {"version"}

    def read(self, files: Sequence[SourceFile], below: str = "") -> Folder:
        """Each numbered file, by number. A gap is an error, as is another script that begins with a digit.

        Scripts in folders below are what templates may include, and no migrations.
        """
        reading = _Reading()
        top = TopLevel(files, below)
        for name, file in top:
            reading.take(name, file)
            if name == _SETTINGS and not self._named:
                self._named = reading.table_in(file)
        migrations = reading.migrations()
        self._newest_file = len(migrations)
        return Folder(
            self.name,
            migrations=migrations,
            ignored=(*top.ignored, *top.skipped, *reading.ignored),
            skipped=tuple(reading.skipped),
        )

    def draft(self, draft: Draft) -> tuple[SourceFile, ...]:
        """It cannot be run before there is a statement in it: tern refuses one that has none."""
        return (SourceFile(f"{draft.stem}.sql", f"\n\n{_SEPARATOR}\n\n".encode()),)

    def create_history(self) -> str:
        return fill(_CREATE, table=self.table)

    def select_history(self, columns: frozenset[str]) -> str:
        return fill(_SELECT, table=self.table)

    def match(self, rows: Sequence[Row], folder: Folder) -> tuple[Applied, ...]:
        """Every file up to the row's number; the number itself, where it is greater than every file's."""
        newest: int = rows[-1]["version"] if rows else 0
        files = spellings(folder.migrations)
        applied = [Applied(each.version, each.name) for at, each in files.items() if at <= newest]
        if newest > len(files):
            applied.append(Applied(str(newest)))
        return tuple(applied)

    def record(self, migration: Migration, outcome: Outcome, columns: frozenset[str]) -> str:
        return self._of(_RECORD, migration)

    def recorded(self, migration: Migration) -> str:
        return self._of(_RECORDED, migration)

    def accept(self, migration: Migration, token_checksum: str | None) -> str:
        """Nothing to do: a row holds no more than its version."""
        return self._of(_ACCEPT, migration)

    def forget(self, applied: Applied) -> str:
        """Back to the number before, or to the newest file's where that is gone for good."""
        version = int(applied.version)
        previous = min(version - 1, self._newest_file)
        return fill(_FORGET, table=self.table, version=version, previous=previous)

    def lock_keys(self, database: str) -> tuple[int, ...]:
        return (_LOCK_KEY,)

    def _of(self, template: str, migration: Migration) -> str:
        return fill(template, table=self.table, version=int(migration.version))


class _Reading:
    """A folder on its way to being understood; collects every problem."""

    def __init__(self) -> None:
        self.ignored: list[str] = []
        self.skipped: list[str] = []
        self._problems: list[str] = []
        self._found: dict[int, Migration] = {}

    def take(self, name: str, file: SourceFile) -> None:
        match = _NAME.fullmatch(name)
        version = number(match["version"]) if match else None
        if match is None:
            self._pass_over(name, file.path)
        elif not version or version > _INTEGER_MAX:
            self._problems.append(f"{file.path}: its number is not one from 1 to {_INTEGER_MAX}")
        elif version in self._found:
            other = self._found[version].script.path
            self._problems.append(f"{file.path}: has the version of {other}, {match['version']}")
        else:
            up, down = _halves(file, self._problems)
            self._found[version] = Migration(match["version"], match["name"], up, checksum(file), revert=down)

    def _pass_over(self, name: str, path: str) -> None:
        if _MEANT.fullmatch(name):
            self._problems.append(f"{path}: not a migration's name; it is {_SHAPE}")
        else:
            (self.skipped if is_sql(name) else self.ignored).append(path)

    def table_in(self, settings: SourceFile) -> str:
        """What `tern.conf` calls the table, as the server would read it; nothing where it does not say."""
        written = _version_table(settings)
        if "{{" in written:
            self._problems.append(
                f"{settings.path}: its version_table is a template; say what it is: PGREADY_HISTORY_TABLE"
            )
        return ".".join(part[1:-1] if part.startswith('"') else part.lower() for part in written.split("."))

    def migrations(self) -> tuple[Migration, ...]:
        """What was read, by number. Raises FolderError."""
        found = sorted(self._found.items())
        for before, (version, migration) in zip((0, *(version for version, _ in found)), found, strict=False):
            if version != before + 1:
                self._problems.append(
                    f"{migration.script.path}: the number before it, {version - 1}, has no file: "
                    "tern counts from 1 without a gap"
                )
        refuse(self._problems)
        return tuple(migration for _, migration in found)


def _halves(file: SourceFile, problems: list[str]) -> tuple[Script, Script | None]:
    """What applies and what reverts."""
    above, _, below = read_script(file, problems).text.partition(_SEPARATOR)
    up = _half(file.path, above, 1)
    if not _has_sql(above):
        up = replace(up, unrunnable=_NOTHING_TO_APPLY)
    return up, _half(file.path, below, above.count("\n") + 1) if _has_sql(below) else None


def _half(path: str, text: str, first_line: int) -> Script:
    """Without the marker, which would make tern's of what `adopt` writes."""
    transactional = _DISABLES_TX.search(text.strip()) is None
    text = text.replace(_DISABLE_TX, "")
    return Script(
        path,
        text,
        first_line=first_line,
        transactional=transactional,
        unrunnable=next(_obstacles(text), None),
    )


def _obstacles(text: str) -> Iterator[Unrunnable]:
    for pattern, obstacle in _OBSTACLES:
        if match := pattern.search(text):
            yield replace(obstacle, offset=match.start())


def _has_sql(text: str) -> bool:
    """Whether tern finds anything in *text*: it looks for lines that are neither blank nor comments."""
    lines = (line.strip() for line in text.split("\n"))
    return any(line and not line.startswith("--") for line in lines)


def _version_table(settings: SourceFile) -> str:
    """`version_table` of the section `database`, as it is written."""
    section, table = "", ""
    for line in map(str.strip, settings.data.decode(errors="replace").splitlines()):
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and section == "[database]" and name == "version_table":
            table = value
        elif line.startswith("["):
            section = line
    return table
