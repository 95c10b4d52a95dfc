"""`baseline`, `adopt` and `eject`: a history that says what is so already. No migration is run here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pgready.core.compile import compile_script
from pgready.core.errors import Diverged, FolderError, SettingsError
from pgready.core.model import Applied, Folder, Kind, Migration, Outcome
from pgready.core.planning import Entry, State
from pgready.core.segments import CompiledScript
from pgready.core.suggestions import suggest
from pgready.core.takeover import NativeFile, native_files, native_text, unlike
from pgready.core.tokens import token_checksum
from pgready.database.session import Session
from pgready.dialects import detect
from pgready.dialects.base import Dialect
from pgready.dialects.native import HISTORY, Native
from pgready.running.apply import Tables
from pgready.running.look import Sight
from pgready.running.recording import Recording
from pgready.running.source import Source

_NOTHING = "nothing was recorded"


class Takeover:
    """Plans what is recorded about *source*'s migrations; *by* is this host or pod."""

    def __init__(self, source: Source, native: Native, *, by: str, pgready_version: str) -> None:
        self._source = source
        self._native = native
        self._by = by
        self._pgready_version = pgready_version

    async def baseline(self, sight: Sight, version: str | None) -> Recording:
        """Record every version up to *version* (None: all of the folder) as applied.

        For a schema that was made without a history: where there is one, it says what is applied.
        """
        entries = _up_to(sight, version)
        applied = [entry for entry in sight.plan.entries if entry.state is not State.PENDING]
        if applied:
            raise Diverged(
                f"{self._source.dialect.table} has a history already: {applied[0].version} is "
                f"{applied[0].state.value}",
                hint="pgready status shows it; a baseline is for a schema that was made without one",
                done=_NOTHING,
            )
        tables = Tables(self._source.dialect, self._native, sight.columns)
        statements = self._created(sight, self._source.dialect)
        for entry in entries:
            if entry.migration is not None:
                statements.append(tables.record(entry.migration, await self._outcome(entry.migration)))
        what = f"{len(entries)} versions up to {entries[-1].version} are taken for applied; none was run"
        return Recording((what,), tuple(statements))

    async def adopt(
        self, session: Session, sight: Sight, files: Sequence[NativeFile], written: Folder
    ) -> Recording:
        """Record in the native history what the peer's says, for *written*: the folder as *files* hold it."""
        _refuse_doubts(sight)
        if await self._native_rows(session, sight):
            raise Diverged(
                f"the native history has versions already, beside {self._source.dialect.table}",
                hint="pgready status --dialect native shows it",
                done=_NOTHING,
            )
        after = {each.script.path: each for each in (*written.migrations, *written.repeatables)}
        became = {
            (file.migration.kind, file.migration.version): after[file.path]
            for file in files
            if file.path in after
        }
        statements = self._created(sight, self._native)
        what = []
        for entry in sight.plan.entries:
            if entry.state is not State.APPLIED or entry.applied is None:
                continue
            migration = became[entry.kind, entry.version]
            outcome = self._outcome_of(compile_script(migration.script))
            statements.append(self._native.take_over(migration, entry.applied, outcome))
            what.append(f"{entry.version} is {migration.script.path}")
        return Recording(tuple(what), tuple(statements))

    async def eject(self, session: Session, sight: Sight) -> Recording:
        """Record in the peer's history what the native one says, for the peer's own files.

        Which row is which file is told by their statements; a row without a file is refused.
        """
        rows = await self._native_rows(session, sight)
        if not rows:
            raise Diverged("the native history has no versions to hand over", done=_NOTHING)
        tables = Tables(self._source.dialect, self._native, sight.columns)
        statements = self._created(sight, self._source.dialect)
        what = []
        for entry in sight.plan.entries:
            if entry.kind is not Kind.VERSIONED or entry.migration is None:
                continue
            same = rows.get(_native_checksum(entry.migration))
            if not same:
                continue
            row = same.pop(0)
            if entry.state is State.PENDING:
                statements.append(tables.record(entry.migration, await self._outcome(entry.migration)))
            statements.append(self._native.forget(row))
            what.append(f"{row.version} is {entry.migration.script.path}")
        left = [row.version for same in rows.values() for row in same]
        if left:
            raise Diverged(
                f"no file of the folder has the statements of {', '.join(left)}",
                hint="give the folder of the other tool with --dir; its files must be the same migrations",
                done=_NOTHING,
            )
        return Recording(tuple(what), tuple(statements))

    async def _native_rows(self, session: Session, sight: Sight) -> dict[str, list[Applied]]:
        """The native history's versions, by the checksum of their tokens, else of their text."""
        if HISTORY not in sight.tables:
            return {}
        records = await session.fetch(self._native.select_history(frozenset()))
        rows: dict[str, list[Applied]] = {}
        for row in self._native.match([dict(record) for record in records], Folder(Native.name)):
            if row.kind is Kind.VERSIONED:
                rows.setdefault(row.token_checksum or row.checksum or "", []).append(row)
        return rows

    def _created(self, sight: Sight, dialect: Dialect) -> list[str]:
        return [] if dialect.table in sight.tables else [dialect.create_history()]

    async def _outcome(self, migration: Migration) -> Outcome:
        script = await self._source.compiled(migration.kind, migration.version)
        return self._outcome_of(script)

    def _outcome_of(self, script: CompiledScript) -> Outcome:
        return Outcome(
            segments=len(script.segments),
            token_checksum=script.token_checksum,
            applied_by=self._by,
            pgready_version=self._pgready_version,
        )


def written_as_native(folder: Folder) -> tuple[tuple[NativeFile, ...], Folder]:
    """*folder* as native files, and as the native dialect reads them.

    Raises FolderError with every file that would not send the server the same as before.
    """
    files = native_files(folder)
    problems = unlike(files)
    if problems:
        raise FolderError(tuple(problems), hint="these have no native form; nothing was written")
    _, written = detect.read([file.source for file in files], dialect=Native.name, namespace="default")
    return files, written


def _native_checksum(migration: Migration) -> str:
    """What the native history holds of a file with *migration*'s statements."""
    text = native_text(migration.script)
    return token_checksum(text) or hashlib.sha256(text.encode()).hexdigest()


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


def _refuse_doubts(sight: Sight) -> None:
    """A history that is taken over must agree with its files, one by one."""
    wrong = [finding.message for finding in sight.plan.findings if finding.flag is not None]
    wrong += [finding.message for finding in sight.plan.errors if finding.flag is None]
    wrong += [
        f"{entry.version} is partly applied"
        for entry in sight.plan.entries
        if entry.state is State.PARTLY_APPLIED
    ]
    if wrong:
        raise Diverged(
            "the history does not agree with the files: " + "; ".join(wrong),
            hint="make them agree first (pgready repair), then adopt",
            done=_NOTHING,
        )
