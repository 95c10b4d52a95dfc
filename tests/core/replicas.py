"""A small, exact model of what replicas and a server can do to each other, for the tests of `core.run`.

The server has a session lock, a history, a journal and the effects of segments. What a transaction does
commits with its record; a single's effect does not. The fence is checked in one step with the effect. A
client may die, or lose its connection, before, during or after the effect; what it had sent may take
effect only when the server notices that the client is gone, which is also when the lock is freed. Behind a
transaction the next ones have been sent ahead: where the client is gone, the server may do those as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum

from pgready.core import planning, resumption, run, steps
from pgready.core.model import Applied, Folder, History, JournalRow, Kind, Migration, Script, SegmentState
from pgready.core.patience import Patience
from pgready.core.segments import Segment, SegmentKind, Statement

PATIENCE = Patience(connect_seconds=60, lock_seconds=1e6, relation_lock_seconds=1e6)


class Effect(Enum):
    """What a segment does, by what a probe can tell of it."""

    TRANSACTION = "transaction"
    INDEX = "an index: a probe sees it, half of it must be dropped, and it cannot be made twice"
    HARMLESS = "may run again"
    UNKNOWN = "must run once, and no probe can tell"


class Fault(Enum):
    NONE = "none"
    CRASH_BEFORE = "the process dies before the server does anything"
    CRASH_DURING = "the process dies and the server stops half-way"
    CRASH_AFTER = "the process dies when all has happened"
    CRASH_AND_LATE = "the process dies and the server does it later"
    CRASH_AHEAD = "the process dies when all has happened, and what was sent ahead behind it"
    LOST_BEFORE = "the connection is cut before the server does anything"
    LOST_DURING = "the connection is cut and the server stops half-way"
    LOST_AFTER = "the connection is cut when all has happened"
    LOST_AND_LATE = "the connection is cut and the server does it later"
    LOST_AHEAD = "the connection is cut when all has happened, and what was sent ahead behind it"
    UNLOCKED = "the session lock is gone in silence"
    LOCK_TIMEOUT = "a relation lock is not to be had"
    UNREACHED = "another connection is not to be had"
    FAILED = "the server refuses"


_CRASHES = (
    Fault.CRASH_BEFORE, Fault.CRASH_DURING, Fault.CRASH_AFTER, Fault.CRASH_AND_LATE, Fault.CRASH_AHEAD
)  # fmt: skip
_AFTER = (Fault.CRASH_AFTER, Fault.LOST_AFTER, Fault.CRASH_AHEAD, Fault.LOST_AHEAD)
_AHEAD = (Fault.CRASH_AHEAD, Fault.LOST_AHEAD)
_DURING = (Fault.CRASH_DURING, Fault.LOST_DURING)
_LATE = (Fault.CRASH_AND_LATE, Fault.LOST_AND_LATE)

At = tuple[str, int]
Scripts = Sequence[Sequence[Effect]]


WAITS_FOR_RELATIONS = (
    steps.Look,
    steps.RunTransaction,
    steps.BeginAnew,
    steps.MarkStarted,
    steps.RunSingle,
    steps.RecordDone,
)


class World:
    """The server. *scripts* are the migrations' segments."""

    def __init__(self, scripts: Scripts) -> None:
        self.effects = {
            (f"{number:04}", at): effect
            for number, script in enumerate(scripts)
            for at, effect in enumerate(script)
        }
        self.lengths = {f"{number:04}": len(script) for number, script in enumerate(scripts)}
        self.history: list[str] = []
        self.journal: dict[At, SegmentState] = {}
        self.happened: Counter[At] = Counter()
        self.halves: set[At] = set()
        self.interrupted: set[At] = set()
        self.bootstrapped = False
        self.lock_owner: int | None = None
        self.ghosts: list[tuple[int, steps.Action | None]] = []
        self.sessions = 0

    @property
    def complete(self) -> bool:
        return self.bootstrapped and self.history == list(self.lengths)

    def connect(self) -> int:
        self.sessions += 1
        return self.sessions

    def abandon(self, session: int, late: steps.Action | None) -> None:
        """The client is gone; the server will notice, and do *late* before it does."""
        self.ghosts.append((session, late))

    def notice(self) -> None:
        """The server notices the clients that are gone."""
        ghosts, self.ghosts = self.ghosts, []
        for session, late in ghosts:
            if late is not None:
                self.perform(session, late, now=0.0)
            self.unlock(session)

    def unlock(self, session: int) -> None:
        if self.lock_owner == session:
            self.lock_owner = None

    def perform(self, session: int, action: steps.Action, now: float) -> steps.Observation:
        """Do all of *action*."""
        assert session, f"{action} on a connection that is gone"
        match action:
            case steps.Connect():
                return steps.Connected(now)
            case steps.Look(under_lock=under_lock):
                return self._look(now, compiled=under_lock)
            case steps.TakeLock():
                return self._take_lock(session, now)
            case steps.BootstrapTarget():
                self.bootstrapped = True
                return steps.Bootstrapped(now)
            case steps.ReleaseLock():
                self.unlock(session)
                return steps.Released(now)
            case steps.RunChecks():
                return steps.ChecksPassed(now)
            case steps.SegmentAction(version=version, segment=segment):
                return self._fenced(session, action, (version, segment), now)
        raise AssertionError(f"nothing performs {action}")

    def perform_half(self, session: int, action: steps.Action) -> None:
        """Stop in the middle: a transaction rolls back, an index stays invalid, the rest does nothing."""
        if isinstance(action, steps.RunSingle) and self._may_run(session, action.version):
            at = action.version, action.segment
            if self.effects[at] is Effect.INDEX and not self.happened[at]:
                self.halves.add(at)

    def take_back_mark(self, session: int, action: steps.RunSingle) -> None:
        """Of a single that the server refused, and of which nothing is left."""
        if self._may_run(session, action.version):
            self.journal.pop((action.version, action.segment), None)

    def _look(self, now: float, *, compiled: bool) -> steps.Looked:
        recorded = History(True, self._applied(), self._marks())
        plan = planning.plan(Folder("model", self._migrations()), recorded, planning.Policies())
        pending = [(entry, self._segments(entry.version)) for entry in plan.pending]
        assert not [
            found for each in pending if (found := resumption.verify_resumption(each[0], recorded, each[1]))
        ]
        work = tuple(resumption.work(entry, segments if compiled else None) for entry, segments in pending)
        return steps.Looked(now, refused=bool(plan.errors), bootstrap=not self.bootstrapped, work=work)

    def _applied(self) -> tuple[Applied, ...]:
        return tuple(Applied(version, checksum="same") for version in self.history)

    def _marks(self) -> tuple[JournalRow, ...]:
        return tuple(
            JournalRow(Kind.VERSIONED, version, segment, state, "same")
            for (version, segment), state in self.journal.items()
        )

    def _migrations(self) -> tuple[Migration, ...]:
        return tuple(Migration(each, "", Script(f"{each}.sql", ""), "same") for each in self.lengths)

    def _segments(self, version: str) -> tuple[Segment, ...]:
        kinds = [effect is Effect.TRANSACTION for (of, _), effect in self.effects.items() if of == version]
        return tuple(
            Segment(SegmentKind.TRANSACTION if kind else SegmentKind.SINGLE, (Statement(0, 0),), "same")
            for kind in kinds
        )

    def _take_lock(self, session: int, now: float) -> steps.Observation:
        if self.lock_owner not in (None, session):
            return steps.LockBusy(now)
        self.lock_owner = session
        return steps.LockTaken(now)

    def _probe(self, at: At) -> steps.ProbeAnswer:
        match self.effects[at]:
            case Effect.UNKNOWN:
                return steps.ProbeAnswer.UNKNOWN
            case Effect.INDEX if self.happened[at]:
                return steps.ProbeAnswer.HAPPENED
        self.halves.discard(at)
        return steps.ProbeAnswer.NOT_HAPPENED

    def _may_run(self, session: int, version: str) -> bool:
        return self.lock_owner == session and version not in self.history

    def _fenced(self, session: int, action: steps.SegmentAction, at: At, now: float) -> steps.Observation:
        if not self._may_run(session, action.version):
            return steps.FenceLost(now)
        match action:
            case steps.RunTransaction():
                assert self.effects[at] is Effect.TRANSACTION
                self.happened[at] += 1
                self._record(at)
            case steps.RunSingle():
                assert self.journal.get(at) is SegmentState.STARTED, "a single ran without a durable mark"
                assert at not in self.halves, "an index was built over an invalid one"
                self.happened[at] += 1
            case steps.MarkStarted():
                self.journal[at] = SegmentState.STARTED
                return steps.Marked(now)
            case steps.Probe():
                return steps.Probed(now, self._probe(at))
            case steps.RecordDone():
                self._record(at)
                return steps.Marked(now)
        return steps.SegmentDone(now)

    def _record(self, at: At) -> None:
        version, segment = at
        if segment + 1 < self.lengths[version]:
            self.journal[at] = SegmentState.DONE
            return
        self.history.append(version)
        self.journal = {key: state for key, state in self.journal.items() if key[0] != version}


class Replica:
    """A process that carries out what `core.run` decides; one that ended or died starts again."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.now = 0.0
        self.start()

    def start(self) -> None:
        self.session = 0
        self.seed += 1
        self.alive = True
        self.state, self.action = run.decide(run.begin(PATIENCE, self.seed), steps.Started(self.now))

    @property
    def ended(self) -> bool:
        return isinstance(self.action, steps.Finish | steps.GiveUp)

    @property
    def ready(self) -> bool:
        return self.alive and isinstance(self.action, steps.Finish)

    def step(self, fault: Fault = Fault.NONE) -> None:
        """Carry out one action, with *fault* where it applies."""
        if not self.alive or self.ended:
            self.start()
            return
        self.now += 0.01 + getattr(self.action, "delay_seconds", 0.0)
        if fault is not Fault.NONE and isinstance(self.action, steps.SegmentAction):
            self.world.interrupted.add((self.action.version, self.action.segment))
        observation = self._observe(fault)
        if observation is not None:
            self.state, self.action = run.decide(self.state, observation)
        if self.ended:
            self._check_end()

    def _observe(self, fault: Fault) -> steps.Observation | None:
        """What the process sees; None where it died."""
        if isinstance(self.action, steps.Connect):
            self._disconnect()
            self.session = self.world.connect()
        if fault in (Fault.NONE, Fault.UNLOCKED, Fault.LOCK_TIMEOUT, Fault.UNREACHED, Fault.FAILED):
            return self._answer(fault)
        self._do_some(fault)
        self.world.abandon(self.session, self.action if fault in _LATE and not self._connecting else None)
        self.session = 0
        if fault in _CRASHES:
            self.alive = False
            return None
        return steps.ConnectRefused(self.now, transient=True) if self._connecting else steps.Lost(self.now)

    @property
    def _connecting(self) -> bool:
        return isinstance(self.action, steps.Connect)

    def _answer(self, fault: Fault) -> steps.Observation:
        if fault is Fault.UNLOCKED:
            self.world.unlock(self.session)
        if fault is Fault.LOCK_TIMEOUT and isinstance(self.action, WAITS_FOR_RELATIONS):
            if isinstance(self.action, steps.RunSingle):
                self.world.take_back_mark(self.session, self.action)
            return steps.LockTimedOut(self.now, elapsed_seconds=0.1)
        if fault is Fault.UNREACHED and isinstance(
            self.action, steps.TakeLock | steps.BootstrapTarget | steps.ReleaseLock
        ):
            if isinstance(self.action, steps.ReleaseLock):  # the run closes it, to end or to connect anew
                self._disconnect()
            return steps.Unreached(self.now)
        if fault is Fault.FAILED and isinstance(
            self.action, steps.Look | steps.SegmentAction | steps.RunChecks
        ):
            return steps.Failed(self.now)
        return self.world.perform(self.session, self.action, self.now)

    def _do_some(self, fault: Fault) -> None:
        if fault in _AFTER:
            self.world.perform(self.session, self.action, self.now)
            if fault in _AHEAD and isinstance(self.action, steps.RunTransaction):
                self._do_what_was_sent_ahead(self.action)
        elif fault in _DURING:
            self.world.perform_half(self.session, self.action)

    def _do_what_was_sent_ahead(self, action: steps.RunTransaction) -> None:
        for work in self.state.work[self.state.position + 1 :]:
            before_it_committed = action.version in self.world.history
            if not before_it_committed or work.compiled != (SegmentKind.TRANSACTION,):
                return
            action = steps.RunTransaction(work.kind, work.version, 0, action.lock_timeout_ms)
            self.world.perform(self.session, action, self.now)

    def _disconnect(self) -> None:
        if self.session:
            self.world.unlock(self.session)

    def _check_end(self) -> None:
        assert self.world.lock_owner != self.session, f"ended with {self.action} while holding the lock"
        if isinstance(self.action, steps.Finish):
            assert self.world.complete, "ready, and something is not applied"
        elif isinstance(self.action, steps.GiveUp) and self.action.reason is steps.GiveUpReason.UNCERTAIN:
            at = self.action.version or "", self.action.segment or 0
            assert self.world.effects[at] is Effect.UNKNOWN
            assert at in self.world.interrupted, "uncertain, and nothing had interrupted it"
        self._disconnect()
