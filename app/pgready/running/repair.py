"""`repair`: accept a changed file, or say what became of a statement that nothing can tell about.

Under the migration lock and fenced, in one transaction, like everything else that is recorded.
"""

from __future__ import annotations

import anyio
from msgspec import Struct

from pgready.core.errors import LockNotObtained, PgreadyError, SettingsError
from pgready.core.model import Migration, Outcome, SegmentState
from pgready.core.planning import Entry, Flag, State
from pgready.core.segments import CompiledScript
from pgready.database import execute, journal, lock
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.running import reasons
from pgready.running.apply import BEGIN
from pgready.running.look import Sight
from pgready.running.source import Source

_POLL_SECONDS = 0.25


class Repair(Struct, frozen=True):
    """What will be recorded: *statements* in one transaction, *what* in a sentence, *next* to run."""

    what: str
    statements: tuple[str, ...]
    next: str


class Repairer:
    """Plans and records repairs of *source*'s migrations."""

    def __init__(self, source: Source, marks: journal.Journal, outcome: Outcome) -> None:
        self._source = source
        self._dialect: Dialect = source.dialect
        self._marks = marks
        self._outcome = outcome

    async def accept(self, sight: Sight, version: str) -> Repair:
        """Make the recorded checksum of *version* the file's. Raises SettingsError where it is no other."""
        entry, migration = self._find(sight, version)
        if not {Flag.CHANGED, Flag.COSMETIC} & set(entry.flags):
            raise SettingsError((f"{version}: there is nothing to accept, it is {_standing(entry)}",))
        script = await self._source.compiled(entry.kind, version)
        statement = self._dialect.accept(migration, script.token_checksum)
        return Repair(
            f"{version}: the file as it is now is taken for what was applied", (statement,), "pgready up"
        )

    async def resolve(self, sight: Sight, version: str, *, done: bool) -> Repair:
        """Say of *version*'s started statement that it happened, or that it did not."""
        entry, migration = self._find(sight, version)
        if not entry.segment_started:
            raise SettingsError(
                (f"{version}: no statement of it is waiting for an answer, it is {_standing(entry)}",)
            )
        script = await self._source.compiled(entry.kind, version)
        segment = entry.segments_done
        part = f"part {segment + 1} of {len(script.segments)}"
        if not done:
            statement = self._marks.forget_segment(entry.kind, version, segment)
            what = f"{version}: {part} is taken for not done, and will be run again"
            return Repair(what, (statement,), "pgready up")
        what = f"{version}: {part} is taken for done"
        return Repair(what, self._recorded_done(migration, script, segment, sight), "pgready up")

    def _recorded_done(
        self, migration: Migration, script: CompiledScript, segment: int, sight: Sight
    ) -> tuple[str, ...]:
        if segment + 1 < len(script.segments):
            checksum = script.segments[segment].checksum
            return (self._marks.record(migration, segment, SegmentState.DONE, checksum),)
        outcome = Outcome(
            segments=len(script.segments),
            token_checksum=script.token_checksum,
            applied_by=self._outcome.applied_by,
            pgready_version=self._outcome.pgready_version,
        )
        return (
            self._dialect.record(migration, outcome, sight.columns),
            self._marks.forget(migration.kind, migration.version),
        )

    def _find(self, sight: Sight, version: str) -> tuple[Entry, Migration]:
        for entry in sight.plan.entries:
            if entry.version == version and entry.migration is not None:
                return entry, entry.migration
        known = [entry.version for entry in sight.plan.entries if entry.migration is not None]
        from pgready.core.suggestions import suggest

        raise SettingsError((f"{version}: the folder has no such version{suggest(version, known)}",))


async def record(session: Session, keys: lock.LockKeys, repair: Repair, patience_seconds: float) -> None:
    """Commit *repair* under the lock. Raises LockNotObtained naming the holder."""
    await _take(session, keys, patience_seconds)
    try:
        opening = [BEGIN, *lock.fence(session, keys, 0)]
        await execute.run_plain(session, opening, [*repair.statements, "COMMIT"])
    except execute.StatementRefused as refused:
        raise reasons.unexpected(refused.problem) from refused
    except execute.OpeningRefused as refused:
        raise PgreadyError("the migration lock was lost; nothing was recorded") from refused
    await lock.release(session, keys)


async def _take(session: Session, keys: lock.LockKeys, patience_seconds: float) -> None:
    deadline = anyio.current_time() + patience_seconds
    while not await lock.try_take(session, keys):
        if anyio.current_time() >= deadline:
            holder = reasons.describe(await lock.holder(session, keys))
            raise LockNotObtained(
                f"the migration lock is held by another: {holder}", done="nothing was recorded"
            )
        await anyio.sleep(_POLL_SECONDS)


def _standing(entry: Entry) -> str:
    flags = f" ({', '.join(flag.value for flag in entry.flags)})" if entry.flags else ""
    part = ", and its next part was not started" if entry.state is State.PARTLY_APPLIED else ""
    return f"{entry.state.value}{flags}{part}"
