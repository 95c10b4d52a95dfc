from __future__ import annotations

import pytest
from msgspec.structs import replace

from pgready.core.model import Applied, Folder, History, JournalRow, Kind, Migration, Script, SegmentState
from pgready.core.planning import Entry, Finding, Outdated, Policies, Severity, Work, plan
from pgready.core.resumption import (
    hindrance,
    left_over,
    orphans,
    outdated,
    told_left_over,
    verify_resumption,
    work,
)
from pgready.core.segments import Segment, SegmentKind, Statement, Temporary

T, S = SegmentKind.TRANSACTION, SegmentKind.SINGLE
DONE, STARTED = SegmentState.DONE, SegmentState.STARTED

MIGRATION = Migration("1", "x", Script("1_x.sql", ""), "sum")


def segments(*checksums: str, kind: SegmentKind = T) -> tuple[Segment, ...]:
    return tuple(Segment(kind, (Statement(0, 1),), checksum) for checksum in checksums)


def journal(*marks: tuple[int, SegmentState, str]) -> History:
    return History(True, (), tuple(JournalRow(Kind.VERSIONED, "1", *mark) for mark in marks))


def entry(history: History) -> Entry:
    return plan(Folder("native", (MIGRATION,)), history, Policies()).entries[0]


def verify(history: History, *checksums: str) -> Finding | None:
    return verify_resumption(entry(history), history, segments(*checksums))


AT_C = journal((0, DONE, "a"), (1, DONE, "b"), (2, STARTED, "c"))


def test_work_says_what_is_done_and_begun() -> None:
    left = work(entry(AT_C), segments("a", "b", "c", kind=S))

    assert left == Work(Kind.VERSIONED, "1", (S, S, S), done=2, started=True, done_ms=None)


def test_work_that_was_not_compiled_stands_where_the_journal_ends() -> None:
    left, compiled = work(entry(AT_C)), work(entry(AT_C), segments("a", "b", "c", kind=S))

    assert (left.segments, left.hazards) == (None, ())
    assert left.standing == compiled.standing != work(entry(journal())).standing


def test_a_script_without_statements_is_one_transaction() -> None:
    assert work(entry(journal()), ()).segments == (T,)


def test_a_file_that_kept_what_is_done_goes_on() -> None:
    assert verify(AT_C, "a", "b", "c", "d") is None


def test_what_another_migration_left_is_no_hindrance() -> None:
    mine = journal((0, DONE, "a"))
    others = JournalRow(Kind.VERSIONED, "2", 0, DONE, "z"), JournalRow(Kind.REPEATABLE, "1", 0, DONE, "z")

    assert verify(History(True, (), (*others, *mine.journal)), "a", "b") is None


def test_what_was_neither_done_nor_begun_may_change_or_be_cut_off() -> None:
    history = journal((0, DONE, "a"), (1, DONE, "b"))

    assert verify(history, "a", "b", "new") is None
    assert verify(history, "a", "b") is None


@pytest.mark.parametrize(
    ("checksums", "problem"),
    [
        (("a", "B", "c"), "part 2 of 3 changed after it was done"),
        (("a", "b", "C"), "part 3 of 3 changed after it was started"),
        (("a", "b"), "part 3 was started, but the file has only 2 now"),
    ],
)
def test_a_file_that_was_edited_behind_its_journal_is_refused(
    checksums: tuple[str, ...], problem: str
) -> None:
    finding = verify(AT_C, *checksums)

    assert finding is not None
    assert finding.message == f"1_x.sql: {problem}"
    assert "pgready repair 1 --done | --not-done" in (finding.hint or "")


def test_a_journal_with_a_gap_is_refused() -> None:
    finding = verify(journal((0, DONE, "a"), (2, DONE, "c")), "a", "b", "c")

    assert finding is not None
    assert "part 3 is journaled as done, but part 2 before it is not done" in finding.message


# What may run again

VIEW = Migration("v", "v", Script("v.sql", ""), "sum", Kind.REPEATABLE)


def of_view(*marks: tuple[int, SegmentState, str], applied: str | None = None) -> tuple[Entry, History]:
    """The view with *marks* in the journal, and a row with the checksum *applied*."""
    rows = () if applied is None else (Applied("v", "v", VIEW.kind, checksum=applied),)
    history = History(True, rows, tuple(JournalRow(VIEW.kind, "v", *mark) for mark in marks))
    return plan(Folder("native", repeatables=(VIEW,)), history, Policies()).entries[0], history


@pytest.mark.parametrize("checksums", [("A", "b", "c"), ("a", "B"), ("a",)])
def test_what_may_run_again_begins_anew_where_it_was_edited_behind_what_is_done(
    checksums: tuple[str, ...],
) -> None:
    view, history = of_view((0, DONE, "a"), (1, DONE, "b"), applied="before")

    found = outdated(view, history, segments(*checksums))

    assert found and found.applied == history.applied[0]
    assert found.mark == history.journal[checksums[0] == "a"]


def test_what_may_run_again_begins_anew_where_it_was_given_back_what_was_applied_last() -> None:
    view, history = of_view((0, DONE, "a"), applied="sum")

    assert outdated(view, history, segments("a", "b")) == Outdated(history.journal[0], history.applied[0])


def test_what_may_run_again_goes_on_where_what_is_done_is_unchanged() -> None:
    view, history = of_view((0, DONE, "a"), applied="before")

    assert outdated(view, history, segments("a", "new")) is None


def test_what_may_run_again_begins_anew_where_its_temporary_table_went_with_its_session() -> None:
    view, history = of_view((0, DONE, "a"))

    assert outdated(view, history, segments("a", "b")) is None
    assert outdated(view, history, BOUND) == Outdated(history.journal[0], None)


def test_what_may_run_once_never_begins_anew() -> None:
    assert outdated(entry(AT_C), AT_C, segments("A", "b", "c")) is None


def test_of_what_may_run_again_and_was_started_a_person_is_asked_first() -> None:
    view, history = of_view((0, DONE, "a"), (1, STARTED, "b"))

    finding = verify_resumption(view, history, segments("A", "b"))

    assert outdated(view, history, segments("A", "b")) is None
    assert finding and finding.hint
    assert finding.hint.endswith("or have it run as it is now: pgready repair v --not-done")


def test_work_that_begins_anew_is_all_of_it() -> None:
    view, history = of_view((0, DONE, "a"))
    left = work(view, segments("A", "b", kind=S), outdated(view, history, segments("A", "b", kind=S)))

    assert (left.done, left.next, left.hazards) == (1, 0, ("2 statements run outside a transaction",))
    assert left.standing == work(view).standing


@pytest.mark.parametrize(
    ("files", "severity"), [((), Severity.WARNING), (("2_renamed.sql",), Severity.ERROR)]
)
def test_a_half_applied_version_without_a_file_is_refused_where_something_is_pending(
    files: tuple[str, ...], severity: Severity
) -> None:
    migrations = tuple(Migration(name[0], "x", Script(name, ""), "sum") for name in files)
    planned = plan(Folder("native", migrations), AT_C, Policies())

    (finding,) = orphans(planned, AT_C, "goose_db_version")

    assert (finding.version, finding.severity) == ("1", severity)


def test_the_way_out_forgets_the_marks_of_that_history_alone() -> None:
    (finding,) = orphans(plan(Folder("native"), AT_C, Policies()), AT_C, "it's")

    assert finding.hint is not None
    assert finding.hint.endswith("history = 'it''s' AND kind = 'versioned' AND version = '1'")


def test_a_version_with_a_file_is_no_orphan() -> None:
    assert orphans(plan(Folder("native", (MIGRATION,)), AT_C, Policies()), AT_C, "h") == ()


def test_parts_beside_a_row_that_says_it_is_applied_are_left_over() -> None:
    recorded = History(True, (Applied("1", checksum="sum"),), AT_C.journal)
    folder = Folder("native", (MIGRATION,))

    assert left_over(plan(folder, recorded, Policies()), recorded) == ("1",)
    assert left_over(plan(folder, AT_C, Policies()), AT_C) == ()
    assert "pgready repair 1" in (told_left_over("1").hint or "")


BOUND = (*segments("a", "b"), *(replace(each, temporary=Temporary("k", 0)) for each in segments("c", "d")))
NEEDS = "1_x.sql: part 3 needs k, which part 1"


@pytest.mark.parametrize(
    ("history", "severity", "message"),
    [
        (
            journal(),
            Severity.WARNING,
            f"{NEEDS} makes for its session alone: a run that is cut off between them ",
        ),
        (
            journal((0, DONE, "a")),
            Severity.ERROR,
            f"{NEEDS} made for a session that has ended: it cannot go on",
        ),
        (AT_C, Severity.ERROR, f"{NEEDS} made for a session that has ended: it cannot go on"),
    ],
)
def test_what_needs_a_table_of_a_session_that_ended_cannot_go_on_which_is_warned_of(
    history: History, severity: Severity, message: str
) -> None:
    finding = hindrance(entry(history), history, BOUND)

    assert finding is not None
    assert (finding.severity, finding.message.startswith(message)) == (severity, True)
    assert ("repair 1 --done | --not-done" in (finding.hint or "")) is (history is AT_C)


def test_what_needs_no_more_of_its_session_goes_on() -> None:
    history = journal((0, DONE, "a"), (1, DONE, "b"), (2, DONE, "c"), (3, DONE, "d"))

    assert hindrance(entry(history), history, BOUND) is None
