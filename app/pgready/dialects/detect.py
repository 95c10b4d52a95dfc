"""Which dialect a folder is written in, and everything in it that is to be run.

Native is what nobody else claims. Side folders (`bootstrap/`, `repeatable/`, `checks/`, `seeds/`) belong
to every dialect.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.errors import FolderError, SettingsError
from pgready.core.model import Folder, Kind, Migration, Script, SourceFile
from pgready.core.suggestions import suggest
from pgready.dialects.base import Dialect, is_sql
from pgready.dialects.drizzle import Drizzle
from pgready.dialects.native import Native, read_script
from pgready.dialects.strangers import find_strangers, two_way_files

DIALECTS: Mapping[str, Callable[[str], Dialect]] = {
    "native": Native,
    "drizzle": lambda _namespace: Drizzle(),
}
"""Every dialect by its name for `--dialect`, made for a namespace."""

_PEERS: tuple[type[Dialect], ...] = (Drizzle,)

_SIDES = ("bootstrap", "repeatable", "checks", "seeds")
_MAIN = "migrations/"
_VERSIONED = re.compile(r"[0-9]+_.*\.sql", re.IGNORECASE)


class _Parts(Struct, frozen=True):
    """A folder's files by purpose; all of *main* lie below *below*: `migrations/`, or nothing."""

    below: str
    main: tuple[SourceFile, ...]
    sides: Mapping[str, list[SourceFile]]
    beside: tuple[SourceFile, ...]


def read(files: Sequence[SourceFile], *, dialect: str | None, namespace: str) -> tuple[Dialect, Folder]:
    """The dialect of *files*, by its proofs or by name, and the folder as it reads it.

    Raises SettingsError for an unknown *dialect*, FolderError for everything else, all problems at once.
    """
    parts = _split(files)
    chosen = _chosen(parts, dialect, namespace)
    problems = [
        f"{file.path}: lies beside {_MAIN}, where it would never run"
        for file in parts.beside
        if _VERSIONED.fullmatch(file.path)
    ]
    hint = "nothing was run"
    try:
        folder = chosen.read(parts.main, parts.below)
    except FolderError as refused:
        folder = Folder(chosen.name)
        problems += refused.problems
        hint = refused.hint or hint
    sides = parts.sides
    complete = replace(
        folder,
        bootstrap=_scripts(sides["bootstrap"], Kind.BOOTSTRAP, problems),
        repeatables=_scripts(sides["repeatable"], Kind.REPEATABLE, problems),
        checks=tuple(read_script(file, problems) for file in _sql(sides["checks"])),
        ignored=tuple(sorted((*folder.ignored, *_ignored(parts)))),
    )
    if problems:
        raise FolderError(tuple(problems), hint=hint)
    return chosen, complete


def _split(files: Sequence[SourceFile]) -> _Parts:
    sides: dict[str, list[SourceFile]] = {side: [] for side in _SIDES}
    below: list[SourceFile] = []
    beside: list[SourceFile] = []
    for file in files:
        top, slash, _ = file.path.partition("/")
        if slash and top in sides:
            sides[top].append(file)
        else:
            (below if file.path.startswith(_MAIN) else beside).append(file)
    if below:
        return _Parts(_MAIN, tuple(below), sides, tuple(beside))
    return _Parts("", tuple(beside), sides, ())


def _chosen(parts: _Parts, dialect: str | None, namespace: str) -> Dialect:
    if dialect is None:
        return DIALECTS[_proven(parts) or Native.name](namespace)
    if dialect not in DIALECTS:
        known = ", ".join(DIALECTS)
        raise SettingsError(
            (f"dialect {dialect!r} is not known{suggest(dialect, DIALECTS)}; known are {known}",)
        )
    if dialect == Native.name and (problems := two_way_files(_sql(parts.main))):
        hint = "put what reverts into <version>_<name>.down.sql beside the file"
        raise FolderError(tuple(problems), hint=hint)
    return DIALECTS[dialect](namespace)


def _proven(parts: _Parts) -> str | None:
    """The dialect that the folder's own files prove; a history table cannot say what a folder is."""
    paths = [file.path.removeprefix(parts.below) for file in parts.main]
    proofs = {peer.name: proof for peer in _PEERS if (proof := peer.proof(paths))}
    strangers = find_strangers([*paths, *(file.path for file in parts.beside)], _sql(parts.main))
    if len(proofs) + len(strangers) > 1:
        lines = [f"{name}: {proof}" for name, proof in (proofs | strangers).items()]
        hint = "say which it is with --dialect"
        raise FolderError(("the folder looks like more than one tool's", *lines), hint=hint)
    for name, proof in strangers.items():
        raise FolderError(
            (f"the folder looks like {name}'s ({proof}), which this version does not read",),
            hint=f"it reads {' and '.join(DIALECTS)} folders; --dialect says which, where this is a mistake",
        )
    if not proofs and any(path.endswith("/migration.sql") for path in paths):
        raise FolderError(
            ("the folder is Prisma's without its migration_lock.toml, or Drizzle 1.0's without a snapshot",),
            hint="this version reads Drizzle's: --dialect drizzle",
        )
    return next(iter(proofs), None)


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
