"""`repair`: accept a changed file, or say what became of a statement that nothing can tell about."""

from __future__ import annotations

from enum import Enum

from pgready.core import renames
from pgready.core.blanks import was_blank
from pgready.core.errors import SettingsError
from pgready.core.model import Applied, Kind, Migration, Outcome, SegmentState
from pgready.core.planning import Entry, Flag, Severity, State
from pgready.core.segments import CompiledScript
from pgready.core.tokens import token_checksum
from pgready.database import journal
from pgready.dialects.native import Native
from pgready.running.look import Sight
from pgready.running.recording import Recording
from pgready.running.source import Source
from pgready.running.tables import Tables


class Answer(Enum):
    """What became of a statement that was started, or of the file of what is applied."""

    DONE = "done"
    NOT_DONE = "not-done"
    GONE = "gone"


class Repairer:
    """Plans repairs of *source*'s migrations; *by* is this host or pod."""

    def __init__(self, source: Source, *, by: str, pgready_version: str) -> None:
        self._source = source
        self._marks = journal.Journal(source.dialect, by)
        self._by = by
        self._pgready_version = pgready_version

    async def plan(self, sight: Sight, version: str, answer: Answer | None) -> Recording:
        """What *answer* (None: the file is right) records for *version* as *sight* sees it.

        Raises SettingsError where the folder and the history know no such version, or where it needs
        nothing of the kind.
        """
        entry = _find(sight, version)
        if answer in (Answer.DONE, Answer.NOT_DONE):
            return await self._resolve(sight, entry, answer)
        if entry.version in sight.taken_back:
            raise _nothing(entry, "a `down` of it began and did not end: --done or --not-done?")
        if entry.migration is None:
            twin = renames.renamed(sight.plan, entry)
            if twin is not None:
                return await self._rename(sight, entry, twin)
            return self._forget(sight, entry, for_good=answer is Answer.GONE)
        if answer is Answer.GONE:
            raise _nothing(entry, f"its file is there, {entry.migration.script.path}")
        if {Flag.CHANGED, Flag.COSMETIC} & set(entry.flags):
            return await self._accept(entry, entry.migration)
        if entry.state is State.PARTLY_APPLIED and not entry.segment_started and _is_refused(sight, entry):
            return await self._accept_parts(entry, entry.migration)
        if entry.version in sight.left_over:
            what = f"{entry.version}: all of it is done, as the history says; its parts are forgotten"
            return _recording(what, (self._marks.forget(entry.kind, entry.version),))
        raise _nothing(entry, "there is nothing to accept")

    async def _accept(self, entry: Entry, migration: Migration) -> Recording:
        await self._source.compiled(entry.kind, entry.version)  # what cannot run is not taken for applied
        statement = self._source.dialect.accept(migration, token_checksum(migration.script.text))
        return _recording(
            f"{entry.version}: the file as it is now is taken for what was applied", (statement,)
        )

    async def _accept_parts(self, entry: Entry, migration: Migration) -> Recording:
        """The same for the parts that are done of a migration that is not complete."""
        script = await self._source.compiled(entry.kind, entry.version)
        done = script.segments[: entry.segments_done]
        marks = (
            self._marks.record(migration, number, SegmentState.DONE, segment.checksum)
            for number, segment in enumerate(done)
        )
        what = (
            f"{entry.version}: {len(done)} of the {len(script.segments)} parts of the file as it is now "
            "are taken for done"
        )
        return _recording(what, (self._marks.forget(entry.kind, entry.version), *marks))

    def _forget(self, sight: Sight, entry: Entry, *, for_good: bool) -> Recording:
        applied = entry.applied
        if applied is None or not {Flag.MISSING, Flag.AHEAD} & set(entry.flags):
            raise _nothing(entry, "there is nothing to accept")
        if Flag.AHEAD in entry.flags and not for_good:
            # Its row deleted, a release that has the file would run it once more.
            raise _nothing(entry, "a newer release may have its file; if that is gone for good, say --gone")
        what = f"{entry.version}: its row is deleted; the database keeps what it made"
        return _recording(what, (self._source.dialect.forget(applied), *self._unmarked(sight, entry)))

    async def _rename(self, sight: Sight, gone: Entry, twin: Entry) -> Recording:
        """Let the row of a file that was renamed say its new version: what it made is there."""
        assert gone.applied and twin.migration, "an applied row, and a file that is pending"
        script = await self._source.compiled(twin.kind, twin.version)
        dialect = self._source.dialect
        what = f"{gone.version} is {twin.migration.script.path} now: it is recorded as {twin.version}"
        forget = dialect.forget(gone.applied)
        outcome = self._outcome(twin.migration, script)
        if isinstance(dialect, Native):  # when it was applied, by whom, how long: that stays
            record = dialect.take_over(twin.migration, gone.applied, outcome)
        else:
            record = Tables(dialect, sight.columns).record(twin.migration, outcome)
        return _recording(what, (forget, record))

    async def _resolve(self, sight: Sight, entry: Entry, answer: Answer) -> Recording:
        version, migration = entry.version, entry.migration
        if version in sight.taken_back and entry.applied is not None:
            return self._resolve_taking_back(sight, entry, entry.applied, answer)
        if entry.state is State.FAILED and entry.applied is not None:
            return self._resolve_failed(entry, entry.applied, answer)
        if (
            answer is Answer.NOT_DONE
            and Flag.CHANGED in entry.flags
            and entry.applied
            and was_blank(entry.applied)
        ):
            what = f"{version}: its row, of a file without a statement, is deleted, and the next up runs it"
            return _recording(what, (self._source.dialect.forget(entry.applied),))
        if migration is None or not entry.segment_started:
            raise _nothing(entry, "no statement of it is waiting for an answer")
        if answer is Answer.DONE and entry.kind is not Kind.VERSIONED and _is_refused(sight, entry):
            raise SettingsError((f"{version}: its file changed, and runs as it is now: say --not-done",))
        script = await self._source.compiled(entry.kind, version)
        segment = entry.segments_done
        part = f"{version}: part {segment + 1} of {max(len(script.segments), segment + 1)}"
        if answer is Answer.NOT_DONE:
            statement = self._marks.forget_segment(entry.kind, version, segment)
            return _recording(f"{part} is taken for not done, and will be run again", (statement,))
        return _recording(f"{part} is taken for done", self._recorded_done(migration, script, segment, sight))

    def _resolve_taking_back(self, sight: Sight, entry: Entry, applied: Applied, answer: Answer) -> Recording:
        """What became of a `down` that began and did not end."""
        unmarked = self._unmarked(sight, entry)
        its_down = f"{entry.version}: its `down` is taken for"
        if answer is Answer.NOT_DONE:
            return _recording(f"{its_down} not done; it stays applied", unmarked)
        unrecorded = self._source.dialect.forget(applied)
        return _recording(f"{its_down} done; it is not applied any more", (unrecorded, *unmarked))

    def _unmarked(self, sight: Sight, entry: Entry) -> tuple[str, ...]:
        """Statements after which the journal says nothing of *entry*."""
        marked = entry.version in (*sight.taken_back, *sight.left_over)
        return (self._marks.forget(entry.kind, entry.version),) if marked else ()

    def _resolve_failed(self, entry: Entry, failed: Applied, answer: Answer) -> Recording:
        """Turn a peer's row that says that *entry* failed into what became of it."""
        dialect, version = self._source.dialect, entry.version
        if answer is Answer.NOT_DONE:
            what = f"{version} is taken for not done, and its row for gone"
            if failed.undo:
                what = f"the undo of {what}: {version} stays applied"
            return _recording(what, (dialect.forget(failed),))
        if entry.migration is None:
            raise _nothing(entry, "the folder has no such file: restore it first, or say --not-done")
        what = f"{version} is taken for done"
        if failed.undo:
            what = f"the undo of {what}: {version} is pending, and the next up applies it again"
        return _recording(what, (dialect.accept(entry.migration, None),))

    def _recorded_done(
        self, migration: Migration, script: CompiledScript, segment: int, sight: Sight
    ) -> tuple[str, ...]:
        if segment + 1 < len(script.segments):
            checksum = script.segments[segment].checksum
            return (self._marks.record(migration, segment, SegmentState.DONE, checksum),)
        tables = Tables(self._source.dialect, sight.columns)
        return (
            tables.record(migration, self._outcome(migration, script)),
            self._marks.forget(migration.kind, migration.version),
        )

    def _outcome(self, migration: Migration, script: CompiledScript) -> Outcome:
        return Outcome(
            segments=len(script.segments),
            token_checksum=token_checksum(migration.script.text),
            applied_by=self._by,
            pgready_version=self._pgready_version,
            earlier_ms=None,  # it is not run here
        )


def _recording(what: str, statements: tuple[str, ...]) -> Recording:
    return Recording((what,), statements)


def _find(sight: Sight, version: str) -> Entry:
    """The entry of that *version*; of several kinds of scripts, the one that something is wrong with."""
    named = [entry for entry in sight.plan.entries if entry.version == version]
    if not named:
        from pgready.core.suggestions import suggest

        known = [entry.version for entry in sight.plan.entries]
        raise SettingsError((f"{version}: there is no such version{suggest(version, known)}",))
    return max(
        named,
        key=lambda entry: (entry.segment_started, entry.state is State.FAILED, bool(entry.flags)),
    )


def _is_refused(sight: Sight, entry: Entry) -> bool:
    """Whether the plan refuses to go on with *entry*: what was done of it is not what the file says."""
    return any(
        finding.severity is Severity.ERROR and finding.flag is None and finding.version == entry.version
        for finding in sight.plan.findings
    )


def _nothing(entry: Entry, what: str) -> SettingsError:
    flags = f" ({', '.join(flag.value for flag in entry.flags)})" if entry.flags else ""
    part = f", {entry.segments_done} parts done" if entry.state is State.PARTLY_APPLIED else ""
    waiting = ", and a statement of it was started: --done or --not-done?" if entry.segment_started else ""
    return SettingsError((f"{entry.version}: {what}; it is {entry.state.value}{flags}{part}{waiting}",))
