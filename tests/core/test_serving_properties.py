"""Whatever happens to target, folder and daemon: once it is quiet, the daemon is where it must be.

The world is a set of applied versions, a folder of good and broken ones, a server that comes and goes, and
somebody who restores. A run does in it what a run would do.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pgready.core import serving
from pgready.core import serving_steps as steps
from pgready.core.errors import ExitCode
from pgready.core.events import DatabaseBack, DatabaseLost, Event
from pgready.core.model import FileMark
from pgready.core.outstanding import Outstanding
from pgready.core.serving_steps import Glance, Habits, Look, Mode, Run

LONG_SECONDS = 200.0
ACTIONS_WITHOUT_WAITING = 6


class World:
    def __init__(self, *, watch: bool, poll_seconds: float) -> None:
        self.now = 0.0
        self.up = True
        self.database = True
        self.restoring = False
        self.applied: set[str] = set()
        self.files = {"1": True, "2": True}  # version → whether its SQL is good
        self.requested = False
        self._writes = 0
        self._edits = {"1": 0, "2": 0}
        self.runs = 0
        self.told: list[Event] = []
        self.ran_while_restoring = 0
        self.state = serving.begin(Habits(poll_seconds, watch), seed=3)
        self._take(steps.Started(0.0))

    # What happens to the world

    def restore(self) -> None:
        """An older backup: what was applied last is not."""
        self.applied -= {max(self.applied, default="")}
        self._writes += 1

    def begin_restore(self) -> None:
        self.restoring = True
        self.restore()

    def end_restore(self) -> None:
        self.restoring = False

    def another_applies_all(self) -> None:
        if self.up and self.database:
            self.applied |= set(self.files) | {"9"}
            self._writes += 1

    def add_a_file(self) -> None:
        self._edit(str(len(self.files) + 1), good=True)

    def break_a_file(self) -> None:
        self._edit(str(len(self.files) + 1), good=False)

    def mend(self) -> None:
        for version, good in list(self.files.items()):
            if not good:
                self._edit(version, good=True)

    def _edit(self, version: str, *, good: bool) -> None:
        self.files[version] = good
        self._edits[version] = self._edits.get(version, 0) + 1

    def stop_the_server(self) -> None:
        self.up = False

    def start_the_server(self) -> None:
        self.up = True

    def drop_the_database(self) -> None:
        if self.up:
            self.database = False
            self.applied.clear()
            self._writes += 1

    def ask(self) -> None:
        self.requested = True

    # What the daemon does in it

    def step(self, *, early: bool = False) -> None:
        match self.action:
            case Run():
                self._take(self._run())
            case Look():
                self._take(self._look())
            case Glance() as glance:
                self._take(self._glance(glance, early))

    def _take(self, sighting: steps.Sighting) -> None:
        self.state, self.action, told = serving.decide(self.state, sighting)
        self.told += told

    def _run(self) -> steps.Sighting:
        self.runs += 1
        folder = self._folder()
        if not self.up:
            return steps.RunEnded(self.now, ExitCode.UNREACHABLE, folder)
        self.database = True
        if self.pending and self.restoring:
            self.ran_while_restoring += 1
        for version in self.pending:
            if not self.files[version]:
                return steps.RunEnded(self.now, ExitCode.FAILED, folder, self.outstanding)
            self.applied.add(version)
            self._writes += 1
        return steps.RunEnded(self.now, ExitCode.DONE, folder)

    def _look(self) -> steps.Sighting:
        if not (self.up and self.database):
            return steps.Unreached(self.now, "away", missing_database=self.up)
        return steps.Looked(self.now, self._mark(), self._folder(), self.outstanding)

    def _glance(self, glance: Glance, early: bool) -> steps.Sighting:
        if self.requested:
            self.requested = False
            return steps.Glanced(self.now, requested=True)
        if not early:
            self.now += LONG_SECONDS if glance.after_seconds is None else glance.after_seconds
        folder = self._folder() if glance.folder else None
        if not glance.target:
            return steps.Glanced(self.now, folder=folder)
        if not (self.up and self.database):
            away = steps.Unreached(self.now, "away", missing_database=self.up)
            return steps.Glanced(self.now, folder=folder, unreached=away)
        unrest = "pg_restore" if glance.unrest and self.restoring else None
        return steps.Glanced(self.now, self._mark(), folder, unrest=unrest)

    @property
    def pending(self) -> list[str]:
        return sorted(self.files.keys() - self.applied)

    @property
    def outstanding(self) -> Outstanding:
        return frozenset(("versioned", version) for version in self.pending)

    def _mark(self) -> str:
        return str(self._writes)

    def _folder(self) -> steps.FolderMark:
        return tuple(FileMark(version, edits, 0, 0) for version, edits in sorted(self._edits.items()))


HAPPENINGS = [
    World.restore, World.begin_restore, World.end_restore, World.another_applies_all, World.add_a_file,
    World.break_a_file, World.mend, World.stop_the_server, World.start_the_server, World.drop_the_database,
    World.ask,
]  # fmt: skip
SCHEDULES = st.lists(st.one_of(st.none(), st.booleans(), st.sampled_from(HAPPENINGS)), max_size=60)
HABITS = st.tuples(st.booleans(), st.sampled_from([2.0, 5.0, 60.0]))


def play(schedule: list[object], watch: bool, poll_seconds: float) -> World:
    """None is a step of the daemon, a Boolean one that may be woken early."""
    world = World(watch=watch, poll_seconds=poll_seconds)
    for happening in schedule:
        if callable(happening):
            happening(world)
        else:
            world.step(early=bool(happening))
    return world


def calm_down(world: World) -> None:
    world.up, world.restoring = True, False
    until = world.now + LONG_SECONDS
    while world.now < until:
        world.step()


@settings(max_examples=100, deadline=None)
@given(SCHEDULES, HABITS)
def test_once_it_is_quiet_all_is_applied_or_a_broken_file_is_waited_for(
    schedule: list[object], habits: tuple[bool, float]
) -> None:
    world = play(schedule, *habits)

    calm_down(world)

    assert world.state.mode in (Mode.READY, Mode.FAILED)
    if world.state.mode is Mode.FAILED:
        assert not (world.database and world.files[world.pending[0]])
    elif world.state.habits.watch_files:
        assert world.pending == []
    else:  # ready without --watch: files that changed since wait for SIGHUP or for another run
        known = {mark.path for mark in world.state.folder}
        assert not known & set(world.pending)


@settings(max_examples=100, deadline=None)
@given(SCHEDULES, HABITS)
def test_once_it_is_quiet_nothing_runs_any_more(schedule: list[object], habits: tuple[bool, float]) -> None:
    world = play(schedule, *habits)
    calm_down(world)
    runs = world.runs

    calm_down(world)

    assert world.runs == runs


@settings(max_examples=100, deadline=None)
@given(SCHEDULES, HABITS)
def test_the_daemon_never_spins(schedule: list[object], habits: tuple[bool, float]) -> None:
    world = play(schedule, *habits)

    without_waiting = 0
    for _ in range(200):
        before = world.now
        world.step()
        without_waiting = without_waiting + 1 if world.now == before else 0
        assert without_waiting <= ACTIONS_WITHOUT_WAITING


@settings(max_examples=100, deadline=None)
@given(SCHEDULES, HABITS)
def test_what_is_lost_comes_back_once(schedule: list[object], habits: tuple[bool, float]) -> None:
    world = play(schedule, *habits)

    calm_down(world)

    told = [type(event) for event in world.told if isinstance(event, DatabaseLost | DatabaseBack)]
    assert all(told[at - 1] is DatabaseLost for at, event in enumerate(told) if event is DatabaseBack and at)
    assert told[:1] != [DatabaseBack]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from([World.restore, World.another_applies_all])), max_size=40)
)
def test_no_run_gets_in_the_way_of_a_restore(schedule: list[object]) -> None:
    world = World(watch=False, poll_seconds=5.0)
    calm_down(world)
    world.begin_restore()

    for happening in schedule:
        world.step() if happening is None else happening(world)  # type: ignore[operator]

    assert world.ran_while_restoring == 0
