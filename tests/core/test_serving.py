"""The daemon's decisions one by one; what they add up to is in test_serving_properties."""

from __future__ import annotations

import pytest

from pgready.core import serving
from pgready.core import serving_steps as steps
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
from pgready.core.model import FileMark
from pgready.core.outstanding import Outstanding
from pgready.core.serving import FILES_POLL_SECONDS, REST_SECONDS
from pgready.core.serving_steps import Cause, Glance, Habits, Look, Mode, Run

POLL_SECONDS = 5.0
SETTLE_SECONDS = Habits(POLL_SECONDS).settle_seconds
NOTHING: Outstanding = frozenset()
PENDING: Outstanding = frozenset({("versioned", "2")})
RUN_ENDED, TARGET, FILES = Look(Cause.RUN_ENDED), Look(Cause.TARGET), Look(Cause.FILES)


def folder(*contents: str) -> steps.FolderMark:
    return tuple(FileMark(text.split()[0], len(text), hash(text), 1) for text in contents)


ONE = folder("1.sql")
TWO = folder("1.sql", "2.sql")


class Player:
    """Feeds sightings to a daemon; *action* is what it does, *told* what it says then."""

    def __init__(self, *, watch: bool = False, poll_seconds: float = POLL_SECONDS) -> None:
        self.now = 0.0
        self.state = serving.begin(Habits(poll_seconds, watch), seed=7)
        self.action: steps.Act
        self.told: tuple[Event, ...] = ()
        self.see(steps.Started(self.now))

    def see(self, sighting: steps.Sighting) -> steps.Act:
        self.state, self.action, self.told = serving.decide(self.state, sighting)
        return self.action

    def end(self, code: ExitCode = ExitCode.DONE, left: Outstanding | None = None) -> steps.Act:
        return self.see(steps.RunEnded(self.now, code, ONE, left))

    def look(
        self, left: Outstanding = NOTHING, mark: str = "a", files: steps.FolderMark = ONE,
        lacking: bool = False, unwritten: tuple[str, ...] = (),
    ) -> steps.Act:  # fmt: skip
        return self.see(steps.Looked(self.now, mark, files, left, lacking, unwritten))

    def wait(self) -> float:
        """Let the time of a glance pass."""
        assert isinstance(self.action, Glance)
        after = self.action.after_seconds
        assert after is not None, "it waits for ever"
        self.now += after
        return after

    def glance(
        self, mark: str | None = "a", *, files: steps.FolderMark = ONE, unrest: str | None = None
    ) -> steps.Act:
        self.wait()
        assert isinstance(self.action, Glance)
        return self.see(
            steps.Glanced(
                self.now,
                mark if self.action.target else None,
                files if self.action.folder else None,
                unrest=unrest,
            )
        )

    def miss(self, reason: str = "refused", missing_database: bool = False) -> steps.Act:
        self.wait()
        return self.see(
            steps.Glanced(self.now, unreached=steps.Unreached(self.now, reason, missing_database))
        )

    def request(self) -> steps.Act:
        return self.see(steps.Glanced(self.now, requested=True))

    def ready(self) -> Player:
        self.end()
        self.look()
        return self

    def failed(self, left: Outstanding | None = PENDING) -> Player:
        self.end(ExitCode.FAILED, left)
        self.look(left or NOTHING)
        return self

    @property
    def mode(self) -> Mode:
        return self.state.mode


def settled(player: Player, mark: str) -> bool:
    """Whether it runs once nothing changes any more."""
    return any(player.glance(mark) == Run() for _ in range(20))


# Ready


def test_a_ready_target_is_looked_at_once_and_then_glanced_at() -> None:
    player = Player()

    assert player.action == Run()
    assert player.end() == RUN_ENDED
    assert player.look() == Glance(POLL_SECONDS, target=True, folder=False)
    assert player.glance() == Glance(POLL_SECONDS, target=True, folder=False)
    assert player.mode is Mode.READY


def test_another_history_is_looked_at_and_may_mean_nothing() -> None:
    player = Player().ready()

    assert player.glance("b") == TARGET
    assert player.told == (HistoryChanged(),)
    assert isinstance(player.look(mark="b"), Glance)
    assert player.mode is Mode.READY


def test_what_others_did_while_the_run_ended_is_seen() -> None:
    player = Player()
    player.end()

    player.look(PENDING)

    assert player.mode is Mode.SETTLING


def test_a_history_that_went_back_is_applied_again_once_the_target_is_at_rest() -> None:
    player = Player().ready()
    player.glance("b")

    waits = player.look(PENDING, mark="b")
    told = player.told
    moving = player.glance("b; 7 relations")
    since = player.now
    while player.action != Run():
        player.glance("b; 7 relations")

    assert waits == moving == Glance(POLL_SECONDS, target=True, folder=True, unrest=True)
    assert isinstance(told[0], TargetUnsettled)
    assert player.now - since == SETTLE_SECONDS


def test_an_alarm_does_not_shorten_the_rest_of_a_target() -> None:
    player = Player(watch=True).ready()
    while player.action != TARGET:
        player.glance("b")
    player.look(PENDING, mark="b")
    player.glance("c")

    early = player.see(steps.Glanced(player.now + 0.1, "c", ONE))

    assert isinstance(early, Glance)
    assert early.after_seconds == pytest.approx(POLL_SECONDS - 0.1)


def test_files_that_moved_again_before_the_look_are_let_come_to_rest() -> None:
    player = Player(watch=True)
    player.end()

    waits = player.look(PENDING, files=TWO)
    looks = changed(player)

    assert isinstance(waits, Glance)
    assert looks == FILES
    assert player.look(PENDING, files=TWO) == Run()


def test_a_restore_that_is_at_work_is_waited_for_and_told_once() -> None:
    player = Player().ready()
    player.glance("b")
    player.look(PENDING, mark="b")

    told = []
    for _ in range(3):
        player.glance("b", unrest="pg_restore (pid 7)")
        told.append(player.told)

    assert told == [(TargetUnsettled("the target is at work; waiting for pg_restore (pid 7)"),), (), ()]
    assert settled(player, "b")


def test_a_target_that_is_lost_is_told_once_and_looked_for_at_growing_intervals() -> None:
    player = Player().ready()

    player.miss("reset")
    told = player.told
    player.miss()
    pauses = [player.wait() for _ in range(8) if player.miss()]

    assert told == (DatabaseLost("reset"),)
    assert DatabaseLost not in map(type, player.told)
    assert player.mode is Mode.READY
    assert pauses[0] < 1 < pauses[-1] <= 5


def test_each_try_to_reach_a_lost_target_is_told_with_its_number_and_the_pause_after_it() -> None:
    player = Player().ready()
    player.miss("reset")

    tries = [player.told for reason in ("refused", "wrong password") if player.miss(reason)]

    assert [(each.attempt, each.reason) for (each,) in tries if isinstance(each, ConnectFailed)] == [
        (1, "refused"),
        (2, "wrong password"),
    ]
    assert isinstance(player.told[0], ConnectFailed)
    assert player.told[0].retry_seconds == player.wait()


def test_a_target_that_cannot_be_reached_behind_a_failed_run_is_looked_for_in_silence() -> None:
    player = Player().failed()

    assert [player.told for _ in range(3) if player.miss()] == [(), (), ()]


def test_a_target_that_is_back_is_looked_at_before_it_is_told() -> None:
    player = Player().ready()
    player.miss()
    lost_at = player.now
    player.miss()

    looks = player.glance("a")
    told = player.told
    player.look()

    assert (looks, told) == (TARGET, ())
    assert player.told == (DatabaseBack(player.now - lost_at),)


def test_a_database_that_stays_missing_is_made_again() -> None:
    player = Player().ready()
    player.miss(missing_database=True)
    since = player.now

    while player.action != Run():
        player.miss(missing_database=True)

    assert SETTLE_SECONDS <= player.now - since < 2 * SETTLE_SECONDS


def test_a_history_that_is_locked_is_come_back_to() -> None:
    player = Player().ready()

    assert isinstance(player.glance(None), Glance)
    assert player.told == ()


def test_a_history_that_a_look_refuses_is_for_a_run_to_explain() -> None:
    player = Player().ready()
    player.glance("b")

    assert player.see(steps.LookRefused(player.now, "b", ONE)) == Run()


def test_a_look_that_finds_the_history_locked_is_come_back_to() -> None:
    player = Player().ready()
    player.glance("b")

    assert isinstance(player.see(steps.LookRefused(player.now, None, ONE)), Glance)
    assert player.state.target == "a"


def test_a_look_that_is_refused_while_files_change_waits_for_them() -> None:
    player = Player(watch=True)
    player.end()

    assert isinstance(player.see(steps.LookRefused(player.now, "b", TWO)), Glance)
    assert (player.state.target, player.state.folder) == ("b", ONE)


def test_a_look_that_is_refused_behind_a_good_run_starts_no_other() -> None:
    player = Player()
    player.end()

    assert isinstance(player.see(steps.LookRefused(player.now, "a", ONE)), Glance)


def test_what_a_run_could_not_cure_starts_no_other() -> None:
    player = Player()
    player.end()
    player.look(lacking=True)
    player.glance("b")

    assert isinstance(player.look(lacking=True, mark="b"), Glance)


def test_something_declared_that_goes_away_is_made_again() -> None:
    player = Player().ready()
    player.glance("b")
    player.look(lacking=True, mark="b")

    assert player.mode is Mode.SETTLING
    assert settled(player, "b")


def test_files_do_not_matter_while_ready() -> None:
    assert Player().ready().action == Glance(POLL_SECONDS, target=True, folder=False)


def test_a_target_that_is_not_to_be_polled_is_waited_for_without_end() -> None:
    player = Player(poll_seconds=0)

    assert player.end() == Glance(None, target=False, folder=False)


# Failed


@pytest.mark.parametrize("code", [ExitCode.UNREACHABLE, ExitCode.LOCKED, ExitCode.DENIED])
def test_what_may_pass_by_itself_is_tried_again_with_growing_pauses(code: ExitCode) -> None:
    player = Player()
    pauses: list[float] = []
    for _ in range(8):
        player.end(code)
        pauses.append(serving.retry_seconds(player.state, player.now) or 0)
        while player.action != Run():
            player.glance()

    assert 1 <= pauses[0] <= 2
    assert 15 <= pauses[-1] <= 30


@pytest.mark.parametrize("code", [ExitCode.FAILED, ExitCode.USAGE, ExitCode.DIVERGED])
def test_anything_else_waits_for_a_person(code: ExitCode) -> None:
    player = Player()
    player.end(code, PENDING)
    player.look(PENDING)

    for _ in range(100):
        assert isinstance(player.glance(), Glance)
    assert player.mode is Mode.FAILED
    assert serving.retry_seconds(player.state, player.now) is None


def test_files_that_changed_and_are_at_rest_are_tried() -> None:
    player = Player().failed()

    first = player.glance(files=TWO)
    second = player.glance(files=TWO)

    assert first == Glance(REST_SECONDS, target=False, folder=True)
    assert second == Run()
    assert player.told == (FolderChanged(("2.sql",)),)


def test_files_that_go_on_changing_are_waited_for_and_told_once() -> None:
    player = Player().failed()
    told: list[Event] = []
    for size in range(20):
        assert isinstance(player.glance(files=folder("1.sql", f"2.sql {'x' * size}")), Glance)
        told += player.told

    assert told == [FolderUnsettled(("2.sql",), "still changing")]


def test_an_alarm_does_not_shorten_the_rest_of_a_file() -> None:
    player = Player(watch=True).ready()
    player.see(steps.Glanced(player.now, folder=TWO))

    early = player.see(steps.Glanced(player.now + 0.1, folder=TWO))

    assert isinstance(early, Glance)
    assert early.after_seconds == pytest.approx(REST_SECONDS - 0.1)


def test_a_file_that_is_put_back_is_no_change() -> None:
    player = Player().failed()
    player.glance(files=TWO)

    assert isinstance(player.glance(files=ONE), Glance)
    assert isinstance(player.glance(files=ONE), Glance)


def test_a_history_that_somebody_mended_is_tried() -> None:
    player = Player().failed()
    while player.action != TARGET:
        player.glance("b")

    assert player.now == POLL_SECONDS
    assert player.told == (HistoryChanged(),)
    assert player.look(PENDING, mark="b") == Run()


def test_a_backup_that_is_restored_because_a_migration_failed_is_waited_for() -> None:
    player = Player().failed()
    while player.action != TARGET:
        player.glance("b")

    player.look(PENDING | {("versioned", "1")}, mark="b")

    assert player.mode is Mode.SETTLING
    assert settled(player, "b")


def test_a_server_that_was_only_restarted_gets_no_failed_run_again() -> None:
    player = Player().failed()
    player.miss()
    while player.action != TARGET:
        player.glance("a")

    assert isinstance(player.look(PENDING), Glance)
    assert player.mode is Mode.FAILED


def test_what_another_replica_did_as_the_run_failed_is_seen() -> None:
    player = Player()
    player.end(ExitCode.FAILED, PENDING)

    assert player.look(NOTHING) == Run()


def test_a_look_behind_a_run_starts_one_more_at_most() -> None:
    player = Player()
    player.end(ExitCode.FAILED, PENDING)
    player.look(NOTHING)
    player.end(ExitCode.FAILED, PENDING)

    assert isinstance(player.look(NOTHING), Glance)


@pytest.mark.parametrize("how", ["ready", "failed"])
def test_a_request_starts_a_run_at_once(how: str) -> None:
    player = Player()
    getattr(player, how)()

    assert player.request() == Run()


def test_a_request_does_not_wait_for_a_restore() -> None:
    player = Player().ready()
    player.glance("b")
    player.look(PENDING, mark="b")

    assert player.request() == Run()


# serve --watch


def changed(player: Player, files: steps.FolderMark = TWO) -> steps.Act:
    player.glance(files=files)
    return player.glance(files=files)


def test_a_new_file_is_looked_at_and_applied_without_waiting_for_a_restore() -> None:
    player = Player(watch=True).ready()

    assert changed(player) == FILES
    assert player.look(PENDING, files=TWO) == Run()


def test_files_are_polled_in_case_that_the_system_does_not_tell() -> None:
    assert Player(watch=True).ready().action == Glance(FILES_POLL_SECONDS, target=False, folder=True)


def test_a_migration_without_a_statement_is_waited_for() -> None:
    player = Player(watch=True).ready()
    changed(player)

    player.look(PENDING, files=TWO, unwritten=("2.sql",))

    assert isinstance(player.action, Glance)
    assert player.told == (FolderUnsettled(("2.sql",), "no statement yet"),)


def test_an_empty_migration_that_is_taken_away_leaves_the_target_ready_again() -> None:
    player = Player(watch=True).ready()
    changed(player)
    player.look(PENDING, files=TWO, unwritten=("2.sql",))
    changed(player, ONE)

    assert player.look() == Run()


def test_a_file_that_cannot_be_read_is_for_a_run_to_explain() -> None:
    player = Player(watch=True).ready()
    changed(player)

    assert player.see(steps.LookRefused(player.now, "a", TWO)) == Run()


def test_a_failed_one_is_looked_at_before_it_is_tried_again() -> None:
    player = Player(watch=True).failed()

    assert changed(player) == FILES
    assert player.look(PENDING, files=TWO) == Run()


def test_files_that_changed_while_the_target_was_lost_are_not_forgotten() -> None:
    player = Player(watch=True).failed()
    changed(player)
    player.see(steps.Unreached(player.now, "refused"))
    while player.action != FILES:
        player.glance("a", files=TWO)

    assert player.look(PENDING, files=TWO) == Run()


def test_a_file_that_is_written_without_end_does_not_hide_the_target() -> None:
    player = Player(watch=True).ready()
    for size in range(200):
        if player.action == TARGET:
            break
        player.glance("b", files=folder("1.sql", f"2.sql {'x' * size}"))

    assert player.action == TARGET


def test_an_answer_to_another_question_is_a_defect() -> None:
    with pytest.raises(ValueError, match="Looked cannot follow Run"):
        Player().look()
