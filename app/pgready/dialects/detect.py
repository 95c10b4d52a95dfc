"""Which dialect a folder is written in, and everything in it that is to be run.

Native is what nobody else claims. Side folders (`bootstrap/`, `repeatable/`, `checks/`, `seeds/`) belong
to every dialect. A dialect's module is imported when a folder is its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.errors import FolderError, SettingsError
from pgready.core.model import Folder, Kind, Migration, Script, SourceFile
from pgready.core.suggestions import suggest
from pgready.dialects.base import Dialect, InCurrentSchema, Surroundings, is_sql
from pgready.dialects.native import read_script
from pgready.dialects.strangers import PROGRAMS, find_strangers, two_way_files

DIALECTS: Mapping[str, str] = {
    "native": "native.Native",
    "drizzle": "drizzle.Drizzle",
    "golang-migrate": "golang_migrate.GolangMigrate",
    "goose": "goose.Goose",
    "dbmate": "dbmate.Dbmate",
    "sqlx": "sqlx.Sqlx",
    "flyway": "flyway.Flyway",
    "node-pg-migrate": "node_pg_migrate.NodePgMigrate",
    "prisma": "prisma.Prisma",
    "graphile-migrate": "graphile_migrate.GraphileMigrate",
    "tern": "tern.Tern",
    "refinery": "refinery.Refinery",
}
"""Every dialect by its name for `--dialect`: its module here, and its class."""

_READ: Mapping[str, tuple[str, ...]] = {
    "Flyway or refinery": ("flyway", "refinery"),
    "Prisma": ("prisma",),
    "golang-migrate or sqlx": ("golang-migrate", "sqlx"),
}
"""The dialects that a folder may be written in which betrays a tool of `strangers`, where any is read."""

_PLAIN = ("native", "sqlx", "node-pg-migrate", "tern")
"""The dialects in which numbered files may be written that nothing marks as anybody's."""

_ONE_WAY = ("native", "sqlx")
"""Those of them that never have what reverts in the same file."""

_NAMES_PROGRAMS = ("goose", "node-pg-migrate")
"""The dialects that tell programs from scripts themselves, file by file."""

_SIDES = ("bootstrap", "repeatable", "checks", "seeds")
MAIN = "migrations/"
"""Where a folder's migrations are, if there is such a folder in it; else in the folder itself."""

_VERSIONED = re.compile(r"[0-9]+_.*\.sql", re.IGNORECASE)


class _Parts(Struct, frozen=True):
    """A folder's files by purpose; all of *main* lie below *below*: `migrations/`, or nothing."""

    below: str
    main: tuple[SourceFile, ...]
    sides: Mapping[str, list[SourceFile]]
    beside: tuple[SourceFile, ...]


def make(name: str, around: Surroundings | None = None) -> Dialect:
    """The dialect of that *name*, one of DIALECTS."""
    module, _, kind = DIALECTS[name].partition(".")
    dialect: type[Dialect] = getattr(import_module(f"pgready.dialects.{module}"), kind)
    return dialect.made(around or Surroundings())


def read(
    files: Sequence[SourceFile],
    *,
    dialect: str | None,
    namespace: str,
    around: Surroundings | None = None,
) -> tuple[Dialect, Folder]:
    """The dialect of *files*, by its proofs or by name, and the folder as it reads it.

    *around* is for files into which their tool puts values; its namespace is *namespace*.

    Raises SettingsError for an unknown *dialect* or a table that it cannot have, FolderError for everything
    else, all problems at once.
    """
    parts = _split(files)
    candidates = _fitting(parts, dialect)
    chosen = make(candidates[0], replace(around or Surroundings(), namespace=namespace))
    if around and around.table and not isinstance(chosen, InCurrentSchema):
        raise SettingsError((f"{around.table_from}: {chosen.name}'s history is always {chosen.table}",))
    if chosen.name not in _PLAIN:
        parts = _split(files, chosen.claims)
    problems = [
        f"{file.path}: lies beside {MAIN}, where it would never run"
        for file in parts.beside
        if _VERSIONED.fullmatch(file.path)
    ]
    hint = "nothing was run"
    try:
        settings = [file for file in parts.beside if file.path in chosen.settings_files]
        folder = chosen.read((*settings, *parts.main), parts.below)
    except FolderError as refused:
        folder = Folder(chosen.name)
        problems += refused.problems
        hint = refused.hint or hint
        if len(candidates) > 1 and chosen.name not in _PLAIN:
            others = " or ".join(f"--dialect {name}" for name in candidates[1:])
            hint = f"it was read as {chosen.name}'s; where it is not: {others}"
    sides = parts.sides
    complete = replace(
        folder,
        bootstrap=_scripts(sides["bootstrap"], Kind.BOOTSTRAP, problems),
        repeatables=(*folder.repeatables, *_scripts(sides["repeatable"], Kind.REPEATABLE, problems)),
        checks=tuple(read_script(file, problems) for file in _sql(sides["checks"])),
        ignored=tuple(sorted({*folder.ignored, *_ignored(parts)})),
        candidates=candidates if folder.migrations and len(candidates) > 1 else (),
    )
    if problems:
        raise FolderError(tuple(problems), hint=hint)
    return chosen, complete


def recognise(files: Sequence[SourceFile], dialect: str | None) -> str:
    """The name of the dialect as which `read` would read *files*. Raises as that does."""
    return _fitting(_split(files), dialect)[0]


def _fitting(parts: _Parts, dialect: str | None) -> tuple[str, ...]:
    return _candidates(parts) if dialect is None else (_named(parts, dialect),)


def _nobodys(path: str) -> bool:
    return False


def _split(files: Sequence[SourceFile], claims: Callable[[str], bool] = _nobodys) -> _Parts:
    sides: dict[str, list[SourceFile]] = {side: [] for side in _SIDES}
    below: list[SourceFile] = []
    beside: list[SourceFile] = []
    for file in files:
        top, slash, _ = file.path.partition("/")
        if slash and top in sides and not claims(file.path):
            sides[top].append(file)
        else:
            (below if file.path.startswith(MAIN) else beside).append(file)
    if below and not any(claims(file.path) for file in beside):
        return _Parts(MAIN, tuple(below), sides, tuple(beside))
    return _Parts("", (*below, *beside), sides, ())


def _named(parts: _Parts, dialect: str) -> str:
    if dialect not in DIALECTS:
        known = ", ".join(DIALECTS)
        raise SettingsError(
            (f"dialect {dialect!r} is not known{suggest(dialect, DIALECTS)}; known are {known}",)
        )
    if dialect in _ONE_WAY and (problems := two_way_files(_sql(parts.main))):
        hint = "put what reverts into <version>_<name>.down.sql beside the file"
        raise FolderError(tuple(problems), hint=hint)
    return dialect


def _candidates(parts: _Parts) -> tuple[str, ...]:
    """The dialects that the folder's own files prove, or fit; the first is what it is read as."""
    paths = [file.path.removeprefix(parts.below) for file in parts.main]
    proofs = find_strangers([*paths, *(file.path for file in parts.beside)], _sql(parts.main))
    if drizzle := _drizzle(paths):
        proofs = {"drizzle": drizzle, **proofs}
    if any(name in proofs for name in _NAMES_PROGRAMS):
        proofs.pop(PROGRAMS, None)
    for name in [name for name in proofs if not proofs.keys().isdisjoint(_READ.get(name, ()))]:
        del proofs[name]  # one of those that it may be is proven
    one_marker = "node-pg-migrate" in proofs and not _goes_both_ways(_sql(parts.main))
    if one_marker and len(proofs) > 1:
        del proofs["node-pg-migrate"]  # a comment in another tool's file
    if len(proofs) > 1:
        lines = [f"{name}: {proof}" for name, proof in proofs.items()]
        hint = "say which it is with --dialect"
        raise FolderError(("the folder looks like more than one tool's", *lines), hint=hint)
    for name, proof in proofs.items():
        if name == "node-pg-migrate" and one_marker:
            return (name, "native")
        if name in _READ or name in DIALECTS:
            return _READ.get(name, (name,))
        raise FolderError(
            (f"the folder looks like {name}'s ({proof}), which this version does not read",),
            hint=f"it reads {', '.join(DIALECTS)}; --dialect says which, where this is a mistake",
        )
    if any(path.endswith("/migration.sql") for path in paths):
        raise FolderError(
            ("the folder is Prisma's without its migration_lock.toml, or Drizzle 1.0's without a snapshot",),
            hint="say which it is: --dialect prisma or --dialect drizzle",
        )
    return _PLAIN


def _goes_both_ways(scripts: Sequence[SourceFile]) -> bool:
    """Whether one of *scripts* has both of node-pg-migrate's markers: anybody may write one of them."""
    from pgready.dialects.node_pg_migrate import has_both_markers

    return any(map(has_both_markers, scripts))


def _drizzle(paths: Sequence[str]) -> str | None:
    if not any(path.endswith(("_journal.json", "/migration.sql")) for path in paths):
        return None
    from pgready.dialects.drizzle import Drizzle

    return Drizzle.proof(paths)


def _scripts(files: Sequence[SourceFile], kind: Kind, problems: list[str]) -> tuple[Migration, ...]:
    """Scripts that run again when their content changes; the version is the path below their folder."""
    return tuple(_rerunnable(file, read_script(file, problems), kind) for file in _sql(files))


def _rerunnable(file: SourceFile, script: Script, kind: Kind) -> Migration:
    name = file.path.partition("/")[2][: -len(".sql")]
    return Migration(name, name, script, hashlib.sha256(file.data).hexdigest(), kind=kind)


def _sql(files: Sequence[SourceFile]) -> list[SourceFile]:
    return [file for file in files if is_sql(file.path)]


def _ignored(parts: _Parts) -> tuple[str, ...]:
    sides = (file.path for side in _SIDES[:3] for file in parts.sides[side] if not is_sql(file.path))
    return (*sides, *(file.path for file in (*parts.sides["seeds"], *parts.beside)))
