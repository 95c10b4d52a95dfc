from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pgready.core import events, renderings, status
from pgready.core.errors import ExitCode, Place
from pgready.core.model import Applied, Kind, LockHolder, Migration, Operation, Script
from pgready.core.needs import Lack, Needs, Task
from pgready.core.planning import Entry, Finding, Flag, Plan, Severity, State, Work
from pgready.core.progress import Progress, Retry, progressed
from pgready.core.renderings import headline, text_table, to_json
from pgready.core.segments import SegmentKind
from pgready.core.status import Status, advance

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)

READY = events.ReadyReached(applied=1, duration_ms=20)


def entry(version: str, state: State, *flags: Flag) -> Entry:
    migration = Migration(version, "x", Script(f"{version}_x.sql", "SELECT 1"), "c0ffee")
    row = Applied(version, "x", applied_at=NOW, applied_by="pod-1") if state is State.APPLIED else None
    return Entry(version, "x", Kind.VERSIONED, state, flags, row, migration)


def planned(*entries: Entry, findings: tuple[Finding, ...] = ()) -> events.Planned:
    return events.Planned(Plan(entries, findings), under_lock=False)


def applied(version: str) -> events.MigrationApplied:
    return events.MigrationApplied(version, "x", "versioned", 183, "pod-2")


def failed(code: ExitCode) -> events.RunFailed:
    return events.RunFailed("it did not work", "do this", code)


def fold(*happened: events.Event, now: datetime = NOW) -> Status:
    folded = status.initial(started_at=NOW, target="postgresql://app:***@db/app")
    for event in happened:
        folded = advance(folded, event, now)
    return folded


ONE_OF_THREE = planned(entry("1", State.APPLIED), entry("2", State.PENDING), entry("3", State.PARTLY_APPLIED))
ALL_APPLIED = planned(entry("1", State.APPLIED))


def test_a_plan_becomes_migrations_and_counts() -> None:
    folded = fold(ONE_OF_THREE)

    assert [(each.version, each.state) for each in folded.migrations] == [
        ("1", "applied"),
        ("2", "pending"),
        ("3", "partly applied"),
    ]
    assert (folded.counts.total, folded.counts.applied, folded.counts.pending) == (3, 1, 1)


def test_the_dialect_is_the_plans() -> None:
    status = fold(events.Planned(Plan(()), under_lock=False, dialect="goose"))

    assert status.dialect == "goose"


def test_news_leave_out_what_was_applied_before_and_is_as_it_should_be() -> None:
    before = planned(
        entry("1", State.APPLIED),
        entry("2", State.APPLIED, Flag.CHANGED),
        entry("3", State.PENDING),
        entry("4", State.PENDING),
    )
    folded = status.initial(started_at=NOW + timedelta(seconds=1))
    for event in (before, applied("3")):
        folded = advance(folded, event, LATER)

    news = renderings.news(folded)

    assert [each.version for each in news.migrations] == ["2", "3", "4"]
    assert news.counts == folded.counts


def test_an_applied_migration_keeps_what_was_known_of_it() -> None:
    one = fold(planned(entry("1", State.PENDING, Flag.OUT_OF_ORDER)), applied("1")).migrations[0]

    assert one == status.MigrationStatus(
        "1", "x", "versioned", "applied", (), "c0ffee", applied_at=NOW, applied_by="pod-2", duration_ms=183
    )


def test_counts_follow_what_is_applied() -> None:
    counts = fold(ONE_OF_THREE, applied("3")).counts

    assert (counts.applied, counts.pending, counts.partly_applied) == (2, 1, 0)


def test_an_earlier_status_stays_what_it_was() -> None:
    before = fold(ONE_OF_THREE, applied("2"))
    advance(before, applied("3"), LATER)

    assert before.migrations[2].state == "partly applied"


def test_a_failed_migration_shows_as_failed_until_the_next_plan() -> None:
    folded = fold(ONE_OF_THREE, events.MigrationFailed("2", "no", "42601", None))

    assert folded.migrations[1].state == "failed"
    assert advance(folded, ONE_OF_THREE, LATER).migrations[1].state == "pending"


def test_a_phase_has_the_time_when_it_was_entered() -> None:
    folded = advance(fold(events.PhaseEntered("planning")), events.PhaseEntered("planning"), LATER)

    assert folded.since == NOW
    assert advance(folded, events.PhaseEntered("migrating"), LATER).since == LATER


def test_ready_forgets_the_failure_before_it() -> None:
    folded = fold(failed(ExitCode.LOCKED), READY)

    assert folded.ready
    assert folded.failure is None
    assert folded.reason is None


# The latch


@pytest.mark.parametrize(
    "event",
    [
        events.ConnectionLost("reset"),
        events.PhaseEntered("connecting"),
        events.ConnectFailed(1, "connection refused", 0.2),
        failed(ExitCode.UNREACHABLE),
        planned(
            entry("1", State.APPLIED, Flag.AHEAD),
            findings=(Finding(Severity.WARNING, "1", Flag.AHEAD, "1: newer"),),
        ),
    ],
    ids=lambda event: type(event).__name__,
)
def test_ready_stays_when_the_database_is_away_or_ahead(event: events.Event) -> None:
    assert fold(ALL_APPLIED, READY, event).ready


@pytest.mark.parametrize(
    "event",
    [
        failed(ExitCode.FAILED),
        failed(ExitCode.DIVERGED),
        ONE_OF_THREE,
        planned(findings=(Finding(Severity.ERROR, "1", Flag.CHANGED, "1: changed"),)),
        events.PhaseEntered("draining"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_ready_ends_with_what_is_pending_refused_failed_or_draining(event: events.Event) -> None:
    assert not fold(ALL_APPLIED, READY, event).ready


def test_a_latched_status_tells_that_the_database_is_away() -> None:
    folded = fold(ALL_APPLIED, READY, events.PhaseEntered("connecting"), failed(ExitCode.UNREACHABLE))

    assert (folded.phase, folded.reason) == ("ready", "it did not work")


def test_nothing_pending_is_not_yet_ready() -> None:
    assert not fold(ALL_APPLIED).ready


# Rendering

WAITED = events.LockWaited(LockHolder(42), 12.3)
STARTED = events.MigrationStarted("2", "x", "versioned", 0, 1, 5)


@pytest.mark.parametrize(
    ("happened", "line"),
    [
        ((), "connecting: 0 applied"),
        ((ONE_OF_THREE,), "connecting: 1 applied, 1 pending, 1 partly applied"),
        ((WAITED,), "connecting: 0 applied; the lock is held by pid 42 (12 s)"),
        ((WAITED, events.LockTaken(13.0)), "connecting: 0 applied"),
        ((STARTED, events.StatementsRan("2", 3, 5)), "connecting: 0 applied; 2, statement 4 of 5"),
        ((STARTED, events.StatementsRan("2", 5, 5)), "connecting: 0 applied; 2, statement 5 of 5"),
        (
            (STARTED, events.Blocked("2", 1.0, (LockHolder(7),))),
            "connecting: 0 applied; 2, statement 1 of 5, blocked by pid 7",
        ),
        ((failed(ExitCode.FAILED),), "failed: 0 applied; it did not work"),
        (
            (events.RunFailed("no such column", "mend it", ExitCode.FAILED, Place("2_x.sql", 1, 8)),),
            "failed: 0 applied; 2_x.sql:1:8: no such column",
        ),
        ((ALL_APPLIED, READY), "ready: 1 applied"),
    ],
)
def test_the_headline_says_the_most_pressing_thing(happened: tuple[events.Event, ...], line: str) -> None:
    assert headline(fold(*happened)) == line


REFUSED = planned(
    entry("1", State.APPLIED),
    entry("2", State.PENDING),
    findings=(Finding(Severity.ERROR, "1", Flag.CHANGED, "1: changed"),),
)
TASKS = (
    Task("schema", "media", "created"),
    *(Task("extension", name, "created") for name in ("hstore", "cube", "earthdistance")),
)


@pytest.mark.parametrize(
    ("found", "needs", "line", "reason"),
    [
        (ALL_APPLIED, Needs(), "up to date: 1 applied", None),
        (planned(), Needs(), "up to date: 0 applied", None),
        (
            ALL_APPLIED,
            Needs(target=True, tasks=TASKS[:1]),
            "something declared is missing (schema media): 1 applied",
            "something declared is missing (schema media)",
        ),
        (
            ONE_OF_THREE,
            Needs(target=True, tasks=TASKS),
            "not up to date: 1 applied, 1 pending, 1 partly applied",
            "2 pending; something declared is missing (schema media, extension hstore, extension cube, …)",
        ),
        (
            planned(),
            Needs(cluster=True, tasks=(Task("database", "app", "created"), *TASKS)),
            "the database is missing: 0 applied",
            "the database is missing",
        ),
        (
            ALL_APPLIED,
            Needs(target=True, lacking=(Lack("vector", "it is not there", "install it"),)),
            "refused: 1 applied",
            "extension vector: it is not there; install it; or make it optional with a ? after its name",
        ),
        (REFUSED, Needs(), "refused: 1 applied, 1 pending", "1: changed; 1 pending"),
    ],
)
def test_a_look_says_whether_the_target_is_as_the_folder_wants_it(
    found: events.Event, needs: Needs, line: str, reason: str | None
) -> None:
    planning = fold(events.PhaseEntered("planning"), found)

    looked = status.looked(planning, LATER, needs)

    assert (renderings.verdict(looked), looked.reason) == (line, reason)
    assert looked.ready is (reason is None)
    assert (looked.phase, looked.since) == (("ready", LATER) if looked.ready else ("planning", NOW))
    assert text_table(looked, line).splitlines()[0] == line


def test_the_table_has_a_row_for_each_migration_and_what_is_wrong_below() -> None:
    findings = (
        Finding(Severity.ERROR, "1", Flag.CHANGED, "1_x.sql: changed", "accept it: pgready repair 1"),
        Finding(Severity.WARNING, "2", Flag.OUT_OF_ORDER, "2_x.sql: out of order"),
    )
    event = planned(
        entry("1", State.APPLIED), entry("2", State.PENDING, Flag.OUT_OF_ORDER), findings=findings
    )

    assert text_table(fold(event)).splitlines() == [
        "connecting: 1 applied, 1 pending",
        "version  name  state                   applied at (UTC)     took  by",
        "1        x     applied                 2026-05-04 12:00:00        pod-1",
        "2        x     pending (out of order)",
        "error: 1_x.sql: changed; accept it: pgready repair 1",
        "warning: 2_x.sql: out of order",
    ]


def test_json_has_a_schema_snake_case_and_utc() -> None:
    document = msgspec.json.decode(to_json(fold(ALL_APPLIED, READY)))

    assert document["schema"] == 1
    assert document["started_at"] == "2026-05-04T12:00:00Z"
    assert document["counts"]["partly_applied"] == 0
    assert document["migrations"][0]["applied_at"] == "2026-05-04T12:00:00Z"


def test_the_summary_is_the_same_without_the_migrations() -> None:
    folded = fold(ALL_APPLIED, READY)
    document = msgspec.json.decode(to_json(folded))
    del document["migrations"]

    assert msgspec.json.decode(renderings.summary_json(folded)) == document


def test_the_summary_has_the_first_ten_of_each_list_and_the_whole_status_all() -> None:
    findings = tuple(
        Finding(severity, str(n), None, f"{severity.value} {n}") for severity in Severity for n in range(3000)
    )
    drift = [events.DriftFound("role", f"r{n}", "differs") for n in range(12)]
    folded = fold(planned(findings=findings), *drift)

    whole, short = (json.loads(render(folded)) for render in (to_json, renderings.summary_json))

    assert {name: len(whole[name]) for name in ("errors", "warnings", "drift")} == {
        "errors": 3000, "warnings": 3000, "drift": 12,
    }  # fmt: skip
    assert short["errors"] == [*(f"error {n}" for n in range(10)), "and 2990 more"]
    assert short["warnings"][-1] == "and 2990 more"
    assert short["drift"][9:] == ["role r9: differs", "and 2 more"]
    assert len(renderings.summary_json(folded)) < 2500


def test_drift_is_told_once_kept_for_a_run_and_forgotten_at_the_next() -> None:
    drifted = events.DriftFound("role", "app", "login is off, not on")
    connected = events.Connected(1, "18.1", "app", "app", False)
    other = events.DriftFound("extension", "vector", "is not there")
    one_run = fold(drifted, connected, drifted, other, READY)

    assert one_run.drift == (
        "role app: login is off, not on",
        "extension vector: is not there",
    )
    assert advance(one_run, events.PhaseEntered("connecting"), LATER).drift == ()


def test_the_target_is_what_was_located() -> None:
    assert fold(events.Located("postgresql://app:***@other/app")).target == "postgresql://app:***@other/app"


def test_a_reverted_migration_is_pending_again() -> None:
    folded = fold(ALL_APPLIED, events.MigrationReverted("1", "x", 5))
    (one,) = folded.migrations

    assert (one.state, one.applied_at, one.applied_by, one.duration_ms) == ("pending", None, None, None)
    assert (folded.counts.applied, folded.counts.pending) == (0, 1)


def test_a_status_without_migrations_is_told_in_a_line() -> None:
    assert text_table(fold()).splitlines() == [headline(fold())]


def test_long_times_are_told_in_seconds() -> None:
    took = events.MigrationApplied("2", "x", "versioned", 12_340, "pod-2")

    assert "12.3 s" in text_table(fold(ONE_OF_THREE, took))


def test_an_event_that_is_no_progress_changes_none_of_it() -> None:
    assert progressed(progress(), events.Located("x"), LATER) is None


def test_only_the_last_notices_are_kept() -> None:
    notices = [events.ServerNotice("NOTICE", str(number), None) for number in range(100)]

    assert fold(*notices).notices == tuple(f"NOTICE: {number}" for number in range(80, 100))


def test_an_event_about_an_unknown_migration_is_no_error() -> None:
    assert fold(applied("9")).applied_this_run == 1
    assert fold(events.MigrationFailed("9", "no", None, None)) == fold()
    assert fold(events.MigrationReverted("9", "x", 5)) == fold()


@pytest.mark.parametrize("ended", [events.ReadyReached(2, 5), failed(ExitCode.FAILED)])
def test_what_a_run_applied_is_counted_until_the_next_begins(ended: events.Event) -> None:
    connecting = events.PhaseEntered("connecting")
    first = fold(connecting, applied("1"), connecting, applied("2"), ended)

    assert first.applied_this_run == 2
    assert advance(first, connecting, LATER).applied_this_run == 0
    assert advance(first, events.PhaseEntered("draining"), LATER).applied_this_run == 2


def test_ten_thousand_migrations_share_what_does_not_change() -> None:
    before = fold(planned(*(entry(str(number), State.PENDING) for number in range(10_000))))
    after = advance(before, applied("5000"), LATER)
    shared = sum(one is other for one, other in zip(before.roster.chunks, after.roster.chunks, strict=True))

    assert shared == len(before.roster.chunks) - 1
    assert after.migrations[5000].state == "applied"


STARTED = events.MigrationStarted("2", "x", "versioned", 0, 1, 8)
HOLDER = LockHolder(pid=7, application_name="psql")


def test_a_replica_that_finds_the_work_done_by_another_waits_for_no_lock() -> None:
    waiting = events.PhaseEntered("waiting"), WAITED, events.PhaseEntered("planning")
    assert fold(*waiting).lock is not None

    assert fold(*waiting, events.PhaseEntered("checking")).lock is None


BLOCKED = events.Blocked("2", 5.0, (HOLDER,))
RETRIED = events.MigrationRetried("2", "lock timeout", 1, 0.5)
BUILDING = Operation("CREATE INDEX", "building index", "titles", 4, 16)


def progress(*happened: events.Event) -> Progress:
    folded = fold(events.PhaseEntered("migrating"), STARTED, *happened).progress
    assert folded is not None
    return folded


def test_the_wait_for_a_lock_began_before_it_was_told() -> None:
    assert progress(BLOCKED).blocked_since == NOW - timedelta(seconds=5)


def test_a_wait_that_is_over_has_no_blockers() -> None:
    after = progress(BLOCKED, events.Unblocked("2"))

    assert (after.blockers, after.blocked_since) == ((), None)


def test_another_try_knows_since_when_and_by_whom_it_is_kept_waiting() -> None:
    first = fold(events.PhaseEntered("migrating"), STARTED, BLOCKED, RETRIED)

    again = advance(first, STARTED, LATER).progress

    assert again is not None
    assert (again.since, again.blockers) == (NOW, (HOLDER,))
    assert again.retry == Retry("lock timeout", 1, 0.5)


def test_the_next_segment_begins_afresh() -> None:
    following = events.MigrationStarted("2", "x", "versioned", 1, 2, 1)

    after = progress(BLOCKED, following)

    assert (after.segment, after.blockers) == (1, ())


def test_an_operation_is_told_until_its_statement_is_done() -> None:
    building = events.OperationProgressed("2", BUILDING)

    assert progress(building).operation == BUILDING
    assert progress(building, events.StatementsRan("2", 1, 8)).operation is None


def test_a_pending_migration_says_what_runs_outside_a_transaction() -> None:
    kinds = (SegmentKind.TRANSACTION, SegmentKind.SINGLE, SegmentKind.SINGLE)
    plan = planned(entry("1", State.APPLIED), entry("2", State.PENDING)).plan

    folded = fold(events.Planned(plan, False, "goose", (Work(Kind.VERSIONED, "2", kinds, done=2),)))

    assert folded.dialect == "goose"
    assert [each.hazards for each in folded.migrations] == [
        (),
        ("1 statement runs outside a transaction",),
    ]


LOST = events.DatabaseLost("connection reset")


def test_a_lost_database_is_told_and_leaves_it_ready() -> None:
    lost = fold(ALL_APPLIED, READY, LOST)
    back = advance(lost, events.DatabaseBack(3.0), LATER)

    assert (lost.ready, lost.unreachable_since) == (True, NOW)
    assert "connection reset" in headline(lost)
    assert (back.ready, back.unreachable_since, back.reason) == (True, None, None)


@pytest.mark.parametrize("code", [ExitCode.UNREACHABLE, ExitCode.DENIED])
def test_that_nobody_lets_us_look_leaves_it_ready(code: ExitCode) -> None:
    folded = fold(ALL_APPLIED, READY, failed(code))

    assert (folded.ready, folded.phase) == (True, "ready")
    assert folded.failure is not None


def test_since_when_the_server_cannot_be_reached_is_kept_over_all_attempts() -> None:
    first = fold(events.ConnectFailed(1, "refused", 0.1))
    second = advance(first, events.ConnectFailed(2, "refused", 0.2), LATER)

    assert second.unreachable_since == NOW


def test_a_ready_target_that_is_lost_says_why_it_stays_so() -> None:
    lost = fold(ALL_APPLIED, READY, events.DatabaseLost("reset"))
    refused = advance(lost, events.ConnectFailed(1, "wrong password", 0.1), LATER)
    back = advance(refused, events.DatabaseBack(90.0), LATER)

    assert (refused.ready, refused.phase, refused.unreachable_since) == (True, "ready", NOW)
    assert (lost.reason, lost.attempts) == ("the database is lost: reset", status.Attempts())
    assert (refused.reason, refused.attempts) == (
        "the database is lost: wrong password",
        status.Attempts(1, "wrong password"),
    )
    assert (back.reason, back.attempts) == (None, status.Attempts(2))


def test_what_a_run_waits_for_is_the_reason() -> None:
    settling = fold(ALL_APPLIED, READY, ONE_OF_THREE, events.TargetUnsettled("waiting for pg_restore"))
    moving = fold(READY, ONE_OF_THREE, events.FolderUnsettled(("2.sql",), "no statement yet"))

    assert (settling.ready, settling.reason) == (False, "waiting for pg_restore")
    assert (moving.ready, moving.reason) == (False, "2.sql: no statement yet")


def test_files_that_still_change_say_nothing_about_a_ready_target() -> None:
    assert fold(ALL_APPLIED, READY, events.FolderUnsettled(("2.sql",), "still changing")).reason is None
