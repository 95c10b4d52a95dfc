"""What a `down` takes back, and what it refuses before anything is run."""

from __future__ import annotations

import pytest

from pgready.core.errors import Diverged, SettingsError
from pgready.core.model import Applied, History, Kind, Migration, Script, Unrunnable
from pgready.core.planning import Entry, Plan, Severity, State
from pgready.core.reverting import Goal, interrupted, last, repeatables, reversals, same, told, told_again


def entry(
    version: str, state: State = State.APPLIED, revert: str | None = "SELECT 1;", text: str = "SELECT 1;"
) -> Entry:
    way_back = None if revert is None else Script(f"{version}.down.sql", revert)
    migration = Migration(version, "x", Script(f"{version}.sql", text), "c", revert=way_back)
    row = Applied(version) if state is State.APPLIED else None
    return Entry(version, "x", Kind.VERSIONED, state, applied=row, migration=migration)


THREE = Plan((entry("1"), entry("2"), entry("3")))


def versions(plan: Plan, goal: Goal | None = None) -> list[str]:
    return [each.migration.version for each in reversals(plan, goal or last(plan, 1))]


@pytest.mark.parametrize(("stays", "expected"), [("1", ["3", "2"]), ("3", []), (None, ["3", "2", "1"])])
def test_the_newest_goes_first(stays: str | None, expected: list[str]) -> None:
    assert versions(THREE, Goal(stays)) == expected


@pytest.mark.parametrize(("count", "stays"), [(1, "2"), (2, "1"), (3, None), (9, None)])
def test_how_many_becomes_a_goal(count: int, stays: str | None) -> None:
    assert last(THREE, count) == Goal(stays)


def test_the_goal_stays_when_a_part_of_it_is_reached() -> None:
    goal = last(THREE, 2)
    half_way = Plan((entry("1"), entry("2"), entry("3", State.PENDING)))

    assert versions(half_way, goal) == ["2"]


def test_a_goal_passes_over_what_is_pending_in_between() -> None:
    plan = Plan((entry("1"), entry("2", State.PENDING), entry("3")))

    assert versions(plan, last(plan, 1)) == ["3"]
    assert versions(plan, last(plan, 2)) == ["3", "1"]


def test_without_anything_applied_there_is_nothing_to_revert() -> None:
    plan = Plan((entry("1", State.PENDING),))

    assert versions(plan, last(plan, 1)) == []


def test_what_is_half_taken_back_has_a_file_under_its_name() -> None:
    (finding,) = interrupted(THREE, History(True, taken_back=("03",)), "h")

    assert (finding.severity, finding.version) == (Severity.ERROR, "03")
    assert "was it renamed?" in finding.message
    assert finding.hint is not None and finding.hint.endswith("AND version = '03'")


@pytest.mark.parametrize(("version", "command"), [("1", "down --all"), ("3", "down --to 2")])
def test_what_is_half_taken_back_counts_as_nothing_else(version: str, command: str) -> None:
    (finding,) = interrupted(THREE, History(True, taken_back=(version,)), "h")

    assert (finding.version, finding.severity) == (version, Severity.ERROR)
    assert finding.hint is not None and f"pgready {command}, and" in finding.hint


def test_what_is_taken_back_and_pending_again_is_no_matter() -> None:
    plan = Plan((entry("1", State.PENDING), entry("2")))

    assert interrupted(plan, History(True, taken_back=("1",)), "h") == []


@pytest.mark.parametrize("revert", ["", "-- to be written\n", ";"])
def test_a_way_back_that_was_not_filled_in_is_none(revert: str) -> None:
    with pytest.raises(Diverged, match=r"2: nothing reverts it: 2\.down\.sql has no statement") as refused:
        versions(Plan((entry("1"), entry("2", revert=revert))))

    assert "write what reverts it" in (refused.value.hint or "")


def test_what_had_no_statement_is_reverted_by_none_and_that_is_told() -> None:
    (only,) = told(reversals(Plan((entry("1", revert="", text="-- on purpose\n"),)), Goal(None)))

    assert "holds no statement" in only


def test_what_could_not_be_run_again_is_not_taken_for_empty() -> None:
    with pytest.raises(Diverged, match="1: nothing reverts it"):
        versions(Plan((entry("1", revert="", text="ROLLBACK;"),)))


def test_another_text_is_not_what_was_agreed_to() -> None:
    agreed = reversals(THREE, Goal("2"))
    edited = reversals(Plan((entry("1"), entry("2"), entry("3", revert="SELECT 2;"))), Goal("2"))

    assert same(agreed, reversals(THREE, Goal("2")))
    assert not same(edited, agreed)


@pytest.mark.parametrize(
    ("goal", "command"), [(Goal("2"), "pgready down --to 2"), (Goal(None), "pgready down --all")]
)
def test_a_goal_is_the_command_that_goes_on(goal: Goal, command: str) -> None:
    assert goal.command == command


@pytest.mark.parametrize(
    ("revert", "transactional"), [("DROP TABLE a;", True), ("DROP INDEX CONCURRENTLY a;", False)]
)
def test_a_way_back_is_one_transaction_or_statements_by_themselves(revert: str, transactional: bool) -> None:
    (only,) = reversals(Plan((entry("1", revert=revert),)), Goal(None))

    assert only.transactional is transactional


def test_what_has_no_file_any_more_is_refused() -> None:
    gone = Entry("2", "x", Kind.VERSIONED, State.APPLIED, applied=Applied("2"))

    with pytest.raises(Diverged, match="2: its file is gone"):
        versions(Plan((entry("1"), gone)))


def test_a_way_back_that_cannot_be_read_is_refused_in_its_own_words() -> None:
    revert = Script("1.down.sql", "", unrunnable=Unrunnable("is a program", "write SQL"))
    migration = Migration("1", "x", Script("1.sql", ""), "c", revert=revert)

    with pytest.raises(Diverged, match="1: is a program"):
        versions(
            Plan((Entry("1", "x", Kind.VERSIONED, State.APPLIED, applied=Applied("1"), migration=migration),))
        )


def test_what_is_pending_is_passed_over() -> None:
    assert versions(Plan((entry("1"), entry("2"), entry("3", State.PENDING)))) == ["2"]


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(SettingsError):
        versions(THREE, Goal("4"))


@pytest.mark.parametrize("state", [State.PARTLY_APPLIED, State.FAILED])
def test_an_unfinished_migration_is_resolved_first(state: State) -> None:
    with pytest.raises(Diverged, match=state.value):
        versions(Plan((entry("1"), entry("2", state))))


@pytest.mark.parametrize(
    "revert",
    [
        None,
        "DROP TABLE a; DROP INDEX CONCURRENTLY b;",  # a crash between them could leave one of them
        "-- pgready: no-transaction\nCALL p();",  # nothing can tell whether it happened
        "SELECT 1; ROLLBACK;",
    ],
)
def test_what_cannot_be_taken_back_whole_is_refused(revert: str | None) -> None:
    with pytest.raises(Diverged, match="2: "):
        versions(Plan((entry("1"), entry("2", revert=revert))))


@pytest.mark.parametrize(
    "revert", ["DROP TABLE a; DROP TABLE b;", "DROP INDEX CONCURRENTLY a; DROP INDEX CONCURRENTLY b;"]
)
def test_what_can_be_taken_back_whole_is_not(revert: str) -> None:
    assert versions(Plan((entry("1"), entry("2", revert=revert)))) == ["2"]


def test_what_is_run_again_is_named_where_there_is_any() -> None:
    assert told_again([entry("a"), entry("b")]) == "to be run again by the next up: a, b"
    assert told_again([]) == ""


def test_views_that_are_applied_are_made_again_behind_a_down() -> None:
    row = Applied("v", kind=Kind.REPEATABLE)
    view = Entry("v", "v", Kind.REPEATABLE, State.APPLIED, applied=row)
    pending = Entry("w", "w", Kind.REPEATABLE, State.PENDING)

    assert repeatables(Plan((entry("1"), view, pending))) == (view,)


@pytest.mark.parametrize(("state", "success"), [(State.PENDING, True), (State.FAILED, False)])
def test_a_view_that_changed_since_is_made_again_by_the_release_before_and_a_failed_one_is_not(
    state: State, success: bool
) -> None:
    row = Applied("v", kind=Kind.REPEATABLE, success=success)
    view = Entry("v", "v", Kind.REPEATABLE, state, applied=row)

    assert repeatables(Plan((entry("1"), view))) == ((view,) if success else ())


def test_a_view_of_which_a_part_is_done_is_made_again_from_its_start() -> None:
    view = Entry("v", "v", Kind.REPEATABLE, State.PARTLY_APPLIED, segments_done=1)

    assert repeatables(Plan((entry("1"), view))) == (view,)
