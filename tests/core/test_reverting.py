"""What a `down` takes back, and what it refuses before anything is run."""

from __future__ import annotations

import pytest

from pgready.core.errors import Diverged, SettingsError
from pgready.core.model import Applied, Kind, Migration, Script
from pgready.core.planning import Entry, Plan, State
from pgready.core.reverting import reversals


def entry(version: str, state: State = State.APPLIED, revert: str | None = "SELECT 1;") -> Entry:
    way_back = None if revert is None else Script(f"{version}.down.sql", revert)
    migration = Migration(version, "x", Script(f"{version}.sql", "SELECT 1;"), "c", revert=way_back)
    row = Applied(version) if state is State.APPLIED else None
    return Entry(version, "x", Kind.VERSIONED, state, applied=row, migration=migration)


THREE = Plan((entry("1"), entry("2"), entry("3")))


def versions(plan: Plan, count: int = 1, to: str | None = None) -> list[str]:
    return [each.migration.version for each in reversals(plan, count, to)]


@pytest.mark.parametrize(
    ("count", "to", "expected"),
    [
        (1, None, ["3"]),
        (2, None, ["3", "2"]),
        (9, None, ["3", "2", "1"]),
        (1, "1", ["3", "2"]),
        (1, "3", []),
        (1, "0", ["3", "2", "1"]),
    ],
)
def test_the_newest_goes_first(count: int, to: str | None, expected: list[str]) -> None:
    assert versions(THREE, count, to) == expected


def test_what_is_pending_is_passed_over() -> None:
    assert versions(Plan((entry("1"), entry("2"), entry("3", State.PENDING)))) == ["2"]


def test_a_version_0_of_the_folder_is_that_version() -> None:
    assert versions(Plan((entry("0"), entry("1"))), to="0") == ["1"]


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(SettingsError):
        versions(THREE, to="4")


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
        "SELECT 1; COMMIT;",
    ],
)
def test_what_cannot_be_taken_back_whole_is_refused(revert: str | None) -> None:
    with pytest.raises(Diverged, match="2: "):
        versions(Plan((entry("1"), entry("2", revert=revert))))


@pytest.mark.parametrize(
    "revert", ["", "DROP TABLE a; DROP TABLE b;", "DROP INDEX CONCURRENTLY a; DROP INDEX CONCURRENTLY b;"]
)
def test_what_can_be_taken_back_whole_is_not(revert: str) -> None:
    assert versions(Plan((entry("1"), entry("2", revert=revert)))) == ["2"]
