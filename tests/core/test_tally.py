"""Events counted: what a tally says after a run's events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgready.core import events, tally
from pgready.core.errors import ExitCode
from pgready.core.planning import Plan
from pgready.core.tally import BOUNDS_SECONDS, STALE_SECONDS, Histogram, Tally, Wait

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

CONNECTED = events.Connected(2, "18.1", "app", "app", False)
READY = events.ReadyReached(applied=1, duration_ms=2500)
CONNECTING = events.PhaseEntered("connecting")


def failed(exit_code: ExitCode, retry_seconds: float | None = None) -> events.RunFailed:
    return events.RunFailed("it did not work", None, exit_code, retry_seconds=retry_seconds)


def fold(*happened: events.Event, before: Tally | None = None, seconds_apart: float = 0) -> Tally:
    folded = before or Tally()
    for number, event in enumerate(happened):
        folded = tally.advance(folded, event, NOW + timedelta(seconds=number * seconds_apart))
    return folded


def test_attempts_to_connect_are_counted_whether_they_failed_or_not() -> None:
    folded = fold(events.ConnectFailed(1, "refused", 0.1), CONNECTED)

    assert (folded.connect_attempts, folded.connect_failures) == (2, 1)


@pytest.mark.parametrize(
    ("event", "reachable"),
    [
        (events.ConnectFailed(1, "refused", None), False),
        (CONNECTED, True),
        (events.ConnectionLost("reset"), False),
        (events.DatabaseLost("reset"), False),
        (events.DatabaseBack(4.0), True),
        (events.LockReleased(), None),
    ],
)
def test_the_database_is_as_reachable_as_the_last_attempt_says(
    event: events.Event, reachable: bool | None
) -> None:
    assert fold(event).reachable is reachable


@pytest.mark.parametrize(
    ("happened", "reason"),
    [
        ((events.ConnectFailed(1, "refused", 0.1),), "connect"),
        ((events.ConnectionLost("reset"), CONNECTING), "connection_lost"),
        ((events.MigrationRetried("0001", "a table was locked by pid 7", 1, 0.1),), "relation_lock"),
        ((failed(ExitCode.UNREACHABLE, retry_seconds=1),), "run"),
    ],
)
def test_each_retry_is_counted_under_its_reason(happened: tuple[events.Event, ...], reason: str) -> None:
    assert fold(*happened, *happened).retries == {reason: 2}
    assert reason in tally.RETRY_REASONS


@pytest.mark.parametrize("event", [events.ConnectFailed(3, "refused", None), failed(ExitCode.FAILED)])
def test_what_is_not_tried_again_is_no_retry(event: events.Event) -> None:
    assert fold(event).retries == {}


def test_what_happens_to_a_watched_target_is_counted() -> None:
    folded = fold(events.DatabaseLost("reset"), events.DatabaseBack(4.0), events.HistoryChanged())

    assert (folded.outages, folded.history_changes, folded.reachable) == (1, 1, True)


def test_each_try_to_reach_a_lost_target_is_an_attempt_and_the_one_that_does_too() -> None:
    refused = events.ConnectFailed(1, "refused", 0.1)

    folded = fold(events.DatabaseLost("reset"), refused, refused, events.DatabaseBack(4.0))

    assert (folded.connect_attempts, folded.connect_failures) == (3, 2)


def test_a_wait_for_the_lock_grows_between_two_tellings() -> None:
    folded = fold(events.LockWaited(None, 20.0))

    assert folded.lock_wait is not None
    assert folded.lock_wait.seconds(NOW + timedelta(seconds=4)) == 24.0


def test_a_wait_that_is_not_told_any_more_is_over() -> None:
    wait = Wait(since=NOW, told_at=NOW)

    assert wait.seconds(NOW + timedelta(seconds=STALE_SECONDS + 1)) == 0


@pytest.mark.parametrize(
    "ending",
    [
        events.LockTaken(9.0),
        events.PhaseEntered("checking"),  # another replica has left nothing to do
        events.ConnectionLost("reset"),
        failed(ExitCode.LOCKED),
    ],
)
def test_a_wait_for_the_lock_that_is_over_is_added_up(ending: events.Event) -> None:
    folded = fold(events.LockWaited(None, 4.0), ending, seconds_apart=5)

    assert folded.lock_wait is None
    assert folded.lock_waited_seconds == 9.0


def test_looking_again_while_another_holds_the_lock_is_still_waiting() -> None:
    folded = fold(events.LockWaited(None, 4.0), events.PhaseEntered("planning"))

    assert folded.lock_wait is not None


def test_durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() -> None:
    folded = fold(
        events.MigrationApplied("1", "x", "versioned", 10),
        events.MigrationApplied("2", "x", "versioned", 11),
        events.MigrationApplied("3", "x", "versioned", 9_000_000),
        events.MigrationApplied("4", "x", "versioned", None),  # it was done by a process that died
    )

    assert folded.migrations.counts == (1, 1, *([0] * (len(BOUNDS_SECONDS) - 2)), 1)
    assert folded.migrations.sum_seconds == pytest.approx(9000.021)


def test_an_empty_histogram_has_a_count_for_each_bound_and_one_above_them() -> None:
    assert len(Histogram().counts) == len(BOUNDS_SECONDS) + 1


def test_a_run_that_made_the_target_ready_is_a_success() -> None:
    folded = fold(CONNECTING, CONNECTED, READY)

    assert (folded.runs, folded.run_failures, folded.exit_code) == (1, {}, 0)
    assert (folded.run_seconds, folded.ready_at, folded.run_since) == (2.5, NOW, None)


def test_a_run_that_failed_took_the_time_since_it_began() -> None:
    reconnecting = CONNECTING
    folded = fold(CONNECTING, reconnecting, failed(ExitCode.DIVERGED), seconds_apart=30)

    assert (folded.runs, folded.run_failures, folded.exit_code) == (1, {6: 1}, 6)
    assert (folded.run_seconds, folded.ready_at) == (60.0, None)


def test_a_run_that_could_not_even_begin_took_no_time() -> None:
    assert fold(failed(ExitCode.USAGE)).run_seconds == 0


def test_the_last_success_outlives_a_failure() -> None:
    folded = fold(CONNECTING, READY, CONNECTING, failed(ExitCode.FAILED))

    assert (folded.ready_at, folded.exit_code) == (NOW, 1)


def test_being_ready_or_failed_begins_no_run() -> None:
    folded = fold(*(events.PhaseEntered(phase) for phase in ("ready", "failed", "draining")))

    assert folded.run_since is None


def test_what_is_not_counted_changes_nothing() -> None:
    before = fold(CONNECTED)

    assert fold(events.Planned(Plan(()), False), events.LockReleased(), before=before) is before
