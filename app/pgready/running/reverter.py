"""Takes migrations back: what reverts each, and the end of its record, in one fenced transaction.

Statements outside a transaction run first, and the record goes afterwards: a `down` that died is given again,
by its goal, and runs each unless the catalogue says that it happened already. That one has begun is journaled
before, lest an `up` meanwhile take for applied what is half gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from msgspec import Struct

from pgready.core.errors import Diverged, LockLost, LockNotObtained, PgreadyError, Uncertain, Unreachable
from pgready.core.events import Event, MigrationFailed, MigrationReverted
from pgready.core.ladder import Ladder
from pgready.core.model import TAKING_BACK, Kind, SegmentState
from pgready.core.patience import Patience
from pgready.core.planning import Entry, Plan, State
from pgready.core.quoting import fill
from pgready.core.reverting import Goal, Reversal, repeatables, reversals, same, told_again
from pgready.core.segments import CompiledScript, Segment, Single, place
from pgready.core.steps import ProbeAnswer
from pgready.database import audit, catalog, execute, journal, lock
from pgready.database.execute import Progress
from pgready.database.refusals import (
    DRIVER_ERRORS,
    LOCK_CODES,
    OpeningRefused,
    StatementRefused,
    lost_connection,
)
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.dialects.native import JOURNAL, Native, keeper
from pgready.running import handover, peers, reasons
from pgready.running.frames import BEGIN, READ_WRITE, waits
from pgready.running.look import Sight
from pgready.running.recording import Author, locked
from pgready.running.refused import explained
from pgready.running.runner import Run

_PAUSE_SECONDS = 0.2


class Agreement(Struct, frozen=True):
    """What somebody was shown and agreed to: the *goal*, what is run to reach it, and which repeatable
    scripts the next run makes *again*."""

    goal: Goal
    reversals: tuple[Reversal, ...]
    again: tuple[Entry, ...] = ()


async def plan(run: Run, dialect: Dialect, goal_of: Callable[[Plan], Goal]) -> Agreement:
    """What would be reverted in the history of *dialect*. Raises PgreadyError."""
    async with run.looking() as (session, sight):
        await handover.refuse(session, dialect, sight)
    goal = goal_of(sight.plan)
    planned = reversals(sight.plan, goal)
    return Agreement(goal, planned, repeatables(sight.plan) if planned else ())


async def revert(
    run: Run,
    agreement: Agreement,
    reverter: Callable[[Session, Sight], Reverter],
    author: Author,
    emit: Callable[[Event], None],
    *,
    patience_seconds: float,
) -> None:
    """Revert what was agreed to, where it is still the same. Raises PgreadyError."""
    async with (
        run.looking() as (session, sight),
        locked(session, sight.keys, patience_seconds, emit),
    ):
        under_lock = await run.look_again()
        planned = reversals(under_lock.plan, agreement.goal)
        if not same(planned, agreement.reversals):
            raise Diverged(
                "what would be reverted has changed since it was agreed to",
                hint=f"another was at work meanwhile; look, then: {agreement.goal.command}",
                done="nothing was run",
            )
        create = await audit.creation(session)
        at_work = reverter(session, under_lock)
        await handover.refuse(session, at_work.dialect, under_lock)
        records = [at_work.end_of_record(each) for each in planned]  # refused before the first is run
        again = repeatables(under_lock.plan)  # with the first, lest a crash part them
        for reversal, record in zip(planned, records, strict=True):
            what = filter(None, (f"{reversal.migration.version} reverted", told_again(again)))
            forgotten = [statement for each in again for statement in at_work.forget(each)]
            await at_work.revert(reversal, [*record, *forgotten, *create, author.entry("; ".join(what))])
            create, again = (), ()


class Reverter:
    """Reverts on *session*, whose lock is held. *command* is what to give after an error."""

    def __init__(
        self,
        session: Session,
        sight: Sight,
        dialect: Dialect,
        patience: Patience,
        emit: Callable[[Event], None],
        *,
        applied_by: str,
        statement_timeout_ms: int,
        command: str,
    ) -> None:
        self._command = command
        self._session = session
        self._keys = sight.keys
        self._taken_back = sight.taken_back
        self._marked = frozenset((*sight.taken_back, *sight.left_over))
        self._has_journal = JOURNAL in sight.tables
        self._marks = journal.Journal(dialect, applied_by)
        self.dialect = dialect
        self._patience = patience
        self._emit = emit
        self._own_settings = session.own_settings(statement_timeout_ms)
        self._reverted = 0

    def end_of_record(self, reversal: Reversal) -> tuple[str, ...]:
        """Statements after which the version is not recorded; they fail where it still is. Raises Diverged
        where it has no record of its own."""
        migration = reversal.migration
        forget = self.dialect.forget(reversal.applied)
        marked = migration.version in self._marked
        marks = [self._marks.forget(migration.kind, migration.version)] if marked else []
        return (forget, journal.refuse_recorded(self.dialect.recorded(migration)), *marks)

    def forget(self, repeatable: Entry) -> Iterator[str]:
        """Statements after which no part of the script is recorded, so that the next run makes it again."""
        migration = repeatable.migration
        assert migration, "a script of the folder"
        if repeatable.applied:
            yield keeper(self.dialect, migration).forget(repeatable.applied)
        if repeatable.state is State.PARTLY_APPLIED:
            yield self._marks.forget(migration.kind, migration.version)

    async def revert(self, reversal: Reversal, closing: Sequence[str]) -> None:
        """Raises PgreadyError; what was reverted before stays reverted. *closing* ends its transaction."""
        began = anyio.current_time()
        try:
            if reversal.transactional:
                await self._in_transaction(reversal, closing)
            else:
                await self._outside(reversal, closing)
        except OpeningRefused as refused:
            raise LockLost(
                "the migration lock was lost", hint=f"look, then: {self._command}", done=self._done(reversal)
            ) from refused
        except StatementRefused as refused:
            raise await self._explained(reversal, refused) from refused
        except DRIVER_ERRORS as problem:
            if not lost_connection(problem):
                raise
            raise self._lost(reversal) from problem
        self._reverted += 1
        migration = reversal.migration
        duration_ms = round(1000 * (anyio.current_time() - began))
        self._emit(MigrationReverted(migration.version, migration.name, duration_ms))

    async def _in_transaction(self, reversal: Reversal, closing: Sequence[str]) -> None:
        await self._climb(reversal, lambda timeout_ms: self._try(reversal, closing, timeout_ms))

    async def _climb(self, reversal: Reversal, attempt: Callable[[int], Awaitable[None]]) -> None:
        """Climb the ladder of lock timeouts with *attempt*, as a migration does."""
        ladder, version = Ladder(), reversal.migration.version
        deadlock_ms = self._session.deadlock_timeout_ms
        while True:
            began = anyio.current_time()
            try:
                await attempt(ladder.timeout_ms(deadlock_ms))
            except StatementRefused as refused:
                if refused.problem.sqlstate not in LOCK_CODES:
                    raise
                now = anyio.current_time()
                error = await self._error(reversal, refused)
                ladder = ladder.climb(now, now - began, deadlock_ms)
                if ladder.waited_seconds(now) >= self._patience.relation_lock_seconds:
                    raise reasons.relation_locked(
                        version, error, (), self._patience, then=self._command
                    ) from refused
                self._emit(reasons.retried(version, error, (), ladder.tries, _PAUSE_SECONDS))
                await anyio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def _try(self, reversal: Reversal, closing: Sequence[str], lock_timeout_ms: int) -> None:
        script = reversal.script
        timeout_ms = lock_timeout_ms if script.lock_timeout_ms is None else script.lock_timeout_ms
        await execute.run_transaction(
            self._session,
            reversal.revert.text,
            script.segments[0],
            opening=[
                BEGIN,
                *lock.fence(self._session, self._keys, timeout_ms),
                *_timeout(script, local=True),
            ],
            closing=[
                *execute.RESETS,
                *self._own_settings,
                lock.timeout(timeout_ms or lock_timeout_ms),
                *closing,
                "COMMIT",
            ],
            progress=Progress(),
            stepwise=script.stepwise,
        )

    async def _outside(self, reversal: Reversal, closing: Sequence[str]) -> None:
        first, *others = reversal.script.segments
        version = reversal.migration.version
        forget = self._marks.forget_segment(Kind.VERSIONED, version, TAKING_BACK)
        await self._fenced(reversal, self._begun(reversal))
        try:
            await self._alone(reversal, first)
        except (StatementRefused, Uncertain):
            if version not in self._taken_back and await self._is_untouched(reversal, first):
                with suppress(LockNotObtained):  # what was refused first is told
                    await self._fenced(reversal, [forget])
            raise
        for segment in others:
            await self._fenced(reversal, [])
            await self._alone(reversal, segment)
        await self._fenced(reversal, [*closing, forget])

    def _begun(self, reversal: Reversal) -> list[str]:
        """Statements that journal that *reversal* has begun."""
        checksum = reversal.script.segments[0].checksum
        mark = self._marks.record(reversal.migration, TAKING_BACK, SegmentState.STARTED, checksum)
        create = [] if self._has_journal else [Native().create_history()]
        self._has_journal = True
        return [*create, mark]

    async def _fenced(self, reversal: Reversal, statements: Sequence[str]) -> None:
        async def attempt(timeout_ms: int) -> None:
            opening = [BEGIN, *lock.fence(self._session, self._keys, timeout_ms)]
            await execute.run_plain(self._session, opening, [*statements, "COMMIT"])

        await self._climb(reversal, attempt)

    async def _alone(self, reversal: Reversal, segment: Segment) -> None:
        version = reversal.migration.version
        await peers.until_nobody_waits(
            self._session, self._keys, self._patience.lock_seconds, version, self._emit
        )
        async with self._prepared(reversal, segment):
            with catalog.healing(self._session, segment):
                await catalog.drop_remains(self._session, segment)
            # On a first attempt the server answers: what is there, or gone, was not this way back's doing.
            if version not in self._taken_back or not await self._happened(reversal, segment):
                await execute.run_single(self._session, reversal.revert.text, segment.statements[0])

    async def _is_untouched(self, reversal: Reversal, segment: Segment) -> bool:
        async with self._prepared(reversal, segment):
            return await catalog.is_untouched(self._session, segment)

    @asynccontextmanager
    async def _prepared(self, reversal: Reversal, segment: Segment) -> AsyncIterator[None]:
        """The session as the statements before *segment* left it, meanwhile."""
        text = reversal.revert.text
        settings = [text[each.start : each.end] for each in segment.settings]
        settings += _timeout(reversal.script, local=False)
        own = [*execute.RESETS[1:], *self._own_settings]
        timeout = waits(reversal.revert, segment, reversal.script.lock_timeout_ms or 0)
        await self._session.execute("\n;".join([*own, READ_WRITE, timeout, *settings]))
        try:
            yield
        finally:
            if not self._session.closed:
                await self._session.execute("\n;".join(own))

    async def _happened(self, reversal: Reversal, segment: Segment) -> bool:
        if segment.single is Single.REPEATABLE:
            return False
        with catalog.healing(self._session, segment):
            answer = await catalog.probe(self._session, segment)
        if answer is ProbeAnswer.UNKNOWN:
            raise Uncertain(
                f"{reversal.revert.path}: nothing can tell whether this happened already",
                place=place(reversal.revert, segment.statements[0].start),
                hint=f"write the name with its schema, then: {self._command}",
                done=self._done(reversal),
            )
        return answer is ProbeAnswer.HAPPENED

    async def _explained(self, reversal: Reversal, refused: StatementRefused) -> PgreadyError:
        error = await self._error(reversal, refused)
        self._emit(MigrationFailed(reversal.migration.version, error.what, error.sqlstate, error.place))
        return error

    async def _error(self, reversal: Reversal, refused: StatementRefused) -> PgreadyError:
        return await explained(
            self._session,
            refused,
            reversal.revert,
            version=reversal.migration.version,
            records=self.dialect.table,
            done=self._done(reversal),
            then=self._command,
        )

    def _lost(self, reversal: Reversal) -> PgreadyError:
        version = reversal.migration.version
        whole = "all of it was reverted or nothing" if reversal.transactional else "a part may be reverted"
        return Unreachable(
            f"the connection was lost while {version} was reverted",
            hint=f"look (pgready status), then: {self._command}",
            done=f"{whole}, and the server did not say which; {self._before}",
        )

    @property
    def _before(self) -> str:
        if not self._reverted:
            return "nothing else was run"
        return f"{self._reverted} before it {'was' if self._reverted == 1 else 'were'} reverted"

    def _done(self, reversal: Reversal) -> str:
        kept = "is applied as before" if reversal.transactional else "is recorded as applied still"
        return f"{reversal.migration.version} {kept}; {self._before}"


def _timeout(script: CompiledScript, *, local: bool) -> list[str]:
    """The script's own statement_timeout, where it has a directive for it."""
    if script.statement_timeout_ms is None:
        return []
    template = "SELECT pg_catalog.set_config('statement_timeout', :value, :local)"
    return [fill(template, value=f"{script.statement_timeout_ms}ms", local=local)]
