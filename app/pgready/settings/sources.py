"""Where settings come from, nearest first: flags, environment, `*_FILE`, `.env`, `pgready.toml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import IntEnum
from pathlib import Path

from msgspec import Struct

from pgready.core.suggestions import suggest
from pgready.settings import catalogue
from pgready.settings.catalogue import Setting

ReadFile = Callable[[str], str | None]
"""Gives a file's text, None where there is no such file; may raise OSError or UnicodeDecodeError."""


class Rank(IntEnum):
    """How near a source is; the nearest wins."""

    FLAG = 0
    ENVIRONMENT = 1
    DOTENV = 2
    FILE = 3
    DEFAULT = 4


class Found(Struct, frozen=True):
    """A text that was configured, and where."""

    text: str
    origin: str
    rank: Rank


def nearest(given: Iterator[Found]) -> Found | None:
    """The first of *given* that comes from a real variable, else the first; no more are asked for."""
    first = next(given, None)
    if first is None or first.rank is Rank.ENVIRONMENT:
        return first
    return next((each for each in given if each.rank is Rank.ENVIRONMENT), first)


def read_text_file(path: str) -> str | None:
    """The ReadFile of a process: the text of *path* in UTF-8, None where there is no such file."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # the last: `~nobody-of-that-name`
        return None


_FOLDER = "cannot be read (Is a directory)"
_NO_TEXT = "is not UTF-8 text"


class Files:
    """Reads files, turning what goes wrong into a problem line."""

    def __init__(self, read_file: ReadFile, problems: list[str]) -> None:
        self._read_file = read_file
        self._problems = problems

    def read(self, path: str, named_by: str | None = None) -> str | None:
        """The text of *path*; None where there is none, which is a problem only if *named_by* says who
        asked for it. The path is not shown: people put the secret itself there by mistake."""
        text, why = self._read(path)
        if text is None and named_by is not None:
            self._problems.append(f"{named_by} names a file that {why or 'does not exist'}")
        return text

    def read_own(self, name: str, *, may_be_folder: bool = False) -> str | None:
        """The text of the settings file *name*, which need not be there, but where it is must be readable."""
        text, why = self._read(name)
        if why is not None and not (may_be_folder and why == _FOLDER):
            self._problems.append(f"{name} {why}")
        return text

    def _read(self, path: str) -> tuple[str | None, str | None]:
        """The text without a byte order mark, and why there is none although there is such a file."""
        try:
            text = self._read_file(path)
        except IsADirectoryError:
            return None, _FOLDER
        except OSError as problem:
            return None, f"cannot be read ({problem.strerror or 'error'})"
        except ValueError:
            return None, _NO_TEXT
        if text is not None and "\0" in text:  # UTF-16 without its mark
            return None, _NO_TEXT
        return text and text.removeprefix("\ufeff"), None


class Variables:
    """The environment over `.env`, with the `*_FILE` form of every variable. An empty one is not set."""

    def __init__(self, environ: Mapping[str, str], files: Files, problems: list[str]) -> None:
        self._files = files
        self._problems = problems
        self._real = {name: value for name, value in environ.items() if value}
        dotenv = files.read_own(".env", may_be_folder=True)  # of a virtual environment
        self._dotenv = read_dotenv(dotenv, self._real) if dotenv else {}
        self._cache: dict[str, Found | None] = {}

    @property
    def all(self) -> dict[str, str]:
        """Every variable as it is written, in the order of the names."""
        return dict(sorted({**self._dotenv, **self._real}.items()))

    def dotenv(self, name: str) -> str | None:
        """What `.env` has for *name*, where the environment has nothing."""
        return self._dotenv.get(name)

    def get(self, name: str) -> Found | None:
        """What *name* or its `*_FILE` form gives. Both set in one source is a problem."""
        if name not in self._cache:
            self._cache[name] = self._in(self._real, name, Rank.ENVIRONMENT, "") or self._in(
                self._dotenv, name, Rank.DOTENV, ".env: "
            )
        return self._cache[name]

    def plain(self, name: str) -> Found | None:
        """What *name* itself gives; nobody looks whether its `*_FILE` form is set."""
        if name in self._real:
            return Found(self._real[name], name, Rank.ENVIRONMENT)
        value = self._dotenv.get(name)
        return None if value is None else Found(value, f".env: {name}", Rank.DOTENV)

    def _in(self, values: Mapping[str, str], name: str, rank: Rank, prefix: str) -> Found | None:
        value, path = values.get(name), values.get(f"{name}_FILE")
        if value is not None and path is not None:
            self._problems.append(f"{prefix}{name} and {name}_FILE are both set; set one of them")
        if value is not None:
            return Found(value, f"{prefix}{name}", rank)
        if path is None:
            return None
        text = (self._files.read(path, f"{prefix}{name}_FILE") or "").rstrip("\r\n")
        return Found(text, f"{prefix}{name}_FILE", rank)


# Patterns are compiled where they are used: most deployments have no .env.
_LINE = r"""(?mxs)^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
    (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^\n]*?))
    [ \t]*(?:(?<=[\s'"=])\#[^\n]*)?$"""
_ESCAPE = r"(?s)\\(.)"
_REFERENCE = r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::?-(?P<default>[^}]*))?\}"
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read_dotenv(text: str, real: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file that *real* does not hold, in either form (`X`, `X_FILE`).

    `export`, comments, single quotes (as they are) and double quotes (with escapes) are read;
    `${NAME}` and `${NAME:-default}` are replaced outside single quotes. Other lines are someone else's.
    """
    found: dict[str, str] = {}

    def expand(match: re.Match[str]) -> str:
        name = match["name"]
        return real.get(name) or found.get(name) or match["default"] or ""

    for match in re.finditer(_LINE, text.replace("\r\n", "\n")):
        value = match["single"]
        if value is None and match["double"] is not None:
            unescaped = re.sub(_ESCAPE, lambda escape: _ESCAPES.get(escape[1], escape[1]), match["double"])
            value = re.sub(_REFERENCE, expand, unescaped)
        elif value is None:
            value = re.sub(_REFERENCE, expand, match["bare"])
        found[match["name"]] = value
    return {
        name: value
        for name, value in found.items()
        if value and not ({name, f"{name}_FILE", name.removesuffix("_FILE")} & real.keys())
    }


class File(Struct, frozen=True):
    """`pgready.toml`, or the table `[tool.pgready]` of `pyproject.toml`."""

    name: str
    table: Mapping[str, object] = {}


def read_settings_file(files: Files, problems: list[str], notices: list[str]) -> File:
    """The settings file of this directory; an empty one where there is none."""
    own = files.read_own("pgready.toml")
    project = files.read("pyproject.toml") or ""
    named = "pgready" in project and re.search(_NAMED, project)
    table = _of_project(project, problems if own is None else []) if named else None
    if own is not None:
        if table is not None:
            notices.append("[tool.pgready] of pyproject.toml is not read: there is a pgready.toml")
        return File("pgready.toml", _parse_toml(own, "pgready.toml", problems))
    return File("pgready.toml") if table is None else File("pyproject.toml [tool.pgready]", table)


# As a key or a part of one, however it is written; most have at most a dependency of that name.
_NAMED = r"""(?m)(?:^|[.{,])[ \t]*["']?pgready["']?[ \t]*(?:[.\]]|=(?!=))"""


def _of_project(text: str, problems: list[str]) -> Mapping[str, object] | None:
    tool = _parse_toml(text, "pyproject.toml", problems).get("tool")
    table = tool.get("pgready") if isinstance(tool, dict) else None
    if table is None or isinstance(table, dict):
        return table
    problems.append("pyproject.toml: tool.pgready must be a table")
    return None


def _parse_toml(text: str, name: str, problems: list[str]) -> dict[str, object]:
    import tomllib  # 4 ms, and most deployments have no such file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        place = re.search(r"\(at [^()]*\)$", str(problem))
    problems.append(f"{name}: not valid TOML {place.group() if place else ''}".rstrip())
    return {}


class Sources:
    """Finds settings in all sources, and what in them is no setting."""

    def __init__(
        self, flags: Mapping[str, object], variables: Variables, file: File, problems: list[str]
    ) -> None:
        self._flags = flags
        self._variables = variables
        self._file = file
        self._problems = problems

    def find(self, setting: Setting) -> Found | None:
        """The nearest source's text for *setting*."""
        return self.flag(setting) or self.variable(setting) or self.in_file(setting)

    def flag(self, setting: Setting) -> Found | None:
        return self._written(self._flags.get(setting.name), setting.flag, Rank.FLAG)

    def variable(self, setting: Setting) -> Found | None:
        given = (
            found
            for name in (setting.variable, *setting.also)
            if (found := self._variables.get(name))
            and found.text
            and not catalogue.is_service_link(name, found.text)
        )
        return nearest(given)

    def in_file(self, setting: Setting) -> Found | None:
        value = self._file.table.get(setting.name)
        return self._written(value, f"{self._file.name}: {setting.name}", Rank.FILE)

    def _written(self, value: object, origin: str, rank: Rank) -> Found | None:
        match value:
            case None | "":
                return None
            case bool():
                return Found("true" if value else "false", origin, rank)
            case str() | int() | float():
                return Found(str(value), origin, rank)
            case list() | tuple() if all(isinstance(item, str) for item in value):
                return Found(",".join(value), origin, rank) if value else None
        self._problems.append(f"{origin} must be text, a number or true/false")
        return None

    def check_names(self, declared_keys: Collection[str], other_variables: Collection[str]) -> None:
        """Report `PGREADY_*` variables and keys of the file that mean nothing."""
        known = {setting.variable for setting in catalogue.CATALOGUE} | catalogue.OTHER_VARIABLES.keys()
        for name, value in self._variables.all.items():
            if name.startswith("PGREADY_") and not (
                name in known
                or name in other_variables
                or name.removesuffix("_FILE") in known
                or re.fullmatch(catalogue.TESTS_AND_TOOLS, name)
                or catalogue.is_service_link(name, value)
            ):
                self._problems.append(f"{name} is no variable of pgready{suggest(name, known)}")
        keys = {*catalogue.BY_NAME, *declared_keys}
        for key in self._file.table:
            if key not in keys:
                self._problems.append(f"{self._file.name}: unknown key {key}{suggest(key, keys)}")
