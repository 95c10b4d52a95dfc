"""A peer's folder as files of the native layout: the same statements, read without the peer's dialect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from pgready.core.compile import compile_script
from pgready.core.errors import PgreadyError
from pgready.core.model import Folder, Kind, Migration, Script, SourceFile
from pgready.core.segments import BYTE_ORDER_MARK, CompiledScript

_NO_TRANSACTION = "-- pgready: no-transaction\n"
_UNNAMED = "unnamed"


class NativeFile(Struct, frozen=True):
    """What is to be written for *migration*: its script, or what reverts it."""

    migration: Migration
    script: Script
    path: str
    text: str

    @property
    def source(self) -> SourceFile:
        return SourceFile(self.path, self.text.encode())


def native_files(folder: Folder) -> tuple[NativeFile, ...]:
    """*folder* as native files, in the order in which its migrations run.

    The versions stay where all are numbers in that order; else the migrations are numbered, and the peer's
    version becomes a part of the name.
    """
    files: list[NativeFile] = []
    for migration, stem in zip(folder.migrations, _stems(folder.migrations), strict=True):
        script = migration.script
        files.append(NativeFile(migration, script, f"migrations/{stem}.sql", native_text(script)))
        if revert := migration.revert:
            path = f"migrations/{stem}.down.sql"
            files.append(NativeFile(migration, revert, path, native_text(revert)))
    for migration in (*folder.repeatables, *folder.bootstrap):
        side = "repeatable" if migration.kind is Kind.REPEATABLE else "bootstrap"
        path = f"{side}/{_file_name(migration.name or migration.version)}.sql"
        files.append(NativeFile(migration, migration.script, path, native_text(migration.script)))
    return tuple(files)


def native_text(script: Script) -> str:
    """The text of *script* with what the peer's dialect knew of it written down."""
    text = script.text.removeprefix(BYTE_ORDER_MARK)
    if script.separator is not None:
        # It ended statements that may lack their `;`.
        text = "\n;\n".join(text.split(script.separator))
    if not script.transactional:
        text = _NO_TRANSACTION + text
    return text if text.endswith("\n") else text + "\n"


def unlike(files: Iterable[NativeFile]) -> list[str]:
    """A problem for each of *files* that would not send the server what the peer's own file does."""
    problems = []
    for file in files:
        difference = _difference(file)
        if difference is not None:
            problems.append(f"{file.script.path}: cannot be written as {file.path}: {difference}")
    return problems


def _difference(file: NativeFile) -> str | None:
    if file.script.unrunnable is not None:
        return file.script.unrunnable.what
    if file.script.values:
        return "it holds values from the environment, which would be written into it"
    written = Script(file.path, file.text)
    try:
        before, after = compile_script(file.script), compile_script(written)
    except PgreadyError as problem:
        return problem.what
    return None if _sent(before, file.script) == _sent(after, written) else "its statements would differ"


def _sent(compiled: CompiledScript, script: Script) -> list[tuple[str, list[str]]]:
    """What the server is sent, segment by segment."""
    return [
        (segment.kind.value, [script.text[each.start : each.end].strip() for each in segment.statements])
        for segment in compiled.segments
    ]


def _stems(migrations: Sequence[Migration]) -> list[str]:
    """A native file's name, without its suffix, for each of *migrations*."""
    names = [_file_name(each.name) for each in migrations]
    versions = [each.version for each in migrations]
    if all(version.isascii() and version.isdigit() for version in versions) and _ascend(versions):
        return [f"{version}_{name}" for version, name in zip(versions, names, strict=True)]
    width = max(4, len(str(len(versions))))
    return [
        f"{number:0{width}}_{_file_name(version)}" + (f"_{name}" if name not in (version, _UNNAMED) else "")
        for number, (version, name) in enumerate(zip(versions, names, strict=True), start=1)
    ]


def _ascend(versions: Sequence[str]) -> bool:
    return all(int(before) < int(after) for before, after in pairwise(versions))


def _file_name(name: str) -> str:
    return "".join(each if each.isalnum() or each in "-_." else "_" for each in name).strip(".") or _UNNAMED
