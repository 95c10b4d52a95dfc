"""What `adopt` and `eject` decide: a peer's folder as native files, which row is which, what is amiss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import planning
from pgready.core.compile import compile_script
from pgready.core.errors import PgreadyError
from pgready.core.model import Applied, Folder, Migration, Script, SourceFile
from pgready.core.planning import Entry, Finding, Flag, Plan, Policies, Policy, Severity, State
from pgready.core.segments import BYTE_ORDER_MARK, CompiledScript

_NO_TRANSACTION = "-- pgready: no-transaction\n"
_UNNAMED = "unnamed"


class NativeFile(Struct, frozen=True):
    """What is to be written for *migration*: its script, or what reverts it; None for a check."""

    migration: Migration | None
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
    files += _in_order(
        [_beside("repeatable", each.script, each, _named(each)) for each in folder.repeatables]
    )
    files += [_beside("bootstrap", each.script, each, _named(each)) for each in folder.bootstrap]
    files += [_beside("checks", check, None, check.path) for check in folder.checks]
    return tuple(files)


def _named(migration: Migration) -> str:
    return migration.name or migration.version


def _in_order(files: list[NativeFile]) -> list[NativeFile]:
    """*files* of one folder, numbered where their names alone would run in another order: a view may need
    another. Files that stay where they are keep their names."""
    paths = [file.path for file in files]
    return (
        files if paths == sorted(paths) else [_numbered(number, file) for number, file in enumerate(files, 1)]
    )


def _numbered(number: int, file: NativeFile) -> NativeFile:
    side, _, name = file.path.partition("/")
    return file if file.path == file.script.path else replace(file, path=f"{side}/{number:04}_{name}")


def _beside(side: str, script: Script, migration: Migration | None, name: str) -> NativeFile:
    """A file of a side folder, which stays where it is; or one that gets a place there by its *name*."""
    path = script.path if script.path.startswith(f"{side}/") else f"{side}/{_file_name(name)}.sql"
    return NativeFile(migration, script, path, native_text(script))


def native_text(script: Script) -> str:
    """The text of *script* with what the peer's dialect knew of it written down."""
    text = script.text.removeprefix(BYTE_ORDER_MARK)
    if script.separator is not None:
        # It ended statements that may lack their `;`.
        text = "\n;\n".join(text.split(script.separator))
    if not script.transactional:
        text = _NO_TRANSACTION + text
    return text if text.endswith("\n") else text + "\n"


def clashing(files: Iterable[NativeFile]) -> list[str]:
    """A problem for each of *files* whose path another has, were it only in another case."""
    first: dict[str, NativeFile] = {}
    problems = []
    for file in files:
        other = first.setdefault(file.path.casefold(), file)
        if other is not file:
            problems.append(f"{other.script.path}, {file.script.path}: both would be written as {file.path}")
    return problems


def baselines(folder: Folder) -> list[str]:
    """A problem for each of Flyway's baseline migrations: only Flyway knows when one stands for others."""
    return [
        f"{each.script.path}: Flyway's baseline migrations have no native form"
        for each in folder.migrations
        if folder.dialect == "flyway" and each.version.startswith("B")
    ]


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


# What is in doubt

_STRICT = Policies(
    out_of_order=Policy.ALLOW,  # what is pending stays pending
    ahead=Policy.REFUSE,
    changed=Policy.REFUSE,
    cosmetic=Policy.ALLOW,
    missing=Policy.REFUSE,
)


def doubts(plan: Plan) -> tuple[Finding, ...]:
    """What forbids to hand over the history of *plan*, whatever the policies say of running on with it."""
    found = [*planning.findings(plan.entries, _STRICT), *map(_unfinished, _partly_applied(plan))]
    # What concerns no version says that the history was handed over before: this may be the way back.
    found += [error for error in plan.errors if error.flag is None and error.version]
    return tuple(dict.fromkeys(map(_without_policy, found)))


def _partly_applied(plan: Plan) -> Iterator[Entry]:
    return (entry for entry in plan.entries if entry.state is State.PARTLY_APPLIED)


def _unfinished(entry: Entry) -> Finding:
    hint = "let pgready up complete it"
    return Finding(Severity.ERROR, entry.version, None, f"{entry.version}: is partly applied", hint)


def _without_policy(finding: Finding) -> Finding:
    """A policy allows to run an older folder, not to hand its history over."""
    hint = "use the folder of the release that has it"
    return replace(finding, hint=hint) if finding.flag is Flag.AHEAD else finding


# Which row is which file


def paired(files: Sequence[Migration], rows: Sequence[Applied]) -> dict[str, Applied] | None:
    """Which of *rows* is which of *files*, all of them of one text, by the files' versions.

    By number, then by name, at last in order; None where there are fewer rows than files left by then.
    """
    found: dict[str, Applied] = {}
    left = list(rows)
    for is_same in (_has_number, _has_name):
        for file in files:
            row = next((row for row in left if file.version not in found and is_same(file, row)), None)
            if row is not None:
                left.remove(row)
                found[file.version] = row
    unnamed = [file.version for file in files if file.version not in found]
    if left and len(left) < len(unnamed):
        return None
    return {**found, **dict(zip(unnamed, left, strict=False))}


def _has_number(file: Migration, row: Applied) -> bool:
    return file.version.isdecimal() and row.version.lstrip("0") == file.version.lstrip("0")


def _has_name(file: Migration, row: Applied) -> bool:
    """As it is, or as `native_files` made it of the version."""
    version, name = _file_name(file.version), _file_name(file.name)
    return row.name in (name, version, f"{version}_{name}")


def gaps(entries: Sequence[Entry], handed: dict[str, Applied]) -> list[str]:
    """A problem for each of the peer's *entries* that would stand wrong, were those of *handed* recorded."""
    places = [place for place, entry in enumerate(entries) if entry.version in handed]
    newest = max(places, default=-1)
    problems = []
    for place, entry in enumerate(entries):
        if entry.version in handed:
            continue
        if entry.state is State.APPLIED:
            problems.append(f"{entry.version} is applied there, and the native history has no such row")
        elif place < newest:
            problems.append(
                f"{entry.version} is pending, and stands before {entries[newest].version}, which is applied: "
                "a tool that looks at the newest version alone would never run it"
            )
    return problems
