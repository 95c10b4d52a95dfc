"""Which dialect a folder is written in, and everything in it that is to be run.

Native is what nobody else claims. A folder that is clearly another tool's is refused by name: read as
native, a goose file would run its Down section too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from pgready.core.errors import FolderError, SettingsError
from pgready.core.model import Folder, Kind, Migration, Script, SourceFile
from pgready.core.suggestions import suggest
from pgready.dialects.base import Dialect
from pgready.dialects.drizzle import Drizzle
from pgready.dialects.native import Native, read_script

DIALECTS: Mapping[str, Callable[[str], Dialect]] = {
    "native": Native,
    "drizzle": lambda _namespace: Drizzle(),
}
"""Every dialect by its name for `--dialect`, made for a namespace."""

_PEERS: tuple[type[Dialect], ...] = (Drizzle,)

_SIDES = ("bootstrap", "repeatable", "checks", "seeds")
_MAIN = "migrations"
_HEAD_BYTES = 4096


def read(files: Sequence[SourceFile], *, dialect: str | None, namespace: str) -> tuple[Dialect, Folder]:
    """The dialect of *files*, by its proofs or by name, and the folder as it reads it.

    Raises SettingsError for an unknown *dialect*, FolderError for everything else, all problems at once.
    """
    sides, main = _split(files)
    chosen = _chosen(main, dialect, namespace)
    folder = _placed(chosen.read(main), _MAIN if _below(files) else "")
    problems: list[str] = []
    complete = replace(
        folder,
        bootstrap=_scripts(sides["bootstrap"], Kind.BOOTSTRAP, problems),
        repeatables=_scripts(sides["repeatable"], Kind.REPEATABLE, problems),
        checks=tuple(read_script(file, problems) for file in _sql(sides["checks"])),
        ignored=(*folder.ignored, *_ignored(sides)),
    )
    if problems:
        raise FolderError(tuple(problems), hint="nothing was run")
    return chosen, complete


def _split(files: Sequence[SourceFile]) -> tuple[dict[str, list[SourceFile]], list[SourceFile]]:
    """The side folders' files, and the versions': those below `migrations/`, where there is one."""
    sides: dict[str, list[SourceFile]] = {side: [] for side in _SIDES}
    below: list[SourceFile] = []
    beside: list[SourceFile] = []
    for file in files:
        top, slash, rest = file.path.partition("/")
        if slash and top in sides:
            sides[top].append(file)
        elif slash and top == _MAIN:
            below.append(SourceFile(rest, file.data))
        else:
            beside.append(file)
    return sides, below or [file for file in beside if not _is_settings(file.path)]


def _below(files: Sequence[SourceFile]) -> bool:
    return any(file.path.startswith(f"{_MAIN}/") for file in files)


def _placed(folder: Folder, below: str) -> Folder:
    """*folder* with its paths as people find them: from the top, not from `migrations/`."""
    if not below:
        return folder
    migrations = (
        replace(
            migration,
            script=replace(migration.script, path=f"{below}/{migration.script.path}"),
            revert=migration.revert and replace(migration.revert, path=f"{below}/{migration.revert.path}"),
        )
        for migration in folder.migrations
    )
    ignored = tuple(f"{below}/{path}" for path in folder.ignored)
    return replace(folder, migrations=tuple(migrations), ignored=ignored)


def _is_settings(path: str) -> bool:
    return path in ("pgready.toml", "pyproject.toml")


def _chosen(files: Sequence[SourceFile], dialect: str | None, namespace: str) -> Dialect:
    if dialect is not None:
        if dialect not in DIALECTS:
            known = ", ".join(DIALECTS)
            raise SettingsError(
                (f"dialect {dialect!r} is not known{suggest(dialect, DIALECTS)}; known are {known}",)
            )
        return DIALECTS[dialect](namespace)
    paths = [file.path for file in files]
    heads = {file.path: _head(file) for file in files if file.path.endswith(".sql")}
    proofs = {peer.name: proof for peer in _PEERS if (proof := peer.proof(paths, heads))}
    strange = _strangers(paths, heads)
    if len(proofs) + len(strange) > 1:
        lines = [f"{name}: {proof}" for name, proof in (proofs | strange).items()]
        hint = "say which it is with --dialect"
        raise FolderError(("the folder looks like more than one tool's", *lines), hint=hint)
    for name, proof in strange.items():
        raise FolderError(
            (f"the folder looks like {name}'s ({proof}), which this version does not read",),
            hint=f"it reads {' and '.join(DIALECTS)} folders; --dialect native reads it as pgready's own",
        )
    return DIALECTS[next(iter(proofs), "native")](namespace)


def _head(file: SourceFile) -> str:
    return file.data[:_HEAD_BYTES].decode("utf-8", errors="replace")


_PATHS = (
    ("Flyway", re.compile(r"(.*/)?[VR][0-9._]*__.+\.sql")),
    ("Prisma", re.compile(r"migration_lock\.toml")),
    ("golang-migrate or sqlx", re.compile(r"[0-9]+_.*\.up\.sql")),
    ("Atlas", re.compile(r"atlas\.sum")),
    ("Alembic", re.compile(r"alembic\.ini|versions/.+\.py")),
    ("Sqitch", re.compile(r"sqitch\.plan")),
)
_TEXTS = (
    ("goose", re.compile(r"^--\s*\+goose\s+(up|down)\b", re.IGNORECASE | re.MULTILINE)),
    ("dbmate", re.compile(r"^--\s*migrate:(up|down)\b", re.MULTILINE)),
    ("node-pg-migrate", re.compile(r"^\s*--\s*(up|down) migration", re.IGNORECASE | re.MULTILINE)),
    ("tern", re.compile(r"^---- create above / drop below ----", re.MULTILINE)),
    ("graphile-migrate", re.compile(r"^--! (previous|hash):", re.IGNORECASE | re.MULTILINE)),
    ("Liquibase", re.compile(r"\A\s*--\s*liquibase formatted sql", re.IGNORECASE)),
)


def _strangers(paths: Sequence[str], heads: Mapping[str, str]) -> dict[str, str]:
    """Tools that we do not read yet, and what in the folder is theirs."""
    found: dict[str, str] = {}
    for name, pattern in _PATHS:
        path = next((path for path in paths if pattern.fullmatch(path)), None)
        if path is not None:
            found[name] = path
    for name, pattern in _TEXTS:
        for path, head in heads.items():
            if match := pattern.search(head):
                found[name] = f"{path} has `{match.group().strip()}`"
                break
    return found


def _scripts(files: Sequence[SourceFile], kind: Kind, problems: list[str]) -> tuple[Migration, ...]:
    """Scripts that run again when their content changes; the version is the path below their folder."""
    return tuple(_rerunnable(file, read_script(file, problems), kind) for file in _sql(files))


def _rerunnable(file: SourceFile, script: Script, kind: Kind) -> Migration:
    name = file.path.partition("/")[2].removesuffix(".sql")
    return Migration(name, name, script, hashlib.sha256(file.data).hexdigest(), kind=kind)


def _sql(files: Sequence[SourceFile]) -> list[SourceFile]:
    return [file for file in files if file.path.endswith(".sql")]


def _ignored(sides: Mapping[str, Sequence[SourceFile]]) -> tuple[str, ...]:
    others = (file.path for side in _SIDES[:3] for file in sides[side] if not file.path.endswith(".sql"))
    return (*others, *(file.path for file in sides["seeds"]))
