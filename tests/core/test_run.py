"""The run's decisions one by one; what they add up to is in test_run_properties."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from pgready.core import steps
from pgready.core.ladder import Ladder, rungs_ms
from pgready.core.model import JournalRow, Kind, SegmentState
from pgready.core.patience import Patience
from pgready.core.phases import Phase, phase_of
from pgready.core.planning import Outdated, Work
from pgready.core.run import FENCE_LOSSES, TRIES_BETWEEN_LOOKS, RunState, begin, decide
from pgready.core.segments import SegmentKind
from pgready.core.steps import GiveUp, GiveUpReason, ProbeAnswer

T, S = SegmentKind.TRANSACTION, SegmentKind.SINGLE
PATIENCE = Patience(connect_seconds=60, lock_seconds=30, relation_lock_seconds=100, reconnects=3)
V = Kind.VERSIONED
MARK = JournalRow(Kind.REPEATABLE, "1", 0, SegmentState.DONE, "sum")


class Player:
    """Feeds observations to a run; *action* is what it asks for."""

    def __init__(self, patience: Patience = PATIENCE, now: float = 1000.0) -> None:
        self.now = now
        self.state: RunState = begin(patience, seed=7)
        self.action: steps.Action
        self.see(steps.Started)

    def see(
        self, kind: Callable[..., steps.Observation], after_seconds: float = 0.0, **fields: object
    ) -> steps.Action:
        self.now += after_seconds
        self.state, self.action = decide(self.state, kind(self.now, **fields))
        return self.action

    def look(self, *work: Work, refused: bool = False, bootstrap: bool = False) -> steps.Action:
        return self.see(steps.Looked, refused=refused, bootstrap=bootstrap, work=work)

    def connect(self) -> Player:
        self.see(steps.Connected)
        return self

    def lock(self, *work: Work) -> Player:
        """Up to the second look, which finds *work*."""
        self.connect().look(*work)
        self.see(steps.LockTaken)
        self.look(*work)
        return self


def work(*segments: SegmentKind, version: str = "1", done: int = 0, started: bool = False) -> Work:
    return Work(V, version, segments, done, started)


def test_nothing_pending_needs_no_lock() -> None:
    player = Player().connect()

    assert player.action == steps.Look(under_lock=False)
    assert player.look() == steps.RunChecks()
    assert player.see(steps.ChecksPassed) == steps.Finish()


def test_only_the_look_under_the_lock_decides_what_is_applied() -> None:
    player = Player().connect()
    player.look(work(T, version="1"), work(T, version="2"))

    assert player.see(steps.LockTaken) == steps.Look(under_lock=True)
    assert player.look(work(T, version="2")) == steps.RunTransaction(V, "2", 0, 100)


def test_what_is_missing_is_made_under_the_lock_before_the_second_look() -> None:
    player = Player().connect()
    player.look(bootstrap=True)

    assert player.see(steps.LockTaken) == steps.BootstrapTarget()
    assert player.see(steps.Bootstrapped) == steps.Look(under_lock=True)
    assert player.look(bootstrap=True) == steps.ReleaseLock()


def test_what_was_not_compiled_before_the_lock_is_compiled_under_it() -> None:
    player = Player().connect()
    player.look(Work(V, "1", None), Work(V, "2", None, done=1))
    player.see(steps.LockTaken)

    assert player.look(work(T), work(T, S, version="2", done=1)) == steps.RunTransaction(V, "1", 0, 100)
    assert player.see(steps.SegmentDone) == steps.MarkStarted(V, "2", 1)


def test_nothing_is_made_for_what_was_not_compiled_yet() -> None:
    player = Player().connect()
    player.look(work(T), Work(V, "2", None), bootstrap=True)

    assert player.see(steps.LockTaken) == steps.Look(under_lock=True)
    assert player.look(work(T), work(T, version="2"), bootstrap=True) == steps.BootstrapTarget()
    assert player.see(steps.Bootstrapped) == steps.Look(under_lock=True)


def test_that_it_is_compiled_now_is_no_progress() -> None:
    player = Player().connect()
    player.look(Work(V, "1", None))
    player.see(steps.Lost)
    player.connect().look(Work(V, "1", None))
    player.see(steps.LockTaken)

    player.look(work(T))

    assert player.state.losses == 1


def test_the_second_look_may_find_something_missing() -> None:
    player = Player().connect()
    player.look(work(T))
    player.see(steps.LockTaken)

    assert player.look(work(T), bootstrap=True) == steps.BootstrapTarget()


def test_segments_run_in_order_and_the_lock_is_given_back_before_the_checks() -> None:
    player = Player().lock(work(T, T, version="1"), work(T, version="2"))

    ran = [player.action, *(player.see(steps.SegmentDone) for _ in range(3)), player.see(steps.Released)]

    assert ran == [
        steps.RunTransaction(V, "1", 0, 100),
        steps.RunTransaction(V, "1", 1, 100),
        steps.RunTransaction(V, "2", 0, 100),
        steps.ReleaseLock(),
        steps.RunChecks(),
    ]


@pytest.mark.parametrize(
    ("first", "then"), [(T, steps.RunTransaction(V, "1", 0, 100)), (S, steps.MarkStarted(V, "1", 0))]
)
def test_what_begins_anew_is_forgotten_before_its_first_part_runs(
    first: SegmentKind, then: steps.Action
) -> None:
    player = Player().lock(Work(V, "1", (first, T), done=1, outdated=Outdated(MARK, None)))

    assert player.action == steps.BeginAnew(V, "1", 0)
    assert player.see(steps.Marked) == then


def test_a_single_is_marked_before_it_runs_and_recorded_after() -> None:
    player = Player().lock(work(T, S, done=1))

    ran = [player.action, player.see(steps.Marked), player.see(steps.SegmentDone), player.see(steps.Marked)]

    assert ran == [
        steps.MarkStarted(V, "1", 1),
        steps.RunSingle(V, "1", 1),
        steps.RecordDone(V, "1", 1),
        steps.ReleaseLock(),
    ]


def test_the_single_behind_a_probed_one_is_marked_and_not_probed() -> None:
    player = Player().lock(work(S, S, started=True))
    player.see(steps.Probed, answer=ProbeAnswer.HAPPENED)

    assert player.see(steps.Marked) == steps.MarkStarted(V, "1", 1)


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (ProbeAnswer.HAPPENED, steps.RecordDone(V, "1", 0)),
        (ProbeAnswer.NOT_HAPPENED, steps.RunSingle(V, "1", 0)),
        (ProbeAnswer.UNKNOWN, steps.ReleaseLock()),
    ],
)
def test_a_started_single_is_probed_before_anything_runs(answer: ProbeAnswer, then: steps.Action) -> None:
    player = Player().lock(work(S, started=True))

    assert player.action == steps.Probe(V, "1", 0)
    assert player.see(steps.Probed, answer=answer) == then


def test_where_no_probe_can_tell_the_run_ends_uncertain_without_the_lock() -> None:
    player = Player().lock(work(S, started=True))
    player.see(steps.Probed, answer=ProbeAnswer.UNKNOWN)

    assert player.see(steps.Released) == GiveUp(GiveUpReason.UNCERTAIN, "1", 0, V)


def test_a_script_whose_failing_end_was_cut_off_only_lacks_its_history_row() -> None:
    player = Player().lock(work(T, T, done=2))

    assert player.action == steps.RecordDone(V, "1", 1)
    assert player.see(steps.Marked) == steps.ReleaseLock()


# Connecting


def test_connecting_is_tried_until_its_patience_ends_and_once_more_at_the_end() -> None:
    player = Player()
    waited = []
    while isinstance(player.action, steps.Connect):
        waited.append(player.action.delay_seconds)
        player.see(steps.ConnectRefused, after_seconds=player.action.delay_seconds, transient=True)

    assert player.action == GiveUp(GiveUpReason.UNREACHABLE)
    assert waited[0] == 0
    assert sum(waited) == pytest.approx(60)
    assert [wait for at, wait in enumerate(waited[1:6]) if not 0.1 * 2**at < wait <= 0.2 * 2**at] == []
    assert max(waited) <= 5
    assert len({round(wait / 2**at, 9) for at, wait in enumerate(waited[1:6])}) == 5, "no chance in it"


def test_after_a_loss_the_waits_between_attempts_begin_anew() -> None:
    player = Player()
    for _ in range(5):
        player.see(steps.ConnectRefused, transient=True)
    first = player.connect().see(steps.Lost)
    second = player.see(steps.ConnectRefused, transient=True)

    assert isinstance(first, steps.Connect) and 0.1 < first.delay_seconds <= 0.2
    assert isinstance(second, steps.Connect) and 0.1 < second.delay_seconds <= 0.2
    assert first.delay_seconds != second.delay_seconds


def test_a_refusal_that_does_not_pass_ends_the_run_at_once() -> None:
    assert Player().see(steps.ConnectRefused, transient=False) == GiveUp(GiveUpReason.FAILED)


def test_a_missing_database_is_created_and_then_waited_for() -> None:
    player = Player()
    missing = {"transient": False, "missing_database": True}

    assert player.see(steps.ConnectRefused, **missing) == steps.BootstrapCluster()
    assert player.see(steps.Bootstrapped) == steps.Connect(0.0)
    assert isinstance(player.see(steps.ConnectRefused, **missing), steps.Connect)


@pytest.mark.parametrize("loss", [steps.Lost, steps.FenceLost])
def test_the_deadline_counts_anew_from_a_loss(loss: Callable[..., steps.Observation]) -> None:
    player = Player().lock(work(T))
    player.see(loss, after_seconds=1000)

    assert isinstance(player.see(steps.ConnectRefused, after_seconds=59, transient=True), steps.Connect)
    assert player.see(steps.ConnectRefused, after_seconds=1, transient=True) == GiveUp(
        GiveUpReason.UNREACHABLE
    )


# Another connection


def test_another_connection_has_the_patience_of_the_first() -> None:
    player = Player().connect()
    player.look(bootstrap=True)
    player.see(steps.LockTaken)
    tries = 0
    while not isinstance(player.see(steps.Unreached, after_seconds=9), GiveUp | steps.ReleaseLock):
        tries += 1
        player.connect().look(bootstrap=True)
        player.see(steps.LockTaken)

    assert tries == 7  # the first began to count; the eighth found sixty seconds gone
    assert player.action == steps.ReleaseLock()
    assert player.see(steps.Released) == GiveUp(GiveUpReason.UNREACHABLE)


def test_what_an_administrator_is_to_make_is_waited_for_from_the_first_time_that_it_is_not_reached() -> None:
    player = Player()
    for after_seconds in (500, 59):
        player.see(steps.ConnectRefused, transient=False, missing_database=True)
        assert player.action == steps.BootstrapCluster()
        assert isinstance(player.see(steps.Unreached, after_seconds=after_seconds), steps.Connect)
    player.see(steps.ConnectRefused, transient=False, missing_database=True)

    assert player.see(steps.Unreached, after_seconds=1) == GiveUp(GiveUpReason.UNREACHABLE)


def test_progress_restores_the_patience_for_another_connection() -> None:
    player = Player().lock(work(T), work(T, version="2"))
    player.see(steps.Unreached)
    player.lock(work(T), work(T, version="2"))
    player.see(steps.SegmentDone)

    assert isinstance(player.see(steps.Unreached, after_seconds=1000), steps.Connect)


def test_another_connection_that_is_not_reached_is_no_loss() -> None:
    player = Player().lock(work(T))
    for _ in range(PATIENCE.reconnects + 1):
        player.see(steps.Unreached)
        player.lock(work(T))

    assert isinstance(player.see(steps.Lost), steps.Connect)


def test_the_waits_for_another_connection_grow_up_to_what_is_left() -> None:
    player = Player().lock(work(T))
    waits = []
    for _ in range(8):
        action = player.see(steps.Unreached)
        assert isinstance(action, steps.Connect)
        waits.append(action.delay_seconds)
        player.lock(work(T))
    last = player.see(steps.Unreached, after_seconds=59.99)

    assert max(waits[:2]) < min(waits[-2:])
    assert isinstance(last, steps.Connect)
    assert last.delay_seconds <= 0.011


def test_the_wait_behind_another_connection_has_the_patience_of_a_first_one() -> None:
    player = Player().lock(work(T))
    player.see(steps.Unreached, after_seconds=500)

    assert isinstance(player.see(steps.ConnectRefused, after_seconds=59, transient=True), steps.Connect)
    assert player.see(steps.ConnectRefused, after_seconds=1, transient=True) == GiveUp(
        GiveUpReason.UNREACHABLE
    )


def test_each_wait_for_another_connection_is_drawn_from_the_next_rung() -> None:
    player = Player().lock(work(T))
    for tries in (1, 2, 3):
        player.see(steps.Unreached)
        assert player.state.unreached == tries
        player.lock(work(T))


@pytest.mark.parametrize("lost", [steps.Lost, steps.Unreached])
def test_behind_another_connection_the_ladder_begins_at_its_foot(
    lost: Callable[..., steps.Observation],
) -> None:
    player = Player().lock(work(T))
    player.see(steps.LockTimedOut, elapsed_seconds=0.1)
    player.see(lost)

    assert player.state.ladder == Ladder()


def test_behind_a_look_that_had_to_wait_the_ladder_begins_at_its_foot() -> None:
    player = Player().connect()
    player.look(work(T))
    player.see(steps.LockTaken)
    player.see(steps.LockTimedOut, elapsed_seconds=1.0)
    assert player.state.ladder != Ladder()
    player.look(work(T))  # the same as before, which is no progress

    assert player.state.ladder == Ladder()


def test_the_lock_is_gone_with_the_connection_that_is_given_up_for_another() -> None:
    player = Player().lock(work(T))
    player.see(steps.Unreached)

    assert player.see(steps.ConnectRefused, transient=False) == GiveUp(GiveUpReason.FAILED)


# Losing


def test_after_a_loss_the_run_looks_again_from_the_start() -> None:
    player = Player().lock(work(T))

    assert isinstance(player.see(steps.Lost), steps.Connect)
    assert player.see(steps.Connected) == steps.Look(under_lock=False)
    assert player.look() == steps.RunChecks()


def lose_again_and_again(player: Player, kind: Callable[..., steps.Observation], *left: Work) -> int:
    """How many losses it took to give up, where every look finds what was *left*."""
    losses = 0
    while True:
        losses += 1
        player.see(kind)
        if isinstance(player.action, GiveUp):
            return losses
        player.lock(*left)


def test_losing_again_and_again_without_progress_gives_up() -> None:
    player = Player().lock(work(T))

    assert lose_again_and_again(player, steps.Lost, work(T)) == PATIENCE.reconnects + 1
    assert player.action == GiveUp(GiveUpReason.UNREACHABLE, "1", 0, V)


def test_losing_with_much_left_to_do_is_no_progress() -> None:
    left = [work(T, version=version) for version in "123"]
    player = Player().lock(*left)

    assert lose_again_and_again(player, steps.Lost, *left) == PATIENCE.reconnects + 1


def test_losing_with_nothing_left_to_do_is_no_progress() -> None:
    player = Player().connect()
    losses = 0
    while not isinstance(player.action, GiveUp):
        player.look()
        losses += 1
        player.see(steps.Lost)
        if isinstance(player.action, steps.Connect):
            player.connect()

    assert losses == PATIENCE.reconnects + 1


def test_finding_the_mark_of_what_was_lost_is_no_progress() -> None:
    player = Player().lock(work(S))
    player.see(steps.Marked)
    losses = 1
    player.see(steps.Lost)
    while not isinstance(player.action, GiveUp):
        player.lock(work(S, started=True)).see(steps.Probed, answer=ProbeAnswer.NOT_HAPPENED)
        player.see(steps.Lost)
        losses += 1

    assert losses == PATIENCE.reconnects + 1


def test_the_waits_between_losses_grow() -> None:
    player = Player().lock(work(T))
    waits = []
    while isinstance(again := player.see(steps.Lost), steps.Connect):
        waits.append(again.delay_seconds)
        player.lock(work(T))

    assert [wait for at, wait in enumerate(waits) if not 0.1 * 2**at < wait <= 0.2 * 2**at] == []
    assert len({wait / 2**at for at, wait in enumerate(waits)}) == len(waits) == PATIENCE.reconnects


def test_after_a_loss_everything_that_is_left_is_done() -> None:
    player = Player().lock(*(work(T, version=version) for version in "123"))
    player.see(steps.SegmentDone)
    player.see(steps.SegmentDone)
    player.see(steps.Lost)
    player.lock(work(T, version="3"), work(T, version="4"))

    assert player.action == steps.RunTransaction(V, "3", 0, 100)
    assert player.see(steps.SegmentDone) == steps.RunTransaction(V, "4", 0, 100)


def test_after_a_loss_what_is_missing_again_is_made_again() -> None:
    player = Player().connect()
    player.look(bootstrap=True)
    player.see(steps.LockTaken)
    player.see(steps.Bootstrapped)
    player.look(work(T))
    player.see(steps.Lost)
    player.connect().look(work(T))
    player.see(steps.LockTaken)

    assert player.look(work(T), bootstrap=True) == steps.BootstrapTarget()


def test_after_a_loss_the_ladder_begins_anew() -> None:
    player = Player().lock(work(T))
    player.see(steps.LockTimedOut, elapsed_seconds=0.1)
    player.see(steps.Lost)

    assert player.lock(work(T)).action == steps.RunTransaction(V, "1", 0, 100)


def test_losing_the_fence_as_often_as_losses_are_endured_gives_up_for_that_reason() -> None:
    player = Player(replace(PATIENCE, reconnects=1)).lock(work(T))
    player.see(steps.FenceLost)

    assert player.lock(work(T)).see(steps.FenceLost) == GiveUp(GiveUpReason.FENCE_LOST, "1", 0, V)


def test_progress_between_losses_of_the_fence_forgives_them() -> None:
    left = [work(T, version=str(number)) for number in range(2 * FENCE_LOSSES)]
    player = Player().lock(*left)
    while left:
        assert isinstance(player.see(steps.FenceLost), steps.Connect)
        left.pop(0)
        player.lock(*left) if left else player.connect().look()

    assert player.action == steps.RunChecks()


def test_losing_the_fence_again_and_again_gives_up() -> None:
    player = Player().lock(work(T))

    assert lose_again_and_again(player, steps.FenceLost, work(T)) == FENCE_LOSSES
    assert player.action == GiveUp(GiveUpReason.FENCE_LOST, "1", 0, V)


def test_losing_before_any_look_gives_up_too() -> None:
    player = Player()
    losses = 0
    while not isinstance(player.action, GiveUp):
        player.connect().see(steps.Lost)
        losses += 1

    assert losses == PATIENCE.reconnects + 1


def test_progress_between_losses_forgives_them() -> None:
    left = [work(T, version=str(number)) for number in range(20)]
    player = Player().lock(*left)
    while left:
        player.see(steps.Lost)
        left.pop(0)
        player.connect().look(*left)
        if left:
            player.see(steps.LockTaken)
            player.look(*left)

    assert player.action == steps.RunChecks()


def test_a_lock_that_is_lost_while_giving_up_does_not_delay_that() -> None:
    player = Player().lock(work(T))
    player.see(steps.Failed)

    assert player.see(steps.Lost) == GiveUp(GiveUpReason.FAILED, "1", 0, V)


# Waiting


def test_a_busy_lock_is_polled_until_its_patience_ends() -> None:
    player = Player().connect()
    player.look(work(T))
    waited = []
    while not isinstance(player.action, GiveUp):
        if isinstance(player.action, steps.TakeLock):
            waited.append(player.action.delay_seconds)
            player.see(steps.LockBusy, after_seconds=player.action.delay_seconds)
        else:
            player.look(work(T))

    assert player.action == GiveUp(GiveUpReason.LOCK_NOT_OBTAINED)
    assert waited[0] == 0
    assert sum(waited) == pytest.approx(30)
    assert all(0.1 <= wait <= 1.0 for wait in waited[1:-1])
    assert len(set(waited[5:-1])) > 5, "no chance in it"


def test_a_replica_that_waits_needs_no_lock_once_another_has_finished() -> None:
    player = Player().connect()
    player.look(work(T))
    for _ in range(TRIES_BETWEEN_LOOKS):
        player.see(steps.LockBusy)

    assert player.action == steps.Look(under_lock=False)
    assert phase_of(player.state) is Phase.WAITING
    assert player.look() == steps.RunChecks()
    assert player.state.lock_since is None


def test_whoever_lost_the_connection_while_waiting_waits_anew() -> None:
    player = Player().connect()
    player.look(work(T))
    for _ in range(TRIES_BETWEEN_LOOKS - 1):
        player.see(steps.LockBusy, after_seconds=9)
    player.see(steps.Lost)
    player.connect()

    assert phase_of(player.state) is Phase.PLANNING
    assert player.look(work(T)) == steps.TakeLock(0.0)
    assert isinstance(player.see(steps.LockBusy, after_seconds=29), steps.TakeLock)


@pytest.mark.parametrize(("before", "then"), [(True, False), (False, True)])
def test_what_is_missing_is_what_the_last_look_found(before: bool, then: bool) -> None:
    player = Player().connect()
    player.look(work(T), bootstrap=before)
    for _ in range(TRIES_BETWEEN_LOOKS):
        player.see(steps.LockBusy)
    player.look(work(T), bootstrap=then)

    assert player.see(steps.LockTaken) == (steps.BootstrapTarget() if then else steps.Look(under_lock=True))


# Refusals and failures


def test_a_plan_that_is_refused_before_the_lock_takes_none() -> None:
    assert Player().connect().look(refused=True) == GiveUp(GiveUpReason.REFUSED)


def test_a_plan_that_is_refused_under_the_lock_gives_it_back() -> None:
    player = Player().connect()
    player.look(work(T))
    player.see(steps.LockTaken)

    assert player.look(work(T), refused=True) == steps.ReleaseLock()
    assert player.see(steps.Released) == GiveUp(GiveUpReason.REFUSED)


def test_a_failed_segment_gives_the_lock_back_and_is_named() -> None:
    player = Player().lock(work(T, T, done=1))

    assert player.see(steps.Failed) == steps.ReleaseLock()
    assert phase_of(player.state) is Phase.FAILED
    assert player.see(steps.Released) == GiveUp(GiveUpReason.FAILED, "1", 1, V)


def test_failed_checks_end_the_run() -> None:
    player = Player().connect()
    player.look()

    assert player.see(steps.Failed) == GiveUp(GiveUpReason.FAILED)


def test_checks_that_fail_behind_a_migration_find_the_lock_given_back() -> None:
    player = Player().lock(work(T))
    player.see(steps.SegmentDone)
    player.see(steps.Released)

    assert player.see(steps.Failed) == GiveUp(GiveUpReason.FAILED)


@pytest.mark.parametrize("end", [steps.Released, steps.Lost, steps.Unreached, steps.Failed])
def test_nobody_holds_the_lock_at_the_end(end: Callable[..., steps.Observation]) -> None:
    player = Player().lock(work(T))
    player.see(steps.Failed)

    assert player.state.locked
    assert isinstance(player.see(end), GiveUp)
    assert not player.state.locked


def test_nothing_follows_the_end() -> None:
    player = Player()
    player.see(steps.ConnectRefused, transient=False)

    with pytest.raises(ValueError, match="Connected cannot follow the run's end"):
        player.see(steps.Connected)


def test_an_answer_to_another_question_is_refused() -> None:
    with pytest.raises(ValueError, match="Marked cannot follow Connect"):
        Player().see(steps.Marked)


# The ladder


def climb(player: Player, elapsed_seconds: float) -> list[int]:
    """The timeouts that are tried until the run gives up."""
    timeouts = []
    while isinstance(player.action, steps.RunTransaction):
        timeouts.append(player.action.lock_timeout_ms)
        wait = player.action.delay_seconds + elapsed_seconds
        player.see(steps.LockTimedOut, after_seconds=wait, elapsed_seconds=elapsed_seconds)
    return timeouts


def test_lock_timeouts_grow_up_to_five_seconds_until_the_budget_ends() -> None:
    player = Player().lock(work(T))
    timeouts = climb(player, elapsed_seconds=0.2)

    assert timeouts[:7] == [100, 250, 500, 1000, 1500, 3000, 5000]
    assert set(timeouts[7:]) == {5000}
    assert 1100 <= player.now <= 1131
    assert player.see(steps.Released) == GiveUp(GiveUpReason.RELATION_LOCKED, "1", 0, V)


def test_an_attempt_that_was_dear_skips_the_short_timeouts() -> None:
    assert climb(Player().lock(work(T)), elapsed_seconds=12)[:3] == [100, 1500, 3000]


def test_no_timeout_is_longer_than_the_last_rung_however_dear_the_attempt() -> None:
    assert climb(Player().lock(work(T)), elapsed_seconds=90)[1] == 5000


def test_the_waits_between_lock_timeouts_grow() -> None:
    player = Player().lock(work(T))
    waits = []
    for _ in range(6):
        again = player.see(steps.LockTimedOut, elapsed_seconds=0.0)
        assert isinstance(again, steps.RunTransaction)
        waits.append(again.delay_seconds)

    assert [wait for at, wait in enumerate(waits) if not 0.1 * 2**at < wait <= 0.2 * 2**at] == []
    assert len({wait / 2**at for at, wait in enumerate(waits)}) == len(waits)


@pytest.mark.parametrize(("elapsed_seconds", "ended"), [(99.5, False), (100.0, True)])
def test_the_budget_of_lock_timeouts_is_used_to_its_end(elapsed_seconds: float, ended: bool) -> None:
    player = Player().lock(work(T))

    then = player.see(steps.LockTimedOut, elapsed_seconds=elapsed_seconds)

    assert isinstance(then, steps.ReleaseLock) is ended


def test_progress_starts_the_ladder_again() -> None:
    player = Player().lock(work(T, T))
    player.see(steps.LockTimedOut, elapsed_seconds=0.1)

    assert player.see(steps.SegmentDone) == steps.RunTransaction(V, "1", 1, 100)


def test_a_look_that_is_locked_out_is_tried_again_until_the_budget_ends() -> None:
    player = Player().connect()
    tries = 0
    while player.action != GiveUp(GiveUpReason.RELATION_LOCKED):
        assert isinstance(player.action, steps.Look)
        assert (player.action.delay_seconds > 0) is (tries > 0)
        player.see(steps.LockTimedOut, after_seconds=player.action.delay_seconds + 1, elapsed_seconds=1.0)
        tries += 1

    assert tries > 5
    assert 1100 <= player.now <= 1131


def test_what_a_look_waited_is_not_counted_against_what_follows() -> None:
    player = Player().connect()
    player.see(steps.LockTimedOut, elapsed_seconds=99.0)

    player.look(work(T))
    player.see(steps.LockTaken)

    assert player.look(work(T)) == steps.RunTransaction(V, "1", 0, 100)


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (work(S), steps.MarkStarted),
        (Work(V, "1", (T, T), done=1, outdated=Outdated(MARK, None)), steps.BeginAnew),
        (work(T, T, done=2), steps.RecordDone),
    ],
)
def test_a_mark_that_is_locked_out_climbs_the_ladder(found: Work, action: type[steps.SegmentAction]) -> None:
    player = Player().lock(found)
    first = player.action

    again = player.see(steps.LockTimedOut, elapsed_seconds=0.1)

    assert isinstance(first, action)
    assert isinstance(again, action)
    assert (again.version, again.segment) == (first.version, first.segment)
    assert (again.lock_timeout_ms, again.delay_seconds > 0) == (250, True)
    assert isinstance(
        player.see(steps.LockTimedOut, after_seconds=100, elapsed_seconds=0.1), steps.ReleaseLock
    )


def test_a_single_that_timed_out_is_marked_again_and_climbs_the_ladder() -> None:
    player = Player().lock(work(S))
    timeouts = []
    player.see(steps.Marked)
    while isinstance(player.action, steps.RunSingle):
        timeouts.append(player.action.lock_timeout_ms)
        again = player.see(steps.LockTimedOut, after_seconds=1, elapsed_seconds=1.0)
        if isinstance(again, steps.MarkStarted):
            assert again.delay_seconds > 0
            player.see(steps.Marked, after_seconds=again.delay_seconds)

    assert timeouts[:4] == [100, 250, 500, 1000]
    assert player.see(steps.Released) == GiveUp(GiveUpReason.RELATION_LOCKED, "1", 0, V)


def test_the_record_of_a_single_that_waited_long_has_the_budget_for_itself() -> None:
    player = Player().lock(work(S))
    player.see(steps.Marked)
    player.see(steps.LockTimedOut, elapsed_seconds=99.0)
    player.see(steps.Marked)

    assert player.see(steps.SegmentDone) == steps.RecordDone(V, "1", 0)


def test_a_rung_is_above_the_servers_deadlock_timeout() -> None:
    player = Player()
    player.see(steps.Connected, deadlock_timeout_ms=8000)

    assert max(rungs_ms(player.state.patience.deadlock_timeout_ms)) == 12_000


# Phases


def test_phases_come_in_the_order_that_people_know() -> None:
    player = Player()
    seen = [phase_of(player.state)]
    for observe in (
        player.connect,
        lambda: player.look(work(T), bootstrap=True),
        lambda: player.see(steps.LockTaken),
        lambda: player.see(steps.Bootstrapped),
        lambda: player.look(work(T)),
        lambda: player.see(steps.SegmentDone),
        lambda: player.see(steps.Released),
        lambda: player.see(steps.ChecksPassed),
    ):
        observe()
        seen.append(phase_of(player.state))

    assert [phase.value for phase in seen] == [
        "connecting",
        "planning",
        "waiting",
        "bootstrapping",
        "planning",
        "migrating",
        "checking",
        "checking",
        "ready",
    ]


def test_a_run_that_gives_up_has_failed() -> None:
    player = Player()
    player.see(steps.ConnectRefused, transient=False)

    assert phase_of(player.state) is Phase.FAILED


def test_ten_thousand_migrations_are_walked_without_copying_what_is_left() -> None:
    many = tuple(work(T, version=str(number)) for number in range(10_000))
    player = Player().lock(*many)
    looked_at = player.state.work
    for _ in many:
        player.see(steps.SegmentDone)

    assert player.action == steps.ReleaseLock()
    assert player.state.work is looked_at
