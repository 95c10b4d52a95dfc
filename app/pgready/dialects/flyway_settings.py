"""What Flyway's own settings say that matters to a run: environment, `flyway.toml` and `flyway.conf`.

The files are read where they lie at the top of the migration folder. Settings that would make Flyway read
the folder in another way than we do are refused by name; those of connections and commands are not ours.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from pgready.core.model import SourceFile

FILES = ("flyway.conf", "flyway.toml", "flyway.user.toml")
"""The later ones win; the environment wins over all."""

TABLE = "flyway_schema_history"

_PREFIX = "FLYWAY_"
_PLACEHOLDERS = "placeholders."

# Each with what it is by default, in lower case: only something else matters.
_REFUSED: Mapping[str, str] = {
    "sqlMigrationPrefix": "v",
    "repeatableSqlMigrationPrefix": "r",
    "baselineMigrationPrefix": "b",
    "undoSqlMigrationPrefix": "u",
    "sqlMigrationSeparator": "__",
    "sqlMigrationSuffixes": ".sql",
    "encoding": "utf-8",
    "placeholderSeparator": ":",
    "target": "latest",
    "cherryPick": "",
    "initSql": "",
    "callbacks": "",
    "resolvers": "",
    "skipExecutingMigrations": "false",
}

_VARIABLE = re.compile(r"\$\{(?:env\.)?(\w+)\}")


class FlywaySettings(Struct, frozen=True):
    """*placeholders* by their names in lower case. *schema* is None where the session's own is meant."""

    placeholders: Mapping[str, str] = {}
    prefix: str = "${"
    suffix: str = "}"
    replaces: bool = True
    table: str = TABLE
    schema: str | None = None


def read(files: Sequence[SourceFile], environ: Mapping[str, str], problems: list[str]) -> FlywaySettings:
    """The settings of *files* (some of FILES) and *environ*; what is wrong with them joins *problems*."""
    found: dict[str, str] = {}
    for file in sorted(files, key=lambda file: FILES.index(file.path.rpartition("/")[2])):
        for name, value in _of_file(file, problems):
            found[name] = _VARIABLE.sub(lambda match: environ.get(match[1], ""), value)
            _refuse(file.path, name, found[name], problems)
    for variable, value in environ.items():
        if variable.startswith(_PREFIX):
            name = _camel(variable)
            found[name] = value
            _refuse(variable, name, value, problems)
    schemas = found.get("schemas", "").partition(",")[0].strip()
    return FlywaySettings(
        placeholders={
            name.removeprefix(_PLACEHOLDERS).lower(): value
            for name, value in found.items()
            if name.startswith(_PLACEHOLDERS)
        },
        prefix=found.get("placeholderPrefix") or "${",
        suffix=found.get("placeholderSuffix") or "}",
        replaces=found.get("placeholderReplacement", "true").lower() != "false",
        table=found.get("table") or TABLE,
        schema=found.get("defaultSchema") or schemas or None,
    )


def properties(text: str) -> Iterator[tuple[str, str]]:
    """The names and values of a `.conf` file."""
    for line in text.removeprefix("\ufeff").replace("\\\r\n", "").replace("\\\n", "").splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith("#"):
            yield name.strip(), value.strip()


def _of_file(file: SourceFile, problems: list[str]) -> Iterator[tuple[str, str]]:
    try:
        text = file.data.decode()
        if file.path.endswith(".conf"):
            for name, value in properties(text):
                yield name.removeprefix("flyway."), value
        else:
            yield from _flat(tomllib.loads(text).get("flyway", {}))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        problems.append(f"{file.path}: {problem}")


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", ",".join(map(str, value))
        elif isinstance(value, bool):
            yield f"{prefix}{name}", str(value).lower()
        else:
            yield f"{prefix}{name}", str(value)


def _camel(variable: str) -> str:
    """`FLYWAY_DEFAULT_SCHEMA` as `defaultSchema`, `FLYWAY_PLACEHOLDERS_MY_NAME` as `placeholders.MY_NAME`."""
    name = variable.removeprefix(_PREFIX)
    first, underscore, rest = name.partition("_")
    if first == "PLACEHOLDERS" and underscore:
        return f"{_PLACEHOLDERS}{rest}"
    lowered = "".join(f"_{part[:1].upper()}{part[1:].lower()}" for part in name.split("_"))
    return lowered[1:2].lower() + lowered[2:].replace("_", "")


def _refuse(where: str, name: str, value: str, problems: list[str]) -> None:
    default = _REFUSED.get(name)
    if default is not None and value.strip().lower() != default:
        problems.append(
            f"{where}: {name} is set, and would make Flyway read the folder otherwise than pgready"
        )
