"""Carries out what `core.run` decides, and tells it what was seen.

One `Run` is one attempt to make one target ready. It holds the connections and the lock; the decisions
are all elsewhere. Every way out passes `close`, so that no lock and no backend stays behind.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from asyncpg import PostgresError

from pgready.core import run, steps
from pgready.core.errors import DatabaseMissing, PgreadyError
from pgready.core.events import (
    ConnectFailed,
    ConnectionLost,
    Event,
    LockReleased,
    LockTaken,
    LockWaited,
    PhaseEntered,
    ReadyReached,
    ServerNotice,
)
from pgready.core.model import LockHolder
from pgready.core.phases import Phase, phase_of
from pgready.core.planning import Plan
from pgready.core.run import RunState
from pgready.database import lock
from pgready.database.connect import CannotConnect
from pgready.database.refusals import DRIVER_ERRORS, OpeningRefused, StatementRefused, lost_connection
from pgready.database.session import GRACE_SECONDS, Pooling, Session
from pgready.running import reasons
from pgready.running.ahead import FirstSession
from pgready.running.assignment import Assignment
from pgready.running.look import Looker, Sight
from pgready.running.opening import Opener, connected
from pgready.running.tally import Tally
from pgready.running.watch import Watcher

if TYPE_CHECKING:  # what changes something is loaded where there is something to change
    from pgready.running.apply import Applier
    from pgready.running.bootstrapper import Bootstrapper

_TELL_HOLDER_SECONDS = 5.0


class Run:
    """One attempt to make one target ready."""

    def __init__(
        self,
        assignment: Assignment,
        looker: Looker,
        emit: Callable[[Event], None],
        first: FirstSession | None = None,
    ) -> None:
        """*first* is an attempt to connect that is under way: the run's first."""
        self._assignment = assignment
        self._first = first
        self._looker = looker
        self._emit = emit
        self._state: RunState = run.begin(assignment.patience, seed=random.getrandbits(31))
        self._session: Session | None = None
        self._sight: Sight | None = None
        self._applier: Applier | None = None
        self._tally = Tally(assignment.applied_by, emit)
        self._error: PgreadyError | None = None
        self._said: PgreadyError | None = None
        self._holder: LockHolder | None = None
        self._holders: tuple[LockHolder, ...] = ()
        self._attempts = self._attempts_before = 0
        self._lock_since = 0.0
        self._tell_holder_at = 0.0
        self._migrates = False
        self._opener = Opener(assignment)
        self._watcher = Watcher(self._opener.open_target, emit)

    async def to_end(self) -> None:
        """Run until the target is ready. Raises PgreadyError; nothing is left held, whatever happens."""
        self._migrates = True
        began = anyio.current_time()
        failure: PgreadyError | None = None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._watcher.watch)
                try:
                    await self._loop()
                except PgreadyError as error:  # kept out of the task group, which would wrap it
                    failure = error
                group.cancel_scope.cancel()
        finally:
            await self._close()
        if failure is not None:
            raise failure
        self._emit(ReadyReached(self._tally.applied, round(1000 * (anyio.current_time() - began))))

    async def look_only(self, *, unmade: bool = False) -> Sight:
        """Connect, with the run's patience, and look once; changes nothing. Raises PgreadyError.

        *unmade*: a database that is not there yet is looked at as one in which nothing is.
        """
        try:
            async with self.looking() as (_, sight):
                return sight
        except DatabaseMissing:
            if not unmade:
                raise
        self._emit(PhaseEntered(Phase.PLANNING.value))
        return await self._looker.look_at_none(self._assignment.target)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[tuple[Session, Sight]]:
        """The same, with the connection still open."""
        observation: steps.Observation = steps.Started(anyio.current_time())
        try:
            while not isinstance(observation, steps.Looked):
                before = phase_of(self._state)
                self._state, action = run.decide(self._state, observation)
                if isinstance(action, steps.BootstrapCluster) and self._error is not None:
                    raise await self._opener.unmade(self._error)  # a look makes nothing
                self._tell(before, observation, action)
                if isinstance(action, steps.GiveUp):
                    raise await self._reason(action, observation)
                observation = await self._observe(action)
            try:
                yield self._here(), self._seen()
            except DRIVER_ERRORS as problem:
                raise reasons.unexpected(problem) from problem
        finally:
            await self._close()

    async def look_again(self) -> Sight:
        """Another look on the same connection, whose lock the caller has taken."""
        return await self._looker.look(self._here(), under_lock=True)

    async def _loop(self) -> None:
        observation: steps.Observation = steps.Started(anyio.current_time())
        while True:
            before = phase_of(self._state)
            self._state, action = run.decide(self._state, observation)
            self._tell(before, observation, action)
            if isinstance(action, steps.Finish):
                return
            if isinstance(action, steps.GiveUp):
                raise await self._reason(action, observation)
            observation = await self._observe(action)

    async def _observe(self, action: steps.Action) -> steps.Observation:
        """Carry *action* out. What cannot be cured is kept as the error; a lost connection is `Lost`."""
        try:
            return await _HANDLERS[type(action)](self, action)
        except PgreadyError as error:
            self._error = error
            return steps.Failed(anyio.current_time())
        except CannotConnect as problem:  # a second connection: of a probe, or of whoever may create things
            self._error = problem.error
            if not problem.transient:
                return steps.Failed(anyio.current_time())
            self._emit(ConnectionLost(problem.error.what))
            return steps.Unreached(anyio.current_time())
        except OpeningRefused:
            return steps.FenceLost(anyio.current_time())
        except StatementRefused as refused:  # outside any script
            self._error = reasons.history_not_made(refused.problem)
            return steps.Failed(anyio.current_time())
        except DRIVER_ERRORS as problem:
            closed = self._session is None or self._session.closed
            if not closed and not lost_connection(problem):
                self._error = reasons.unexpected(problem)
                return steps.Failed(anyio.current_time())
            self._emit(ConnectionLost(reasons.unexpected(problem).what))
            return steps.Lost(anyio.current_time())

    # Connecting

    async def _connect(self, action: steps.Connect) -> steps.Observation:
        await self._close()
        self._lock_since = self._tell_holder_at = 0.0  # the next session has yet to be examined
        await anyio.sleep(action.delay_seconds)
        self._attempts += 1
        now = anyio.current_time()
        left = self._assignment.patience.connect_seconds - (now - self._state.connect_since)
        try:
            first, self._first = self._first, None
            session = await (first() if first else self._opener.open(self._assignment.target, left))
        except CannotConnect as problem:
            made_by = self._assignment.admin if self._state.cluster_bootstrapped else None
            self._error = reasons.in_spite_of_bootstrap(problem.error, made_by)
            self._said = self._said if problem.silent else self._error
            lacks_role = not self._state.cluster_bootstrapped and self._assignment.may_lack_its_role(
                problem.error
            )
            if problem.missing_database or lacks_role:
                return steps.ConnectRefused(anyio.current_time(), transient=False, missing_database=True)
            return steps.ConnectRefused(anyio.current_time(), transient=problem.transient)
        session.on_notice(self._notice)
        self._session = session
        self._error = self._said = None
        self._attempts_before = self._attempts
        self._emit(connected(session, self._attempts))
        return steps.Connected(anyio.current_time(), deadlock_timeout_ms=session.deadlock_timeout_ms)

    # Bootstrapping

    async def _bootstrap_cluster(self, _: steps.BootstrapCluster) -> steps.Observation:
        await self._bootstrapper().make_cluster()
        return steps.Bootstrapped(anyio.current_time())

    async def _bootstrap_target(self, _: steps.BootstrapTarget) -> steps.Observation:
        session, sight = self._here(), self._seen()
        if sight.needs.cluster:
            await self._bootstrapper().make_cluster(session)
        if sight.needs.target:
            await self._bootstrapper().make_target(session)
        await self._looker.create_tables(session, sight)
        return steps.Bootstrapped(anyio.current_time())

    def _bootstrapper(self) -> Bootstrapper:
        from pgready.running.bootstrapper import Bootstrapper

        waited = anyio.current_time() - self._state.unreached_since if self._state.unreached else 0.0
        left = self._assignment.patience.connect_seconds - waited
        return Bootstrapper(self._assignment, self._opener.open, self._emit, left)

    # Looking and locking

    async def _look(self, action: steps.Look) -> steps.Observation:
        session, under_lock = self._here(), action.under_lock
        self._count_applied()
        await anyio.sleep(action.delay_seconds)
        began = anyio.current_time()
        looks_again = self._migrates and not under_lock
        try:
            sight = await self._looker.look(session, under_lock=under_lock, looks_again=looks_again)
        except PostgresError as problem:
            now = anyio.current_time()
            waited = self._state.ladder.waited_seconds(began) + now - began
            self._holders = await self._looker.tell_locked(session, problem, waited)
            return steps.LockTimedOut(now, elapsed_seconds=now - began)
        self._sight = sight
        self._tally.tell_unanswered(sight.plan, under_lock=under_lock)
        if under_lock:
            if session.pooling is Pooling.UNPROVEN:
                self._looker.refuse_singles(session, sight)
            self._applier = self._looker.applier(
                session,
                sight,
                self._watcher,
                version=self._assignment.pgready_version,
                applied_by=self._assignment.applied_by,
                timeout_ms=self._assignment.statement_timeout_ms,
                lock_seconds=self._assignment.patience.lock_seconds,
                applied_before=self._tally.applied,
            )
        return steps.Looked(
            anyio.current_time(), refused=bool(sight.plan.errors), bootstrap=sight.bootstrap, work=sight.work
        )

    async def _take_lock(self, action: steps.TakeLock) -> steps.Observation:
        await anyio.sleep(action.delay_seconds)
        session, keys = self._here(), self._seen().keys
        if not self._lock_since:
            self._lock_since = anyio.current_time()
            await self._examine(session)
            await session.set_own(self._assignment.statement_timeout_ms)
        waited = anyio.current_time() - self._lock_since
        if await lock.try_take(session, keys):
            self._lock_since = 0.0
            self._emit(LockTaken(waited))
            return steps.LockTaken(anyio.current_time())
        self._holder = await lock.holder(session, keys)
        if waited >= self._tell_holder_at:
            self._tell_holder_at = waited + _TELL_HOLDER_SECONDS
            self._emit(LockWaited(self._holder, waited))
        return steps.LockBusy(anyio.current_time(), self._holder)

    async def _examine(self, session: Session) -> None:
        """Refuse a proven transaction pooler."""
        from pgready.database import pooler

        await pooler.examine(session, self._opener.open_target)
        if session.pooling is Pooling.TRANSACTION:
            raise pooler.transaction_pooler(session)

    async def _release_lock(self, _: steps.ReleaseLock) -> steps.Observation:
        if self._assignment.declared and self._applier is not None and self._applier.applied:
            await self._bootstrapper().make_target(self._here())  # grants on what the migrations have made
        await lock.release(self._here(), self._seen().keys)
        self._emit(LockReleased())
        return steps.Released(anyio.current_time())

    # Applying

    async def _run_checks(self, _: steps.RunChecks) -> steps.Observation:
        self._count_applied()
        if self._looker.checks:
            from pgready.running.checks import run_checks

            await run_checks(self._here(), self._looker.checks, self._emit)
        return steps.ChecksPassed(anyio.current_time())

    def _count_applied(self) -> None:
        if self._applier is not None:
            self._tally.add(self._applier)
            self._applier = None

    # What is known

    def _here(self) -> Session:
        assert self._session is not None, "the machine connects first"
        return self._session

    def _seen(self) -> Sight:
        assert self._sight is not None, "the machine looks first"
        return self._sight

    def _working(self) -> Applier:
        assert self._applier is not None, "the machine looks under the lock first"
        return self._applier

    def _notice(self, severity: str, message: str) -> None:
        self._emit(ServerNotice(severity, message, self._watcher.version))

    def _tell(self, before: Phase, observation: steps.Observation, action: steps.Action) -> None:
        missing = isinstance(action, steps.BootstrapCluster)  # a first start: nothing failed, it is made now
        if isinstance(observation, steps.ConnectRefused) and self._error is not None and not missing:
            retry = action.delay_seconds if isinstance(action, steps.Connect) else None
            self._emit(ConnectFailed(self._attempts, self._error.what, retry))
        if isinstance(observation, steps.LockTimedOut) and isinstance(action, steps.SegmentAction):
            refused, blockers = self._working().locked_out, self._watcher.blockers
            tries, delay = self._state.ladder.tries, action.delay_seconds
            if refused is not None:
                self._emit(reasons.retried(action.version, refused, blockers, tries, delay))
        now = phase_of(self._state)
        if now is not before or self._attempts == 0:
            self._emit(PhaseEntered(now.value))

    async def _reason(self, action: steps.GiveUp, observation: steps.Observation) -> PgreadyError:
        locked_out = self._applier.locked_out if self._applier and action.version else None
        self._count_applied()
        refused = isinstance(observation, steps.ConnectRefused)
        since = self._state.connect_since if refused else None
        if self._state.unreached and not refused and not isinstance(observation, steps.Lost):
            since = self._state.unreached_since
        place = None
        if action.reason is steps.GiveUpReason.UNCERTAIN and action.kind and action.version:
            place = await self._looker.place(action.kind, action.version, action.segment or 0)
        plan, applied = self._sight.plan if self._sight is not None else Plan(()), self._tally.applied
        begun = self._tally.begun
        if action.version and begun != (action.kind, action.version):
            begun = None  # it was completed, since the look
        return reasons.explain(
            action,
            error=self._error,
            said=self._said if refused else None,
            attempts=self._attempts - self._attempts_before if refused else None,
            elapsed_seconds=observation.now - since if since is not None else None,
            applied=applied,
            stays=await self._looker.stays(plan, begun, applied),
            patience=self._assignment.patience,
            holder=self._holder,
            blockers=self._watcher.blockers if action.version else self._holders,
            locked_out=locked_out,
            plan=plan,
            place=place,
        )

    async def _close(self) -> None:
        """Close the connection, and with it whatever it holds."""
        session, self._session = self._session, None
        if session is not None:
            with anyio.move_on_after(GRACE_SECONDS, shield=True):
                await session.close()


_Handler = Callable[..., Awaitable[steps.Observation]]

_HANDLERS: dict[type[steps.Action], _Handler] = {
    steps.Connect: Run._connect,
    steps.BootstrapCluster: Run._bootstrap_cluster,
    steps.Look: Run._look,
    steps.TakeLock: Run._take_lock,
    steps.BootstrapTarget: Run._bootstrap_target,
    steps.RunTransaction: lambda run, action: run._working().run_transaction(action),
    steps.BeginAnew: lambda run, action: run._working().begin_anew(action),
    steps.MarkStarted: lambda run, action: run._working().mark_started(action),
    steps.RunSingle: lambda run, action: run._working().run_single(action),
    steps.Probe: lambda run, action: run._working().probe(action),
    steps.RecordDone: lambda run, action: run._working().record_done(action),
    steps.ReleaseLock: Run._release_lock,
    steps.RunChecks: Run._run_checks,
}
