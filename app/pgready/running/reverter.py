"""Takes migrations back: what reverts each, and the end of its record, in one fenced transaction.

Statements outside a transaction run first, each unless the catalogue says that it happened already, and
the record goes afterwards: a `down` that died is simply given again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from pgready.core.diagnostics import explain
from pgready.core.errors import Diverged, LockLost, PgreadyError
from pgready.core.events import Event, MigrationFailed, MigrationRetried, MigrationReverted
from pgready.core.ladder import Ladder
from pgready.core.patience import Patience
from pgready.core.planning import Plan
from pgready.core.reverting import Reversal, told
from pgready.core.segments import Segment, Single
from pgready.core.steps import ProbeAnswer
from pgready.database import audit, catalog, execute, lock
from pgready.database.execute import Progress
from pgready.database.refusals import OpeningRefused, StatementRefused
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.dialects.native import AUDIT
from pgready.running import reasons
from pgready.running.apply import BEGIN, LOCK_CODES
from pgready.running.look import Sight
from pgready.running.recording import Author, locked
from pgready.running.runner import Run

_PAUSE_SECONDS = 0.2


async def down(
    run: Run,
    choose: Callable[[Plan], tuple[Reversal, ...]],
    agreed: tuple[str, ...] | None,
    reverter: Callable[[Session, Sight], Reverter],
    author: Author,
    emit: Callable[[Event], None],
    *,
    patience_seconds: float,
) -> tuple[str, ...]:
    """Revert what *choose* finds, where that is what was *agreed* to (None: only say what it would be)."""
    async with run.looking() as (session, sight):
        planned = choose(sight.plan)
        if agreed is None or not planned:
            return told(planned)
        async with locked(session, sight.keys, patience_seconds, emit):
            under_lock = await run.look_again()
            planned = choose(under_lock.plan)
            if told(planned) != agreed:
                raise Diverged(
                    "what would be reverted has changed since it was agreed to",
                    hint="another run was at work meanwhile; look, and give the command again",
                    done="nothing was run",
                )
            await session.execute(session.own_settings(0))
            create = () if AUDIT in under_lock.tables else (audit.CREATE,)
            at_work = reverter(session, under_lock)
            for reversal in planned:
                await at_work.revert(
                    reversal, [*create, author.entry(f"{reversal.migration.version} reverted")]
                )
                create = ()
    return agreed


class Reverter:
    """Reverts on *session*, whose lock is held."""

    def __init__(
        self,
        session: Session,
        keys: lock.LockKeys,
        dialect: Dialect,
        patience: Patience,
        emit: Callable[[Event], None],
        *,
        statement_timeout_ms: int,
    ) -> None:
        self._session = session
        self._keys = keys
        self._dialect = dialect
        self._patience = patience
        self._emit = emit
        self._own_settings = session.own_settings(statement_timeout_ms)
        self._reverted = 0

    async def revert(self, reversal: Reversal, closing: Sequence[str]) -> None:
        """Raises PgreadyError; what was reverted before stays reverted."""
        began = anyio.current_time()
        try:
            if reversal.transactional:
                await self._in_transaction(reversal, closing)
            else:
                await self._outside(reversal, closing)
        except OpeningRefused as refused:
            raise LockLost("the migration lock was lost", done=self._done(reversal)) from refused
        except StatementRefused as refused:
            raise self._explained(reversal, refused) from refused
        self._reverted += 1
        migration = reversal.migration
        duration_ms = round(1000 * (anyio.current_time() - began))
        self._emit(MigrationReverted(migration.version, migration.name, duration_ms))

    async def _in_transaction(self, reversal: Reversal, closing: Sequence[str]) -> None:
        """Climb the ladder of lock timeouts, as a migration does."""
        ladder = Ladder()
        deadlock_ms = self._session.deadlock_timeout_ms
        while True:
            began = anyio.current_time()
            try:
                await self._try(reversal, closing, ladder.timeout_ms(deadlock_ms))
            except StatementRefused as refused:
                if refused.problem.sqlstate not in LOCK_CODES:
                    raise
                now = anyio.current_time()
                ladder = ladder.climb(now, now - began, deadlock_ms)
                if ladder.waited_seconds(now) >= self._patience.relation_lock_seconds:
                    version = reversal.migration.version
                    raise reasons.relation_locked(version, (), self._patience) from refused
                reason = reasons.lock_timed_out(())
                self._emit(MigrationRetried(reversal.migration.version, reason, ladder.tries, _PAUSE_SECONDS))
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
            opening=[BEGIN, *lock.fence(self._session, self._keys, timeout_ms)],
            closing=[*execute.RESETS, self._own_settings, *self._forgotten(reversal), *closing, "COMMIT"],
            progress=Progress(self._session),
            stepwise=script.stepwise,
        )

    async def _outside(self, reversal: Reversal, closing: Sequence[str]) -> None:
        for segment in reversal.script.segments:
            await self._alone(reversal, segment)
        opening = [BEGIN, *lock.fence(self._session, self._keys, 0)]
        await execute.run_plain(self._session, opening, [*self._forgotten(reversal), *closing, "COMMIT"])

    async def _alone(self, reversal: Reversal, segment: Segment) -> None:
        text = reversal.revert.text
        settings = [text[each.start : each.end] for each in segment.settings]
        await self._session.execute("\n;".join([*execute.RESETS[1:], self._own_settings, *settings]))
        try:
            if segment.single is Single.CREATE_INDEX:
                await catalog.drop_invalid_index(self._session, segment)
            if not await self._happened(segment):
                await execute.run_single(self._session, text, segment.statements[0])
        finally:
            if not self._session.closed:
                await self._session.execute("\n;".join([*execute.RESETS[1:], self._own_settings]))

    async def _happened(self, segment: Segment) -> bool:
        if segment.single is Single.REPEATABLE:
            return False
        return await catalog.probe(self._session, segment) is ProbeAnswer.HAPPENED

    def _forgotten(self, reversal: Reversal) -> tuple[str, ...]:
        return (self._dialect.forget(reversal.applied),)

    def _explained(self, reversal: Reversal, refused: StatementRefused) -> PgreadyError:
        error = explain(
            reversal.revert,
            refused.report,
            refused.statement,
            done=self._done(reversal),
            next_command="mend it, then give the same command again",
        )
        self._emit(MigrationFailed(reversal.migration.version, error.what, error.sqlstate, error.place))
        return error

    def _done(self, reversal: Reversal) -> str:
        before = f"{self._reverted} before it were reverted" if self._reverted else "nothing else was run"
        kept = "is applied as before" if reversal.transactional else "is recorded as applied still"
        return f"{reversal.migration.version} {kept}; {before}"
