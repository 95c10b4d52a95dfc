"""The actions on one segment: run it in its transaction, mark, run, probe and record a single.

While the server works on one migration, the next ones are on their way already, so that no time passes in
between, however far the server is. The opening of each fails unless the one before was committed in this
session: of that a setting is the proof, which its closing has set, and which a rollback takes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set
from itertools import pairwise
from typing import TypeVar

import anyio
from msgspec.structs import replace

from pgready.core import steps
from pgready.core.errors import LockNotObtained, PgreadyError
from pgready.core.events import Event, MigrationApplied, MigrationFailed, MigrationStarted
from pgready.core.ladder import Ladder
from pgready.core.model import Kind, Migration, SegmentState
from pgready.core.planning import Outdated, Work
from pgready.core.segments import CompiledScript, Segment, SegmentKind, Single, part_end
from pgready.core.steps import Observation
from pgready.database import execute, journal, lock
from pgready.database.execute import Progress, Sent
from pgready.database.refusals import LOCK_CODES, OpeningRefused, StatementRefused
from pgready.database.session import Pooling, Session
from pgready.running import reasons
from pgready.running.durations import Durations
from pgready.running.frames import Frames, is_concurrent
from pgready.running.refused import explained
from pgready.running.singles import Singles
from pgready.running.source import Source
from pgready.running.tables import Tables
from pgready.running.watch import Watcher

_AHEAD = 8
"""How many are on their way behind the one that the server works on. One would do on the same machine; over a
network of 20 ms eight take as long as one."""

_AHEAD_BYTES = 32 * 1024
"""How long they may be together. What a busy server has no room to receive keeps the end of a connection back
as well, and then it works for a client that died until the statement ends (test_ahead_of_commit)."""

_Answer = TypeVar("_Answer")


class Applier:
    """Carries out segment actions on *session*, whose lock is held. *work* is what is to be applied,
    *applied_before* how many the run applied before it took the lock (again).

    *unanswered* are those whose completing COMMIT was sent and has no answer: a lost connection leaves them.
    *begun* is the last that it ran something of. *locked_out* is what the last LockTimedOut was about.
    """

    def __init__(
        self,
        session: Session,
        keys: lock.LockKeys,
        source: Source,
        tables: Tables,
        marks: journal.Journal,
        frames: Frames,
        work: Sequence[Work],
        watcher: Watcher,
        emit: Callable[[Event], None],
        *,
        applied_by: str,
        lock_seconds: float,
        applied_before: int,
    ) -> None:
        self._session = session
        self._source = source
        self._tables = tables
        self._marks = marks
        self._frames = frames
        self._watcher = watcher
        self._emit = emit
        self._applied_by = applied_by
        self._singles = Singles(session, keys, frames, marks, emit, lock_seconds=lock_seconds)
        self._applied_before = applied_before
        self._progress = Progress()
        self._durations = Durations(work)
        self._outdated = {(one.kind, one.version): one.outdated for one in work}
        self._single_ms: int | None = None
        self._next = {(one.kind, one.version): following for one, following in pairwise(work)}
        self._ahead: dict[tuple[Kind, str], Sent] = {}
        self.applied = 0
        self.begun: tuple[Kind, str] | None = None
        self.locked_out: PgreadyError | None = None
        self._completing: tuple[Kind, str] | None = None

    async def run_transaction(self, action: steps.RunTransaction) -> Observation:
        migration, script, segment = await self._due(action)
        started = self._begin(migration, script, action.segment)
        sent = self._ahead.pop((action.kind, action.version), None)
        self._completes(action, script)
        try:
            if sent is not None:
                await execute.run_sent(
                    self._session, sent, progress=self._progress, when_sent=lambda: self._go_ahead(action)
                )
            else:
                await execute.run_transaction(
                    self._session,
                    migration.script.text,
                    segment,
                    opening=self._frames.opening(action.lock_timeout_ms, action.segment, migration, script),
                    closing=self._closing(migration, script, action.segment, action.lock_timeout_ms),
                    progress=self._progress,
                    stepwise=script.stepwise,
                    when_sent=lambda: self._go_ahead(action),
                )
        except OpeningRefused:
            self._nothing_is_unanswered()
            return steps.FenceLost(anyio.current_time())
        except StatementRefused as refused:
            self._nothing_is_unanswered()
            now = anyio.current_time()
            if refused.problem.sqlstate in LOCK_CODES:
                self.locked_out = await self._error(action, migration, script, refused)
                return steps.LockTimedOut(now, elapsed_seconds=now - started)
            lost = self._session.closed  # while it was rolled back; what was refused is told all the same
            if not lost and await self._session.fetch(self._tables.recorded(migration)):
                return steps.FenceLost(now)  # by somebody else, meanwhile: it was refused for that
            raise await self._explained(action, migration, script, refused) from refused
        finally:
            self._watcher.end()
        now = anyio.current_time()
        self._durations.add(migration, now - started)
        self._told_if_complete(action, migration, script)
        return steps.SegmentDone(now)

    async def begin_anew(self, action: steps.BeginAnew) -> Observation:
        migration, script, _ = await self._due(action)
        outdated = self._outdated[_key(migration)]
        assert outdated, "asked for no other"
        self._durations.begin_anew(migration)
        forgetting = self._frames.forgetting(migration, outdated)
        return await self._commit(action, migration, script, *forgetting, outdated=outdated)

    async def mark_started(self, action: steps.MarkStarted) -> Observation:
        migration, script, segment = await self._due(action)
        if segment.single is Single.CREATE_INDEX and await self._asked(
            action, self._singles.index_is_there(migration, segment, script)
        ):
            # Whoever made it, it was not us: the server's own answer to a second one is wanted, and a
            # mark would let a later probe take it for ours.
            return steps.Marked(anyio.current_time())
        mark = self._marks.record(migration, action.segment, SegmentState.STARTED, segment.checksum)
        return await self._commit(action, migration, script, mark)

    async def run_single(self, action: steps.RunSingle) -> Observation:
        migration, script, segment = await self._due(action)
        started = self._begin(migration, script, action.segment)
        try:
            await self._singles.run(migration, segment, script, action.lock_timeout_ms)
        except LockNotObtained:
            await self._singles.undo(action, segment)
            raise
        except StatementRefused as refused:
            now = anyio.current_time()
            undone = await self._singles.undo(action, segment, committed=refused.committed)
            locked = refused.problem.sqlstate in LOCK_CODES
            if locked and undone and not is_concurrent(migration.script, segment):
                self.locked_out = await self._error(action, migration, script, refused)
                return steps.LockTimedOut(now, elapsed_seconds=now - started)
            raise await self._explained(action, migration, script, refused, undone=undone) from refused
        finally:
            self._watcher.end()
        now = anyio.current_time()
        self._single_ms = round(1000 * (now - started))
        self._durations.add(migration, now - started)
        return steps.SegmentDone(now)

    async def probe(self, action: steps.Probe) -> Observation:
        migration, script, segment = await self._due(action)
        try:
            await execute.run_plain(
                self._session, self._frames.opening_alone(action.lock_timeout_ms), ["COMMIT"]
            )
        except OpeningRefused:
            return steps.FenceLost(anyio.current_time())
        try:
            answer = await self._singles.probe(migration, segment, script)
        except StatementRefused as refused:
            left = refused.statement not in segment.settings  # what is to be healed
            raise await self._explained(action, migration, script, refused, undone=not left) from refused
        if answer is steps.ProbeAnswer.HAPPENED:
            self._single_ms = None
            self._durations.add(migration, None)
        return steps.Probed(anyio.current_time(), answer)

    async def record_done(self, action: steps.RecordDone) -> Observation:
        migration, script, segment = await self._due(action)
        if segment.single is Single.UNKNOWN:  # nobody could tell later that it happened
            action = replace(action, lock_timeout_ms=0)
        await self._singles.reset(ends=action.segment + 1 >= len(script.segments))
        self._completes(action, script)
        earlier_ms = self._durations.so_far_ms(migration)
        records = self._frames.single_records(
            migration, script, action.segment, took_ms=self._single_ms, earlier_ms=earlier_ms
        )
        observation = await self._commit(action, migration, script, *records)
        self._completing = None
        if isinstance(observation, steps.Marked):
            self._told_if_complete(action, migration, script)
        return observation

    # What is sent ahead

    def _go_ahead(self, action: steps.RunTransaction) -> None:
        """While the server works on *action*, whose last message was sent: send what follows, each refused
        unless the one in front of it was committed."""
        last = self._source.migration(action.kind, action.version)
        if action.segment + 1 < len(self._source.at_hand(*_key(last)).segments):
            return
        if self._ahead:
            last = self._source.migration(*next(reversed(self._ahead)))
        while len(self._ahead) < _AHEAD and (following := self._leads_to(last)) is not None:
            room_bytes = _AHEAD_BYTES - sum(sent.bytes for sent in self._ahead.values())
            sent = self._send_ahead(following, after=last, most_bytes=room_bytes)
            if sent is None:
                break
            self._ahead[_key(following)] = sent
            last = following
        if not self._ahead and (work := self._next.get(_key(last))) is not None:
            self._source.token_checksum(work.kind, work.version)

    def _leads_to(self, migration: Migration) -> Migration | None:
        """What may be sent before *migration* is committed: it is one transaction, and refused unless.

        Not through a pooler, which may give it another backend.
        """
        work = self._next.get(_key(migration))
        if work is None or self._session.pooling is not Pooling.DIRECT:
            return None
        whole = work.compiled == (SegmentKind.TRANSACTION,) and not (work.done or work.outdated)
        return self._source.migration(work.kind, work.version) if whole else None

    def _send_ahead(self, migration: Migration, *, after: Migration, most_bytes: int) -> Sent | None:
        script = self._source.at_hand(*_key(migration))
        if script.stepwise:
            return None
        timeout_ms = Ladder().timeout_ms(self._session.deadlock_timeout_ms)
        return execute.send_ahead(
            self._session,
            migration.script.text,
            script.segments[0],
            opening=self._frames.opening(timeout_ms, 0, migration, script, after=after),
            closing=self._closing(migration, script, 0, timeout_ms),
            most_bytes=most_bytes,
        )

    def _closing(
        self, migration: Migration, script: CompiledScript, number: int, lock_timeout_ms: int
    ) -> list[str]:
        return self._frames.closing(
            migration,
            script,
            number,
            lock_timeout_ms=lock_timeout_ms,
            earlier_ms=self._durations.so_far_ms(migration),
            leads=self._leads_to(migration) is not None,
        )

    # A single

    async def _commit(
        self,
        action: steps.SegmentAction,
        migration: Migration,
        script: CompiledScript,
        *statements: str,
        outdated: Outdated | None = None,
    ) -> Observation:
        opening = self._frames.mark_opening(migration, action.lock_timeout_ms, outdated)
        began = anyio.current_time()
        self._watcher.begin(migration.version, Progress(), self._session.backend_pid)
        try:
            await execute.run_plain(self._session, opening, [*statements, "COMMIT"])
        except OpeningRefused:
            return steps.FenceLost(anyio.current_time())
        except StatementRefused as refused:
            if refused.problem.sqlstate in LOCK_CODES:
                now = anyio.current_time()
                self.locked_out = await self._error(action, migration, script, refused)
                return steps.LockTimedOut(now, elapsed_seconds=now - began)
            raise await self._explained(action, migration, script, refused) from refused
        finally:
            self._watcher.end()
        return steps.Marked(anyio.current_time())

    async def _asked(self, action: steps.SegmentAction, question: Awaitable[_Answer]) -> _Answer:
        """The answer to *question*, for which the settings of the script were made again."""
        migration, script, _ = await self._at(action)
        try:
            return await question
        except StatementRefused as refused:
            raise await self._explained(action, migration, script, refused) from refused

    # What is told

    async def _due(self, action: steps.SegmentAction) -> tuple[Migration, CompiledScript, Segment]:
        """What *action* is about, once it is time for it."""
        if action.delay_seconds:
            await anyio.sleep(action.delay_seconds)
        return await self._at(action)

    async def _at(self, action: steps.SegmentAction) -> tuple[Migration, CompiledScript, Segment]:
        migration = self._source.migration(action.kind, action.version)
        script = await self._source.compiled(action.kind, action.version)
        index = min(action.segment, len(script.segments) - 1)
        return migration, script, script.segments[index]

    def _begin(self, migration: Migration, script: CompiledScript, segment: int) -> float:
        self.begun = _key(migration)
        statements = len(script.segments[segment].statements)
        self._emit(
            MigrationStarted(
                migration.version,
                migration.name,
                migration.kind.value,
                segment,
                len(script.segments),
                statements,
            )
        )
        self._progress.begin(statements)
        self._watcher.begin(migration.version, self._progress, self._session.backend_pid)
        return anyio.current_time()

    def _completes(self, action: steps.SegmentAction, script: CompiledScript) -> None:
        last = action.segment + 1 >= len(script.segments)
        self._completing = (action.kind, action.version) if last else None

    def _nothing_is_unanswered(self) -> None:
        """The server has refused something, and so whatever was sent behind it."""
        self._completing = None
        self._ahead.clear()

    @property
    def unanswered(self) -> Set[tuple[Kind, str]]:
        return self._ahead.keys() | ({self._completing} if self._completing else set())

    def _told_if_complete(
        self, action: steps.SegmentAction, migration: Migration, script: CompiledScript
    ) -> None:
        self._completing = None
        if action.segment + 1 < len(script.segments):
            return
        self.applied += 1
        took_ms = self._durations.so_far_ms(migration)
        kind = migration.kind.value
        self._emit(MigrationApplied(migration.version, migration.name, kind, took_ms, self._applied_by))
        self._source.forget(migration.kind, migration.version)

    async def _explained(
        self,
        action: steps.SegmentAction,
        migration: Migration,
        script: CompiledScript,
        refused: StatementRefused,
        *,
        undone: bool = True,
    ) -> PgreadyError:
        """The error for what ends the run, which is told as the migration's."""
        error = await self._error(action, migration, script, refused, undone=undone)
        self._emit(MigrationFailed(migration.version, error.what, error.sqlstate, error.place))
        return error

    async def _error(
        self,
        action: steps.SegmentAction,
        migration: Migration,
        script: CompiledScript,
        refused: StatementRefused,
        *,
        undone: bool = True,
    ) -> PgreadyError:
        # What is refused of a RecordDone is the record: its statement is done.
        parts = action.segment + isinstance(action, steps.RecordDone)
        before = self._applied_before + self.applied
        return await explained(
            self._session,
            refused,
            migration.script,
            version=migration.version,
            records=self._tables.table(migration),
            done=reasons.done_so_far(migration, script, parts, before, undone=undone),
            then="pgready up",
            cure=reasons.cure(migration, script, parts, refused, undone=undone),
            part_end=part_end(script, action.segment),
        )


def _key(migration: Migration) -> tuple[Kind, str]:
    return migration.kind, migration.version
