"""What a run leaves, what others have done since, and what of it is ours to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pgready.core.events import LockTaken, MigrationApplied, Planned
from pgready.core.model import Applied, Kind, Migration, Script
from pgready.core.outstanding import LeftBehind, outstanding, times, without_superseded
from pgready.core.planning import Entry, Finding, Flag, Plan, Severity, State

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
VIEW = (Kind.REPEATABLE, "v")


def entry(version: str, state: State, kind: Kind = Kind.VERSIONED, at: datetime | None = None) -> Entry:
    migration = Migration(version, "x", Script(f"{version}.sql", "SELECT 1"), "c0ffee", kind)
    row = Applied(version, kind=kind, applied_at=at) if at else None
    return Entry(version, "x", kind, state, applied=row, migration=migration)


def view(state: State, at: datetime | None) -> Plan:
    return Plan((entry("1", State.APPLIED, at=NOON), entry("v", state, Kind.REPEATABLE, at)))


def test_what_is_pending_partly_applied_or_refused_is_outstanding() -> None:
    found = Finding(Severity.ERROR, "3", Flag.CHANGED, "3.sql: changed")
    plan = Plan(
        (entry("1", State.APPLIED), entry("2", State.PARTLY_APPLIED), entry("4", State.PENDING)), (found,)
    )

    assert outstanding(plan) == {("versioned", "2"), ("versioned", "4"), ("refused", "3.sql: changed")}


def test_a_run_leaves_behind_what_it_planned_and_did_not_apply() -> None:
    left = LeftBehind()
    before = left.outstanding

    left.listen(Planned(Plan((entry("1", State.PENDING), entry("2", State.PENDING))), under_lock=True))
    left.listen(MigrationApplied("1", "x", "versioned", 3))
    left.listen(LockTaken(0.5))

    assert before is None
    assert left.outstanding == frozenset({("versioned", "2")})


def test_a_view_that_somebody_replaced_since_is_ahead_and_not_pending() -> None:
    known = times(view(State.APPLIED, NOON), {})

    plan = without_superseded(view(State.PENDING, LATER), known)

    assert plan.pending == ()
    assert plan.entries[1].flags == (Flag.AHEAD,)
    assert [(finding.severity, finding.version) for finding in plan.findings] == [(Severity.WARNING, "v")]


def test_it_stays_ahead_when_it_is_looked_at_again() -> None:
    known = times(view(State.APPLIED, NOON), {})
    plan = without_superseded(view(State.PENDING, LATER), known)

    again = without_superseded(view(State.PENDING, LATER), times(plan, known))

    assert again == plan


def test_a_view_of_a_restored_backup_is_pending() -> None:
    known = times(view(State.APPLIED, LATER), {})

    plan = view(State.PENDING, NOON)

    assert without_superseded(plan, known) is plan


def test_a_view_that_was_never_applied_is_pending() -> None:
    plan = view(State.PENDING, None)

    assert without_superseded(plan, {VIEW: NOON}) is plan


def test_a_versioned_migration_is_never_superseded() -> None:
    assert times(view(State.APPLIED, NOON), {}).keys() == {VIEW}
