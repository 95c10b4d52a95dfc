"""`baseline`, `adopt` and `eject`: a history that says what is so already. No migration is run here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pgready.core.compile import compile_script
from pgready.core.errors import Diverged, FolderError, SettingsError
from pgready.core.model import Applied, Folder, Kind, Migration, Outcome
from pgready.core.planning import Entry, State
from pgready.core.quoting import fill, literals
from pgready.core.segments import CompiledScript
from pgready.core.suggestions import suggest
from pgready.core.takeover import (
    NativeFile,
    baselines,
    clashing,
    doubts,
    gaps,
    native_files,
    native_text,
    paired,
    unlike,
)
from pgready.core.tokens import token_checksum
from pgready.database.session import Session
from pgready.dialects import detect
from pgready.dialects.base import Dialect
from pgready.dialects.native import HISTORY, JOURNAL, Native, beside
from pgready.running import handover
from pgready.running.look import Sight
from pgready.running.recording import Recording
from pgready.running.source import Source
from pgready.running.tables import Tables

_NOTHING = "nothing was recorded"

_JOURNALED = """
SELECT DISTINCT history, version FROM pgready.journal
WHERE history OPERATOR(pg_catalog.=) ANY (ARRAY[:histories]) ORDER BY history, version
"""

_Rows = dict[str, list[Applied]]
"""Rows of the native history by the checksum of their text."""


class Takeover:
    """Plans what is recorded about *source*'s migrations; *by* is this host or pod."""

    def __init__(self, source: Source, native: Native, *, by: str, pgready_version: str) -> None:
        self._source = source
        self._native = native
        self._by = by
        self._pgready_version = pgready_version

    async def baseline(self, session: Session, sight: Sight, version: str | None) -> Recording:
        """Record every version up to *version* (None: all of the folder) as applied.

        For a schema that was made without a history: where there is one, it says what is applied.
        """
        entries = _up_to(sight, version)
        await self._refuse_history(session, sight)
        # Where one of them stands for others that it need not be run with (Flyway's B), it is recorded alone.
        recorded = [entry for entry in entries if entry.state is State.PENDING] or entries
        tables = Tables(self._source.dialect, sight.columns)
        statements = self._created(sight, self._source.dialect)
        for entry in recorded:
            if entry.migration is not None:
                statements.append(tables.record(entry.migration, await self._outcome(entry.migration)))
        number, verb = ("1 version", "is") if len(recorded) == 1 else (f"{len(recorded)} versions", "are")
        what = f"{number} up to {entries[-1].version} {verb} taken for applied; none was run"
        return Recording((what,), tuple(statements))

    async def _refuse_history(self, session: Session, sight: Sight) -> None:
        """Whatever is recorded is refused: also behind the baseline, also without a file."""
        dialect = self._source.dialect
        there = [f"{row.version} is recorded" for row in await self._peer_rows(session, sight)]
        there += [
            f"{entry.version} is {entry.state.value}"
            for entry in sight.plan.entries
            if entry.state is State.PARTLY_APPLIED
        ]
        if there:
            raise Diverged(
                f"{dialect.table} has a history already: {there[0]}",
                hint="pgready status shows it; a baseline is for a schema that was made without one",
                done=_NOTHING,
            )

    async def _peer_rows(self, session: Session, sight: Sight) -> list[Applied]:
        """The versions that the source's history has rows for, without what it concludes about files."""
        dialect = self._source.dialect
        if dialect.table not in sight.tables:
            return []
        records = await session.fetch(dialect.select_history(sight.columns))
        rows = dialect.match([dict(record) for record in records], Folder(dialect.name))
        return [row for row in rows if row.kind is Kind.VERSIONED]

    async def adopt(
        self, session: Session, sight: Sight, files: Sequence[NativeFile], written: Folder
    ) -> Recording:
        """Record in the native history what the peer's says, for *written*: the folder as *files* hold it."""
        await self._refuse_doubts(session, sight)
        if await self._native_rows(session, sight):
            raise Diverged(
                f"the native history has versions already, beside {self._source.dialect.table}",
                hint="pgready status --dialect native shows it; --namespace keeps another beside it",
                done=_NOTHING,
            )
        became = _became(files, written)
        statements = self._created(sight, self._native)
        what = []
        for entry in sight.plan.entries:
            if entry.state is not State.APPLIED or entry.applied is None:
                continue
            migration = became[entry.kind, entry.version]
            outcome = self._outcome_of(migration, compile_script(migration.script))
            statements.append(self._native.take_over(migration, entry.applied, outcome))
            what.append(f"{entry.version} is {migration.script.path}")
        statements += handover.pass_on(sight, self._source.dialect, self._native)
        return Recording(tuple(what), tuple(statements), Native.name)

    async def eject(self, session: Session, sight: Sight) -> Recording:
        """Record in the peer's history what the native one says, for the peer's own files.

        Which row is which file is told by their statements; a row without a file is refused.
        """
        if problems := baselines(self._source.folder):
            raise FolderError(tuple(problems), hint="take them out of the folder; nothing was recorded")
        await self._refuse_doubts(session, sight)
        rows = await self._native_rows(session, sight)
        if not rows:
            raise Diverged(
                f"the native history has no versions to hand over in the namespace {self._native.namespace}",
                hint="pgready status --dialect native shows it; give the namespace with --namespace",
                done=_NOTHING,
            )
        entries = [entry for entry in sight.plan.entries if entry.kind is Kind.VERSIONED]
        handed = _handed(entries, rows)
        if problems := gaps(entries, handed):
            raise Diverged(
                "\n".join(problems),
                hint="give what is pending a version after the newest; where the other tool went on by "
                "itself, go on with it: it needs nothing from here",
                done=_NOTHING,
            )
        tables = Tables(self._source.dialect, sight.columns)
        statements = self._created(sight, self._source.dialect)
        what = []
        for entry in entries:
            if entry.migration is None or entry.version not in handed:
                continue
            row = handed[entry.version]
            if entry.state is State.PENDING:
                statements.append(tables.record(entry.migration, await self._outcome(entry.migration)))
                statements += self._backdated(entry.migration, row, sight.columns)
            statements.append(self._native.forget(row))
            what.append(f"{row.version} is {entry.migration.script.path}")
        statements += beside(self._source.dialect).move_rerunnable(self._native)
        statements += handover.pass_on(sight, self._native, self._source.dialect)
        return Recording(tuple(what), tuple(statements), self._source.dialect.name)

    async def _refuse_doubts(self, session: Session, sight: Sight) -> None:
        """A history that is handed over must agree with its files, one by one, and be complete."""
        findings = doubts(sight.plan)
        if findings:
            hints = dict.fromkeys(finding.hint for finding in findings if finding.hint)
            raise Diverged(
                "the history does not agree with the files\n"
                + "\n".join(finding.message for finding in findings),
                hint="; ".join(hints) or None,
                done=_NOTHING,
            )
        if JOURNAL not in sight.tables:
            return
        histories = literals((self._source.dialect.identity, self._native.identity))
        marked = await session.fetch(fill(_JOURNALED, histories=histories))
        if marked:
            versions = ", ".join(f"{row['version']} of {row['history']}" for row in marked)
            raise Diverged(
                f"partly applied, as pgready.journal says: {versions}",
                hint="pgready status, with the folder that has it, says how to go on",
                done=_NOTHING,
            )

    async def _native_rows(self, session: Session, sight: Sight) -> _Rows:
        """The native history's versions, by the checksum of their tokens, else of their text."""
        if HISTORY not in sight.tables:
            return {}
        records = await session.fetch(self._native.select_history(frozenset()))
        rows: _Rows = {}
        for row in self._native.match([dict(record) for record in records], Folder(Native.name)):
            if row.kind is Kind.VERSIONED:
                rows.setdefault(row.token_checksum or row.checksum or "", []).append(row)
        return rows

    def _created(self, sight: Sight, dialect: Dialect) -> list[str]:
        return [] if dialect.table in sight.tables else [dialect.create_history()]

    def _backdated(self, migration: Migration, row: Applied, columns: frozenset[str]) -> list[str]:
        if row.applied_at is None:
            return []
        update = self._source.dialect.backdate(migration, row.applied_at, row.duration_ms, columns)
        return [] if update is None else [update]

    async def _outcome(self, migration: Migration) -> Outcome:
        script = await self._source.compiled(migration.kind, migration.version)
        return self._outcome_of(migration, script)

    def _outcome_of(self, migration: Migration, script: CompiledScript) -> Outcome:
        return Outcome(
            segments=len(script.segments),
            token_checksum=token_checksum(migration.script.text),
            applied_by=self._by,
            pgready_version=self._pgready_version,
            earlier_ms=None,  # it is not run here
        )


def written_as_native(folder: Folder) -> tuple[tuple[NativeFile, ...], Folder]:
    """*folder* as native files, and as the native dialect reads them.

    Raises FolderError with every file that would not send the server the same as before.
    """
    files = native_files(folder)
    problems = [*baselines(folder), *clashing(files), *unlike(files)]
    if problems:
        raise FolderError(tuple(problems), hint="these have no native form; nothing was written")
    _, written = detect.read([file.source for file in files], dialect=Native.name, namespace="default")
    return files, written


def _native_checksum(migration: Migration) -> str:
    """What the native history holds of a file with *migration*'s statements."""
    text = native_text(migration.script)
    return token_checksum(text) or hashlib.sha256(text.encode()).hexdigest()


def _became(files: Sequence[NativeFile], written: Folder) -> dict[tuple[Kind, str], Migration]:
    """The written migrations by what they were in the peer's folder."""
    after = {
        each.script.path: each for each in (*written.bootstrap, *written.migrations, *written.repeatables)
    }
    return {
        (file.migration.kind, file.migration.version): after[file.path]
        for file in files
        if file.migration is not None and file.path in after
    }


def _handed(entries: Sequence[Entry], rows: _Rows) -> dict[str, Applied]:
    """Which native row each version of the peer's folder has. Raises Diverged for a row that has no file."""
    files: dict[str, list[Migration]] = {}
    for entry in entries:
        if entry.migration is not None:
            files.setdefault(_native_checksum(entry.migration), []).append(entry.migration)
    handed: dict[str, Applied] = {}
    for checksum, same in rows.items():
        found = paired(files.get(checksum, ()), same)
        if found is None:
            paths = ", ".join(each.script.path for each in files[checksum])
            raise Diverged(
                f"nothing tells which of {paths} was applied: they are alike, and not all of them were",
                hint="give the one that was its number or its name in the native history",
                done=_NOTHING,
            )
        handed |= found
    known = {row.version for row in handed.values()}
    left = [row.version for same in rows.values() for row in same if row.version not in known]
    if left:
        raise Diverged(
            f"no file of the folder has the statements of {', '.join(left)}",
            hint="give the folder of the other tool with --dir; its files must be the same migrations",
            done=_NOTHING,
        )
    return handed


def _up_to(sight: Sight, version: str | None) -> list[Entry]:
    """The versioned entries up to *version*. Raises SettingsError where the folder has no such version."""
    entries = [entry for entry in sight.plan.entries if entry.kind is Kind.VERSIONED]
    if not entries:
        raise SettingsError(("the folder has no migrations to take for applied",))
    known = [entry.version for entry in entries]
    if version is None:
        return entries
    if version not in known:
        raise SettingsError((f"{version}: there is no such version{suggest(version, known)}",))
    return entries[: known.index(version) + 1]
