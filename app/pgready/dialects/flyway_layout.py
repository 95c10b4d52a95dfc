"""Flyway's folders: which file is what, and its text with the placeholders replaced.

Flyway passes over a file in silence whose name it cannot read, unless `validateMigrationNaming` is set.
Here one that was surely meant as a migration is an error, any other script is warned of.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.model import Kind, Migration, Script, SourceFile, Unrunnable
from pgready.dialects import flyway_settings, placeholders
from pgready.dialects.base import Surroundings, is_sql
from pgready.dialects.flyway_settings import FlywaySettings
from pgready.dialects.native import read_script
from pgready.dialects.placeholders import Placeholder

Number = tuple[int, ...]

DEFAULT_SCHEMA = "flyway:defaultschema"
ASSUMED_SCHEMA = "public"

_NAME = re.compile(
    r"(?:(?P<prefix>[VUB])(?P<version>[0-9]+(?:[._][0-9]+)*)|(?P<repeatable>R))"
    r"(?:__(?P<description>.*))?\.sql",
    re.DOTALL,
)
_SUFFIX = re.compile(r"\.sql$", re.IGNORECASE)
_MEANT = re.compile(r"(?:[VUB][._]?[0-9].*|[VUBR]_.*|[vubr][0-9._]*__.*)\.sql", re.IGNORECASE | re.DOTALL)
_PROGRAM = re.compile(
    r"(?:[VUB][0-9][0-9._]*|R)__.*\.(?:java|class|kt|kts|groovy|scala|py|sh|bash|ps1|bat|cmd)", re.DOTALL
)
_SHAPE = "V<version>__<description>.sql, R__<description>.sql, U<version>__… or B<version>__…"

# The callbacks of `migrate`. Those of its other commands (clean, repair, info, …) never run here either.
_CALLBACK = re.compile(
    r"(?P<event>(?:before|after)(?:Each)?Migrate(?:Statement)?(?:Error|Applied|OperationFinish)?"
    r"|(?:before|after)(?:Versioned|Repeatables|Validate|ValidateError|Connect)"
    r"|(?:beforeC|c)reateSchema)(?:__.*)?\.sql",
    re.DOTALL,
)
_OTHER_CALLBACK = re.compile(
    r"(?:before|after)(?:Each)?(?:Clean|Undo|Baseline|Repair|Info)(?:Statement)?(?:Error|OperationFinish)?"
    r"(?:__.*)?\.sql",
    re.DOTALL,
)

_BOOLEANS = {"true": True, "false": False}


class Place(Struct, frozen=True):
    """What Flyway writes of a file beside its version; *raw* is the checksum of the file as it is."""

    description: str
    script: str
    raw: str


class Layout:
    """A Flyway folder on its way to being understood; collects every problem."""

    def __init__(self, around: Surroundings, below: str) -> None:
        self.problems: list[str] = []
        self.ignored: list[str] = []
        self.skipped: list[str] = []
        self.places: dict[tuple[Kind, str], Place] = {}
        self.settings = FlywaySettings()
        self.asks_schema = False
        self._around = around
        self._below = below
        self._conf: dict[str, Mapping[str, str]] = {}
        self._versions: dict[tuple[str, Number], Migration] = {}
        self._reverts: dict[Number, Script] = {}
        self._repeatables: dict[str, Migration] = {}

    def read(self, files: Sequence[SourceFile]) -> None:
        """Take all *files*; settings and sidecars first, for they say how the scripts are read."""
        own = [file for file in files if file.path.removeprefix(self._below) in flyway_settings.FILES]
        self.settings = flyway_settings.read(own, self._around.environ, self.problems)
        scripts = {file.path for file in files if is_sql(file.path)}
        for file in files:
            if file.path.endswith(".conf") and file.path.removesuffix(".conf") in scripts:
                self._conf[file.path.removesuffix(".conf")] = self._sidecar(file)
            elif not is_sql(file.path):
                self._pass_over(file)
        for file in files:
            if is_sql(file.path):
                self._take(file)

    def versioned(self) -> Iterator[Migration]:
        """In order; a baseline migration stands behind the version that it stands for."""
        for number in self._reverts.keys() - {number for prefix, number in self._versions if prefix == "V"}:
            self.problems.append(f"{self._reverts[number].path}: undoes a version that has no file")
        for (prefix, number), migration in sorted(
            self._versions.items(), key=lambda item: (item[0][1], item[0][0] == "B")
        ):
            revert = self._reverts.get(number) if prefix == "V" else None
            yield replace(migration, revert=revert)

    def repeatables(self) -> Iterator[Migration]:
        """By description, as Flyway runs them."""
        for _, migration in sorted(self._repeatables.items()):
            yield migration

    def _pass_over(self, file: SourceFile) -> None:
        name = file.path.rpartition("/")[2]
        if _PROGRAM.fullmatch(name):
            self.problems.append(f"{file.path}: is a program; pgready runs SQL alone")
        self.ignored.append(file.path)

    def _take(self, file: SourceFile) -> None:
        name = _SUFFIX.sub(".sql", file.path.rpartition("/")[2])
        match = _NAME.fullmatch(name)
        if match is None:
            self._take_other(file.path, name)
        elif match["repeatable"]:
            self._take_repeatable(file, match["description"] or "")
        else:
            self._take_version(file, match["prefix"], match["version"], match["description"] or "")

    def _take_other(self, path: str, name: str) -> None:
        if callback := _CALLBACK.fullmatch(name):
            event = callback["event"]
            self.problems.append(
                f"{path}: is Flyway's callback {event}, which pgready does not run; what is to run whenever "
                "it changes belongs into an R__ file, what is to hold after each run into checks/"
            )
        elif _OTHER_CALLBACK.fullmatch(name):
            self.ignored.append(path)
        elif _MEANT.fullmatch(name):
            self.problems.append(f"{path}: not a migration's name; it is {_SHAPE}")
        else:
            self.skipped.append(path)

    def _take_version(self, file: SourceFile, prefix: str, version: str, description: str) -> None:
        number = number_of(version)
        script = self._script(file)
        if prefix == "U":
            if other := self._reverts.get(number):
                self.problems.append(f"{file.path}: has the version of {other.path}, {version}")
            self._reverts[number] = script
            return
        if twin := self._versions.get((prefix, number)):
            self.problems.append(f"{file.path}: has the version of {twin.script.path}, {version}")
        shown = version.replace("_", ".")
        checksum = checksum_of(script.shown)
        migration = Migration(f"B{shown}" if prefix == "B" else shown, description, script, checksum)
        self._versions[prefix, number] = migration
        self._place(migration, description, checksum)

    def _take_repeatable(self, file: SourceFile, description: str) -> None:
        script = self._script(file)
        if twin := self._repeatables.get(description.replace("_", " ")):
            self.problems.append(f"{file.path}: has the description of {twin.script.path}")
        migration = Migration(
            f"R__{description}", description, script, checksum_of(script.text), kind=Kind.REPEATABLE
        )
        self._repeatables[description.replace("_", " ")] = migration
        self._place(migration, description, checksum_of(script.shown))

    def _place(self, migration: Migration, description: str, raw: str) -> None:
        path = migration.script.path.removeprefix(self._below)
        place = Place(_at_most(description.replace("_", " "), 200), _tail(path, 1000), raw)
        self.places[migration.kind, migration.version] = place

    def _script(self, file: SourceFile) -> Script:
        script = read_script(file, self.problems)
        conf = self._conf.get(file.path, {})
        if not _BOOLEANS.get(conf.get("executeInTransaction", "true").lower(), True):
            script = replace(script, transactional=False)
        if not _BOOLEANS.get(conf.get("placeholderReplacement", str(self.settings.replaces)).lower(), True):
            return script
        values = {**self.settings.placeholders, **self._defaults(file.path.rpartition("/")[2])}
        return placeholders.fill_in(script, partial(self._find, values), self._no_value)

    def _find(self, values: Mapping[str, str], text: str, start: int) -> Placeholder | None:
        prefix, suffix = self.settings.prefix, self.settings.suffix
        begin = text.find(prefix, start)
        if begin < 0:
            return None
        stop = text.find(suffix, begin + len(prefix))
        name = text[begin + len(prefix) : None if stop < 0 else stop]
        self.asks_schema |= name.lower() == DEFAULT_SCHEMA and self.settings.schema is None
        end = len(text) if stop < 0 else stop + len(suffix)
        return Placeholder(begin, end, name, values.get(name.lower()) if stop >= 0 else None)

    def _defaults(self, name: str) -> Mapping[str, str]:
        """Those that Flyway itself gives a value; what is not known here (no target yet) has none."""
        known = {
            DEFAULT_SCHEMA: self.settings.schema or ASSUMED_SCHEMA,
            "flyway:user": self._around.user,
            "flyway:database": self._around.database,
            "flyway:timestamp": self._around.timestamp,
            "flyway:table": self.settings.table,
            "flyway:filename": name,
        }
        return {name: value for name, value in known.items() if value}

    def _no_value(self, name: str) -> Unrunnable:
        shown = f"{self.settings.prefix}{_at_most(name.splitlines()[0] if name else '', 60)}"
        variable = re.sub(r"\W", "_", name[:60]).upper()
        return Unrunnable(
            f"no value for the placeholder {shown}{self.settings.suffix}",
            f"set FLYWAY_PLACEHOLDERS_{variable}, or the file's .conf: placeholderReplacement=false",
        )

    def _sidecar(self, file: SourceFile) -> Mapping[str, str]:
        conf = dict(flyway_settings.properties(file.data.decode(errors="replace")))
        for name, value in conf.items():
            low = value.lower()
            if name in ("executeInTransaction", "placeholderReplacement"):
                wrong = low not in _BOOLEANS
            elif name == "encoding":
                wrong = low.replace("-", "").replace("_", "") != "utf8"
            else:
                wrong = name != "shouldExecute" or low != "true"
            if wrong:
                self.problems.append(f"{file.path}: {name}={value} is not supported")
        return conf


def number_of(version: str) -> Number:
    """*version* as Flyway compares it: parts are numbers, trailing zeros do not count."""
    parts = [_integer(part) for part in re.split(r"[._]", version)]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return tuple(parts)


def spelling(path: str) -> str:
    """The version of a versioned or baseline file as its name has it: `V1_2__x.sql` says `1_2`."""
    match = _NAME.fullmatch(_SUFFIX.sub(".sql", path.rpartition("/")[2]))
    assert match is not None, "the file was read by its name"
    return match["version"]


def _integer(digits: str) -> int:
    # int() has a limit of 4300 digits, file names have 255 at most; a history row may hold anything.
    return int(digits[:300]) if digits.isascii() and digits.isdigit() else -1


def checksum_of(text: str) -> str:
    """Flyway's checksum: a signed CRC-32 over the lines, without what ends them and a byte order mark."""
    value = 0
    for line in re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")):
        value = zlib.crc32(line.encode(), value)
    return str(value - 2**32 if value >= 2**31 else value)


def _at_most(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _tail(text: str, length: int) -> str:
    return text if len(text) <= length else f"...{text[3:length]}"
