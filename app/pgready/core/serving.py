"""What a daemon does after its first run, as a pure state machine: observation in, action out.

`running.serving` carries the actions out. The rules that this module keeps:

1. A failed run that may succeed with nothing changed is tried again for ever, with growing pauses. Any
   other waits until the files or the history change, or until somebody asks.
2. A target that cannot be reached is told and looked for; a run starts only for what a look has found.
3. What is pending anew though no file changed means that the history went back, as the restore of a backup
   makes it. Nothing runs before the target is at rest, lest a run and a restore get in each other's way.
4. Files count when they have come to rest: an editor writes in steps. In the development loop an empty
   migration is waited for, too, for once recorded it could not be filled in.
5. A look that follows a run sees what others did in between; it never starts a run that repeats the last.
6. A request starts a run at once, whatever is being waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import backoff
from pgready.core.errors import ExitCode
from pgready.core.events import (
    ConnectFailed,
    DatabaseBack,
    DatabaseLost,
    Event,
    FolderChanged,
    FolderUnsettled,
    HistoryChanged,
    TargetUnsettled,
)
from pgready.core.outstanding import Outstanding
from pgready.core.serving_steps import (
    Act,
    Cause,
    FolderMark,
    Glance,
    Glanced,
    Habits,
    Look,
    Looked,
    LookRefused,
    Mode,
    Run,
    RunEnded,
    Sighting,
    Started,
    Unreached,
)

FILES_POLL_SECONDS = 2.0
"""How often the folder is looked at where files matter; an alarm (inotify) makes it sooner."""

REST_SECONDS = 0.3
"""How long files must stay as they are to count as written."""

_CLOCK_SECONDS = 0.001  # what is less than this is rounding
_TELL_UNSETTLED_SECONDS = 2.0
_LET_GO_SECONDS = 10.0  # a file that is written without end must not keep us from watching the target
_SHOWN_PATHS = 10

RETRY = backoff.Backoff(base_seconds=1.0, cap_seconds=30.0)

# A server comes back, another replica ends, a password is rotated. A broken script needs a person.
_CURED_FROM_OUTSIDE = frozenset({ExitCode.UNREACHABLE, ExitCode.LOCKED, ExitCode.DENIED})


class ServingState(Struct, frozen=True):
    """All that the daemon remembers.

    *target* and *folder* are as last looked at (None: look again), *outstanding* and *lacking* what was
    left then. *moving* is the folder while it changes, *moved_at* when it last did; *files_changed*: it
    did, and a look is due. *still_since* is since when a target that settles is at rest. *unready*: a look
    has told of something pending. *repeated*: the look behind a run has started another.
    """

    habits: Habits
    seed: int
    mode: Mode = Mode.RUNNING
    action: Act | None = None
    target: str | None = None
    folder: FolderMark = ()
    outstanding: Outstanding | None = None
    lacking: bool = False
    unready: bool = False
    failures: int = 0
    retry_at: float = 0.0
    target_due: float = 0.0
    lost_since: float | None = None
    missing_since: float | None = None
    lost_tries: int = 0
    moving: FolderMark | None = None
    moving_since: float = 0.0
    moved_at: float = 0.0
    told_moving: bool = False
    files_changed: bool = False
    repeated: bool = False
    still_since: float = 0.0
    told_unrest: str | None = None


Step = tuple[ServingState, Act, tuple[Event, ...]]


def begin(habits: Habits, seed: int = 0) -> ServingState:
    """A daemon that waits for `Started`. *seed* should differ between replicas: it spreads their tries."""
    return ServingState(habits, seed)


def decide(state: ServingState, sighting: Sighting) -> Step:
    """What to do after *sighting*, which answers the state's action, and what there is to tell.

    Raises ValueError where no such answer exists.
    """
    answer = _ANSWERS.get((type(state.action), type(sighting)))
    if answer is None:
        raise ValueError(f"{type(sighting).__name__} cannot follow {type(state.action).__name__}")
    return answer(state, sighting)


def retry_seconds(state: ServingState, now: float) -> float | None:
    """The pause before the next try that the daemon makes by itself; None: there is none."""
    return max(0.0, state.retry_at - now) if state.mode is Mode.RETRYING else None


def _do(state: ServingState, action: Act, *told: Event, **changes: Any) -> Step:
    return replace(state, action=action, **changes), action, told


def _run(state: ServingState, *told: Event) -> Step:
    return _do(
        state,
        Run(),
        *told,
        mode=Mode.RUNNING,
        target=None,
        lost_since=None,
        missing_since=None,
        moving=None,
        files_changed=False,
        told_unrest=None,
        unready=False,
    )


def _look(state: ServingState, cause: Cause, *told: Event) -> Step:
    return _do(state, Look(Cause.FILES if state.files_changed else cause), *told, moving=None)


def _watches_target(state: ServingState) -> bool:
    return state.habits.poll_seconds > 0 and state.mode is not Mode.RETRYING


def _watches_folder(state: ServingState) -> bool:
    if state.mode is Mode.READY:
        return state.habits.watch_files
    return state.mode in (Mode.RETRYING, Mode.FAILED)


def _rest(state: ServingState, now: float, *told: Event) -> Step:
    """Wait until the next thing is due."""
    folder = _watches_folder(state)
    held_up = state.moving is not None and now - state.moving_since < _LET_GO_SECONDS
    target = _watches_target(state) and not held_up
    waits: list[float] = []
    if folder:
        waits.append(FILES_POLL_SECONDS if state.moving is None else _at_rest_in(state, now))
    if target:
        waits.append(max(0.0, state.target_due - now))
    if state.mode is Mode.RETRYING:
        waits.append(max(0.0, state.retry_at - now))
    after = min(waits, default=None)
    due = target and after is not None and state.target_due - now <= after
    settling = state.mode is Mode.SETTLING
    glance = Glance(after, target=due, folder=folder or settling, unrest=settling)
    return _do(state, glance, *told)


def _again_later(state: ServingState, now: float) -> ServingState:
    return replace(state, target_due=now + state.habits.poll_seconds)


# Runs


def _started(state: ServingState, _: Started) -> Step:
    return _run(state)


def _run_ended(state: ServingState, ended: RunEnded) -> Step:
    state = replace(state, folder=ended.folder, outstanding=ended.outstanding)
    if ended.exit_code == ExitCode.DONE:
        state = replace(state, mode=Mode.READY, failures=0, outstanding=frozenset())
    elif ended.exit_code in _CURED_FROM_OUTSIDE:
        return _rest(_retrying(state, ended.now), ended.now)
    else:
        state = replace(state, mode=Mode.FAILED, failures=0)
    if not _watches_target(state):
        return _rest(state, ended.now)
    return _look(state, Cause.RUN_ENDED)


def _retrying(state: ServingState, now: float) -> ServingState:
    chance, seed = backoff.draw(state.seed)
    pause = RETRY.delay_seconds(state.failures, chance)
    return replace(state, mode=Mode.RETRYING, seed=seed, failures=state.failures + 1, retry_at=now + pause)


# Looks


def _looked(state: ServingState, looked: Looked) -> Step:
    cause, before = _cause(state), state
    state, told = _back(state, looked.now)
    if looked.folder != state.folder and _watches_folder(state):  # it has moved again: let it come to rest
        unready = state.unready or bool(looked.outstanding)
        return _rest(replace(state, target=looked.target, unready=unready), looked.now, *told)
    state = replace(
        state,
        target=looked.target,
        folder=looked.folder,
        outstanding=looked.outstanding,
        lacking=looked.lacking,
        unready=bool(looked.outstanding),
        files_changed=False,
    )
    if looked.unwritten:
        waits = FolderUnsettled(looked.unwritten[:_SHOWN_PATHS], "no statement yet")
        return _rest(state, looked.now, *told, waits)
    if not _is_due(before, cause, looked):
        return _rest(state, looked.now, *told)
    state = replace(state, repeated=cause is Cause.RUN_ENDED)
    went_back = looked.outstanding - (before.outstanding or frozenset())
    if cause is not Cause.FILES and (went_back or (looked.lacking and before.mode is Mode.READY)):
        return _settle(state, looked.now, *told)
    return _run(state, *told)


def _is_due(before: ServingState, cause: Cause, looked: Looked) -> bool:
    """Whether a run has something to do now that it had not before."""
    if cause is Cause.FILES and before.mode is Mode.FAILED:
        return True
    if before.mode is Mode.FAILED:
        changed = before.target not in (None, looked.target)
        known = None if before.repeated else before.outstanding
        return changed or (known is not None and looked.outstanding != known)
    # What is lacking right behind a run is what the run could not cure: another would not either.
    lacks = looked.lacking and not before.lacking and cause is not Cause.RUN_ENDED
    return bool(looked.outstanding) or lacks or before.unready


def _back(state: ServingState, now: float) -> tuple[ServingState, tuple[Event, ...]]:
    """The target was reached."""
    told = () if state.lost_since is None else (DatabaseBack(now - state.lost_since),)
    return replace(_again_later(state, now), lost_since=None, missing_since=None, lost_tries=0), told


def _cause(state: ServingState) -> Cause:
    assert isinstance(state.action, Look), "only asked for the answer to a look"
    return state.action.cause


def _settle(state: ServingState, now: float, *told: Event) -> Step:
    what = "pending, though no file changed" if state.outstanding else "something declared is gone"
    reason = f"{what}; waiting until the target is at rest"
    return _rest(replace(state, mode=Mode.SETTLING, still_since=now), now, *told, TargetUnsettled(reason))


def _look_refused(state: ServingState, refused: LookRefused) -> Step:
    cause = _cause(state)
    if refused.target is None:  # the history is locked: come again
        return _rest(_again_later(state, refused.now), refused.now)
    state, told = _back(state, refused.now)
    if refused.folder != state.folder and _watches_folder(state):
        return _rest(replace(state, target=refused.target), refused.now, *told)
    state = replace(state, target=refused.target, folder=refused.folder, files_changed=False)
    # Behind a run that ended well a look that is refused is a riddle; running again would not solve it.
    if cause is Cause.FILES or (cause is Cause.TARGET and state.mode is Mode.READY):
        return _run(state, *told)
    return _rest(state, refused.now, *told)


def _unreached(state: ServingState, unreached: Unreached) -> Step:
    """Not reached while it was to be watched: look for it, at first often, and tell of each try."""
    now = unreached.now
    chance, seed = backoff.draw(state.seed)
    pause = backoff.CONNECT.delay_seconds(state.lost_tries, chance)
    told: tuple[Event, ...] = ()
    if state.lost_since is not None:
        told = (ConnectFailed(state.lost_tries, unreached.reason, pause),)
    elif state.mode in (Mode.READY, Mode.SETTLING):
        told = (DatabaseLost(unreached.reason),)
        state = replace(state, lost_since=now, lost_tries=0)
    state = replace(state, seed=seed, target=None, target_due=now + pause, lost_tries=state.lost_tries + 1)
    if not unreached.missing_database:
        return _rest(replace(state, missing_since=None), now, *told)
    since = now if state.missing_since is None else state.missing_since
    if state.mode is not Mode.FAILED and now - since >= state.habits.settle_seconds > 0:
        return _run(state, *told)
    return _rest(replace(state, missing_since=since), now, *told)


# Glances


def _glanced(state: ServingState, glanced: Glanced) -> Step:
    now = glanced.now
    state = replace(state, repeated=state.repeated and state.mode is Mode.SETTLING)
    if glanced.requested:
        return _run(state)
    told: tuple[Event, ...] = ()
    if glanced.folder is not None and _watches_folder(state):
        before = state.folder
        state, told, at_rest = _with_folder(state, glanced.folder, now)
        if at_rest:
            return _folder_changed(state, FolderChanged(_differing(before, glanced.folder)))
    if state.mode is Mode.RETRYING and now >= state.retry_at:
        return _run(state, *told)
    if glanced.unreached is not None:
        state, action, lost = _unreached(state, glanced.unreached)
        return state, action, (*told, *lost)
    if glanced.target is None:  # not asked for, or locked just now
        return _rest(_again_later(state, now) if state.target_due <= now else state, now, *told)
    if state.mode is Mode.SETTLING:
        return _settling(state, glanced)
    return _with_target(state, glanced.target, now, *told)


def _folder_changed(state: ServingState, changed: FolderChanged) -> Step:
    if state.habits.watch_files and state.mode is not Mode.RETRYING:
        return _look(replace(state, files_changed=True), Cause.FILES, changed)
    return _run(state, changed)


def _with_folder(
    state: ServingState, folder: FolderMark, now: float
) -> tuple[ServingState, tuple[Event, ...], bool]:
    """The state after *folder* was seen, what to tell, and whether it has changed and is at rest."""
    if folder == state.folder:
        return replace(state, moving=None), (), False
    if state.moving is None:
        return replace(state, moving=folder, moving_since=now, moved_at=now, told_moving=False), (), False
    if folder == state.moving:
        at_rest = _at_rest_in(state, now) == 0
        return (replace(state, folder=folder, moving=None) if at_rest else state), (), at_rest
    differing = _differing(state.moving, folder)
    state = replace(state, moving=folder, moved_at=now)
    if state.told_moving or now - state.moving_since < _TELL_UNSETTLED_SECONDS:
        return state, (), False
    return replace(state, told_moving=True), (FolderUnsettled(differing, "still changing"),), False


def _at_rest_in(state: ServingState, now: float) -> float:
    """How long the files must still stay as they are; an alarm may have come before that."""
    left = REST_SECONDS - (now - state.moved_at)
    return left if left > _CLOCK_SECONDS else 0.0


def _differing(before: FolderMark, after: FolderMark) -> tuple[str, ...]:
    paths = {mark.path for mark in set(before) ^ set(after)}
    return tuple(sorted(paths)[:_SHOWN_PATHS])


def _with_target(state: ServingState, target: str, now: float, *told: Event) -> Step:
    if state.target is None:
        return _look(state, Cause.TARGET, *told)
    if target == state.target:
        return _rest(_again_later(state, now), now, *told)
    return _look(state, Cause.TARGET, *told, HistoryChanged())


def _settling(state: ServingState, glanced: Glanced) -> Step:
    """Run once neither target nor folder has changed for long enough, and nobody is at work."""
    now, unrest = glanced.now, glanced.unrest
    still = unrest is None and (glanced.target, glanced.folder) == (state.target, state.folder)
    since = state.still_since if still else now
    state, told = _back(replace(state, target=glanced.target, folder=glanced.folder or ()), now)
    due = since + state.habits.settle_seconds
    if still and now >= due - _CLOCK_SECONDS:
        return _run(state, *told)
    if unrest is not None and unrest != state.told_unrest:
        told = (*told, TargetUnsettled(f"the target is at work; waiting for {unrest}"))
    due = min(due, now + state.habits.poll_seconds)
    return _rest(replace(state, told_unrest=unrest, still_since=since, target_due=due), now, *told)


_ANSWERS: dict[tuple[type[Act] | type[None], type[Sighting]], Callable[[ServingState, Any], Step]] = {
    (type(None), Started): _started,
    (Run, RunEnded): _run_ended,
    (Look, Looked): _looked,
    (Look, LookRefused): _look_refused,
    (Look, Unreached): _unreached,
    (Glance, Glanced): _glanced,
}
