"""The decisions of a run as a pure state machine: observation in, action out (h11's manner).

`running` carries the actions of `core.steps` out and reports what it observed. The rules that this
module keeps:

1. Nothing is locked where a lock-free look finds nothing missing and nothing pending.
2. After the lock is taken the history is read again; only that second look decides what is applied.
3. A transaction segment commits together with its record. A single commits `started` first, runs, then
   commits `done`; a `started` that is found on the way in is probed before anything runs.
4. After a lost connection nothing is assumed: reconnect, look again.
5. A refused statement ends the run; a lock timeout, also of a look, goes up the ladder until the budget ends.
6. Whoever holds the lock gives it back before the run ends, and everything that repeats has an end:
   time (connecting, to whomever; waiting, the ladder) or a number of losses in a row without progress.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import backoff, steps
from pgready.core.ladder import Ladder
from pgready.core.model import Kind
from pgready.core.patience import Patience
from pgready.core.planning import Work
from pgready.core.segments import SegmentKind

# While another replica has the lock it may finish everything, and then none is needed.
TRIES_BETWEEN_LOOKS = 4

# The fence refuses when the lock was lost in silence; losing it again and again is a pooler or a reaper
# that reconnecting does not cure.
FENCE_LOSSES = 3


class RunState(Struct, frozen=True):
    """All that a run remembers. *action* is what the runner was last asked to do (None: not begun).

    *work* is as last looked at, *position* the migration in it that is being applied and *current* that
    migration as it stands now (None: all are applied). *ending* is what follows once the lock is
    released; *lock_since* is set while waiting for it. *losses* and *unreached* (since when) are in a row,
    without progress between them.
    """

    patience: Patience
    seed: int
    action: steps.Action | None = None
    connect_since: float = 0.0
    connect_attempts: int = 0
    lock_since: float | None = None
    lock_tries: int = 0
    locked: bool = False
    cluster_bootstrapped: bool = False
    bootstrap: bool = False
    bootstrapped: bool = False
    work: tuple[Work, ...] = ()
    position: int = 0
    current: Work | None = None
    ladder: Ladder = Ladder()
    losses: int = 0
    unreached: int = 0
    unreached_since: float = 0.0
    fence_losses: int = 0
    ending: steps.GiveUp | None = None


Step = tuple[RunState, steps.Action]


def begin(patience: Patience, seed: int = 0) -> RunState:
    """A run that waits for `Started`. *seed* should differ between replicas: it spreads their waits."""
    return RunState(patience=patience, seed=seed)


def decide(state: RunState, observation: steps.Observation) -> Step:
    """What to do after *observation*, which answers the state's action.

    Raises ValueError where no such answer exists, so also for anything after Finish or GiveUp.
    """
    if isinstance(state.action, steps.Finish | steps.GiveUp):
        raise ValueError(f"{type(observation).__name__} cannot follow the run's end")
    answer = _ANSWERS.get((type(state.action), type(observation))) or _ANSWERS_TO_ALL.get(type(observation))
    if answer is None:
        raise ValueError(f"{type(observation).__name__} cannot follow {type(state.action).__name__}")
    return answer(state, observation)


def _do(state: RunState, action: steps.Action, **changes: Any) -> Step:
    return replace(state, action=action, **changes), action


def _wait(state: RunState, waits: backoff.Backoff, attempt: int, left_seconds: float) -> tuple[float, int]:
    """A jittered wait that does not reach past what is left, and the seed for the next one."""
    chance, seed = backoff.draw(state.seed)
    return min(waits.delay_seconds(attempt, chance), left_seconds), seed


# Connecting


def _started(state: RunState, started: steps.Started) -> Step:
    return _do(state, steps.Connect(0.0), connect_since=started.now)


def _connected(state: RunState, connected: steps.Connected) -> Step:
    patience = state.patience
    if connected.deadlock_timeout_ms is not None:
        patience = replace(patience, deadlock_timeout_ms=connected.deadlock_timeout_ms)
    return _do(state, steps.Look(under_lock=False), patience=patience)


def _connect_refused(state: RunState, refused: steps.ConnectRefused) -> Step:
    # Missing once more after it was created (a failover, a rival's DROP) is a matter of patience.
    if refused.missing_database and not state.cluster_bootstrapped:
        return _do(state, steps.BootstrapCluster())
    if not (refused.transient or refused.missing_database):
        return _end(state, steps.GiveUpReason.FAILED)
    left = state.patience.connect_seconds - (refused.now - state.connect_since)
    if left <= 0:
        return _end(state, steps.GiveUpReason.UNREACHABLE)
    attempts = state.connect_attempts
    delay, seed = _wait(state, backoff.CONNECT, attempts, left)
    return _do(state, steps.Connect(delay), connect_attempts=attempts + 1, seed=seed)


def _cluster_bootstrapped(state: RunState, _: steps.Bootstrapped) -> Step:
    return _do(state, steps.Connect(0.0), cluster_bootstrapped=True)


# Looking


def _looked(state: RunState, looked: steps.Looked) -> Step:
    state = _with_work(replace(state, ladder=Ladder()), looked.work)
    if looked.refused:
        return _end(state, steps.GiveUpReason.REFUSED)
    if state.locked:
        if looked.bootstrap and not state.bootstrapped:
            return _do(state, steps.BootstrapTarget())
        return _work(state)
    if not looked.work and not looked.bootstrap:
        return _do(state, steps.RunChecks(), lock_since=None)
    if state.lock_since is None:
        return _do(
            state, steps.TakeLock(0.0), lock_since=looked.now, lock_tries=0, bootstrap=looked.bootstrap
        )
    return _poll_lock(replace(state, bootstrap=looked.bootstrap), looked.now)


def _with_work(state: RunState, work: tuple[Work, ...]) -> RunState:
    """*work* as looked at; that it differs from what was left is progress, whoever made it."""
    if [each.standing for each in work] != [each.standing for each in _remaining(state)]:
        state = _progressed(state)
    return replace(state, work=work, position=0, current=work[0] if work else None)


def _remaining(state: RunState) -> tuple[Work, ...]:
    return () if state.current is None else (state.current, *state.work[state.position + 1 :])


def _progressed(state: RunState) -> RunState:
    return replace(state, losses=0, unreached=0, fence_losses=0, ladder=Ladder())


# The lock


def _lock_busy(state: RunState, busy: steps.LockBusy) -> Step:
    state = replace(state, lock_tries=state.lock_tries + 1)
    if _lock_left_seconds(state, busy.now) <= 0:
        return _end(state, steps.GiveUpReason.LOCK_NOT_OBTAINED)
    if state.lock_tries % TRIES_BETWEEN_LOOKS == 0:
        return _do(state, steps.Look(under_lock=False))
    return _poll_lock(state, busy.now)


def _poll_lock(state: RunState, now: float) -> Step:
    left = max(0.0, _lock_left_seconds(state, now))
    delay, seed = _wait(state, backoff.LOCK_POLL, state.lock_tries, left)
    return _do(state, steps.TakeLock(delay), seed=seed)


def _lock_left_seconds(state: RunState, now: float) -> float:
    since = now if state.lock_since is None else state.lock_since
    return state.patience.lock_seconds - (now - since)


def _lock_taken(state: RunState, _: steps.LockTaken) -> Step:
    # What was not compiled yet may be refused, or need tables of ours.
    known = all(work.segments is not None for work in state.work)
    first = steps.BootstrapTarget() if state.bootstrap and known else steps.Look(under_lock=True)
    return _do(state, first, locked=True, lock_since=None)


def _target_bootstrapped(state: RunState, _: steps.Bootstrapped) -> Step:
    return _do(state, steps.Look(under_lock=True), bootstrapped=True)


def _released(state: RunState, _: steps.Released) -> Step:
    return _do(state, state.ending or steps.RunChecks(), locked=False)


# Applying


def _work(state: RunState) -> Step:
    """The next thing to do for the current migration, or the way out when all are applied."""
    work = state.current
    if work is None:
        return _do(state, steps.ReleaseLock())
    if work.outdated:
        return _ask(state, steps.BeginAnew, work.next)
    if work.done >= len(work.compiled):
        return _ask(state, steps.RecordDone, len(work.compiled) - 1)
    if work.compiled[work.done] is SegmentKind.TRANSACTION:
        return _ask(state, steps.RunTransaction)
    return _ask(state, steps.Probe if work.started else steps.MarkStarted)


def _ask(state: RunState, action: type[steps.SegmentAction], segment: int | None = None) -> Step:
    """*action* on *segment* of the current migration, or on the one that is next."""
    work = _current(state)
    timeout_ms = state.ladder.timeout_ms(state.patience.deadlock_timeout_ms)
    return _do(state, action(work.kind, work.version, work.done if segment is None else segment, timeout_ms))


def _begun_anew(state: RunState, _: steps.Marked) -> Step:
    work = replace(_current(state), done=0, outdated=None)
    return _work(replace(_progressed(state), current=work))


def _segment_done(state: RunState, _: steps.SegmentDone | steps.Marked) -> Step:
    """A segment's record is committed: on to the next one, of this migration or the next."""
    state, work = _progressed(state), _current(state)
    if work.done + 1 < len(work.compiled):
        return _work(replace(state, current=replace(work, done=work.done + 1, started=False)))
    position = state.position + 1
    following = state.work[position] if position < len(state.work) else None
    return _work(replace(state, position=position, current=following))


def _marked_started(state: RunState, _: steps.Marked) -> Step:
    work = replace(_current(state), started=True)
    # The ladder is the segment's: its mark was taken back with each try that timed out.
    return _ask(replace(_progressed(state), current=work, ladder=state.ladder), steps.RunSingle)


def _single_done(state: RunState, _: steps.SegmentDone) -> Step:
    return _ask(replace(state, ladder=Ladder()), steps.RecordDone)


def _probed(state: RunState, probed: steps.Probed) -> Step:
    match probed.answer:
        case steps.ProbeAnswer.HAPPENED:
            return _ask(state, steps.RecordDone)
        case steps.ProbeAnswer.NOT_HAPPENED:
            return _ask(state, steps.RunSingle)
        case steps.ProbeAnswer.UNKNOWN:  # pragma: no branch (there is no other answer)
            return _end(state, steps.GiveUpReason.UNCERTAIN)


def _current(state: RunState) -> Work:
    assert state.current is not None, "only asked while a migration is being applied"
    return state.current


def _lock_timed_out(state: RunState, timed_out: steps.LockTimedOut) -> Step:
    patience = state.patience
    ladder = state.ladder.climb(timed_out.now, timed_out.elapsed_seconds, patience.deadlock_timeout_ms)
    left = patience.relation_lock_seconds - ladder.waited_seconds(timed_out.now)
    if left <= 0:
        return _end(state, steps.GiveUpReason.RELATION_LOCKED)
    delay, seed = _wait(state, backoff.RELATION_LOCK, ladder.tries - 1, left)
    state = replace(state, ladder=ladder, seed=seed)
    if isinstance(state.action, steps.RunSingle):
        state, _ = _ask(state, steps.MarkStarted)  # its mark was taken back
    elif isinstance(state.action, steps.SegmentAction):
        state, _ = _ask(state, type(state.action), state.action.segment)
    assert isinstance(state.action, steps.Look | steps.SegmentAction), "nothing else waits for a relation"
    return _do(state, replace(state.action, delay_seconds=delay))


# Losing and ending


def _lost(state: RunState, lost: steps.Lost | steps.FenceLost) -> Step:
    if state.ending is not None:  # the lock went with the connection, and that was all that was left to do
        return _do(state, state.ending, locked=False)
    return _reconnect(replace(state, locked=False), lost.now, steps.GiveUpReason.UNREACHABLE)


def _unreached(state: RunState, unreached: steps.Unreached) -> Step:
    """Another connection is not to be had: it has the patience of the first, which is given up meanwhile."""
    if state.ending is not None:
        return _do(state, state.ending, locked=False)
    since = state.unreached_since if state.unreached else unreached.now
    left = state.patience.connect_seconds - (unreached.now - since)
    if left <= 0:
        return _end(state, steps.GiveUpReason.UNREACHABLE)
    delay, seed = _wait(state, backoff.CONNECT, state.unreached, left)
    state = replace(state, seed=seed, locked=False, unreached=state.unreached + 1, unreached_since=since)
    return _connect_anew(state, unreached.now, delay)


def _fence_lost(state: RunState, lost: steps.FenceLost) -> Step:
    state = replace(state, locked=False, fence_losses=state.fence_losses + 1)
    if state.fence_losses >= FENCE_LOSSES:
        return _end(state, steps.GiveUpReason.FENCE_LOST)
    return _reconnect(state, lost.now, steps.GiveUpReason.FENCE_LOST)


def _reconnect(state: RunState, now: float, otherwise: steps.GiveUpReason) -> Step:
    """Start again from connecting, with a fresh deadline, unless nothing came of it too often."""
    losses = state.losses + 1
    if losses > state.patience.reconnects:
        return _end(state, otherwise)
    delay, seed = _wait(state, backoff.CONNECT, losses - 1, state.patience.connect_seconds)
    return _connect_anew(replace(state, seed=seed, losses=losses), now, delay)


def _connect_anew(state: RunState, now: float, delay_seconds: float) -> Step:
    return _do(
        state,
        steps.Connect(delay_seconds),
        connect_since=now,
        connect_attempts=0,
        lock_since=None,
        bootstrapped=False,
        ladder=Ladder(),
    )


def _failed(state: RunState, _: steps.Failed) -> Step:
    return _end(state, steps.GiveUpReason.FAILED)


def _end(state: RunState, reason: steps.GiveUpReason) -> Step:
    """Give up, after giving the lock back where it is held."""
    action = state.action
    at: tuple[str | None, int | None, Kind | None] = (None, None, None)
    if isinstance(action, steps.SegmentAction):
        at = action.version, action.segment, action.kind
    ending = state.ending or steps.GiveUp(reason, *at)
    if state.locked and not isinstance(action, steps.ReleaseLock):
        return _do(state, steps.ReleaseLock(), ending=ending)
    return _do(state, ending, locked=False)


def _finish(state: RunState, _: steps.ChecksPassed) -> Step:
    return _do(state, steps.Finish())


_Answer = Callable[[RunState, Any], Step]
_WAITS_FOR_RELATIONS = (
    steps.Look,
    steps.RunTransaction,
    steps.BeginAnew,
    steps.MarkStarted,
    steps.RunSingle,
    steps.RecordDone,
)

_ANSWERS: dict[tuple[type[steps.Action] | type[None], type[steps.Observation]], _Answer] = {
    (type(None), steps.Started): _started,
    (steps.Connect, steps.Connected): _connected,
    (steps.Connect, steps.ConnectRefused): _connect_refused,
    (steps.BootstrapCluster, steps.Bootstrapped): _cluster_bootstrapped,
    (steps.Look, steps.Looked): _looked,
    (steps.TakeLock, steps.LockTaken): _lock_taken,
    (steps.TakeLock, steps.LockBusy): _lock_busy,
    (steps.BootstrapTarget, steps.Bootstrapped): _target_bootstrapped,
    (steps.RunTransaction, steps.SegmentDone): _segment_done,
    **{(action, steps.LockTimedOut): _lock_timed_out for action in _WAITS_FOR_RELATIONS},
    (steps.BeginAnew, steps.Marked): _begun_anew,
    (steps.MarkStarted, steps.Marked): _marked_started,
    (steps.RunSingle, steps.SegmentDone): _single_done,
    (steps.Probe, steps.Probed): _probed,
    (steps.RecordDone, steps.Marked): _segment_done,
    (steps.ReleaseLock, steps.Released): _released,
    (steps.RunChecks, steps.ChecksPassed): _finish,
}

_ANSWERS_TO_ALL: dict[type[steps.Observation], _Answer] = {
    steps.Lost: _lost,
    steps.Unreached: _unreached,
    steps.FenceLost: _fence_lost,
    steps.Failed: _failed,
}
