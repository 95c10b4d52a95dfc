from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgready.core.errors import ExitCode
from pgready.core.model import Applied, Folder, History, JournalRow, Kind, Migration, Script, SegmentState
from pgready.core.planning import (
    Counts,
    Entry,
    Flag,
    Plan,
    Policies,
    Policy,
    Severity,
    State,
    Work,
    plan,
    summary,
    version_key,
)
from pgready.core.segments import SegmentKind
from pgready.core.tokens import token_checksum

TEXT = "CREATE TABLE t (a int); -- why\n"
TRANSACTION, SINGLE = SegmentKind.TRANSACTION, SegmentKind.SINGLE
DONE, STARTED = SegmentState.DONE, SegmentState.STARTED


def migration(version: str, kind: Kind = Kind.VERSIONED, checksum: str = "", text: str = TEXT) -> Migration:
    return Migration(version, "x", Script(f"{version}_x.sql", text), checksum or f"sum-{version}", kind)


def row(version: str, kind: Kind = Kind.VERSIONED, checksum: str | None = "", **more: object) -> Applied:
    recorded = f"sum-{version}" if checksum == "" else checksum
    return Applied(version, "x", kind, recorded, **more)  # type: ignore[arg-type]


def folder(*versions: str) -> Folder:
    return Folder("native", tuple(migration(version) for version in versions))


def history(*versions: str) -> History:
    return History(True, tuple(row(version) for version in versions))


def planned(files: Folder, recorded: History, policies: Policies | None = None) -> Plan:
    return plan(files, recorded, policies or Policies())


def stand(made: Plan) -> list[tuple[str, State, tuple[Flag, ...]]]:
    return [(entry.version, entry.state, entry.flags) for entry in made.entries]


def only(made: Plan) -> Entry:
    (entry,) = made.entries
    return entry


def test_an_entry_holds_its_file_and_its_row() -> None:
    old, new = migration("v", Kind.REPEATABLE), migration("1")
    rows = (row("1"), row("v", Kind.REPEATABLE, "old"))

    made = planned(Folder("native", (new,), (old,)), History(True, rows))

    assert made.entries == (
        Entry("1", "x", Kind.VERSIONED, State.APPLIED, (), rows[0], new),
        Entry("v", "x", Kind.REPEATABLE, State.PENDING, (), rows[1], old),
    )


def test_without_a_history_all_is_pending() -> None:
    made = planned(folder("1", "2"), History(False))

    assert stand(made) == [("1", State.PENDING, ()), ("2", State.PENDING, ())]
    assert made.pending == made.entries
    assert not made.findings


def test_what_the_history_holds_is_applied() -> None:
    assert stand(planned(folder("1", "2"), history("1"))) == [
        ("1", State.APPLIED, ()),
        ("2", State.PENDING, ()),
    ]


def test_scripts_run_in_the_order_bootstrap_versions_repeatables() -> None:
    files = Folder(
        "native",
        (migration("1"),),
        (migration("views", Kind.REPEATABLE),),
        (migration("roles", Kind.BOOTSTRAP),),
    )

    assert [entry.version for entry in planned(files, History(False)).pending] == ["roles", "1", "views"]


# Out of order


def test_a_pending_file_before_an_applied_one_is_out_of_order() -> None:
    made = planned(folder("1", "2", "3", "4"), history("1", "3"))

    assert stand(made)[1] == ("2", State.PENDING, (Flag.OUT_OF_ORDER,))
    assert stand(made)[3] == ("4", State.PENDING, ())


def test_a_pending_file_before_one_that_only_the_database_has_is_out_of_order() -> None:
    assert stand(planned(folder("1", "2"), history("1", "3")))[1] == (
        "2",
        State.PENDING,
        (Flag.OUT_OF_ORDER,),
    )


def test_an_out_of_order_file_is_applied_with_a_warning() -> None:
    made = planned(folder("1", "2"), history("2"))

    assert [entry.version for entry in made.pending] == ["1"]
    assert [finding.severity for finding in made.findings] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("stamp", "recorded", "flags"),
    [
        (2000, 3000, (Flag.OUT_OF_ORDER,)),
        (3000, 3000, ()),
        (4000, 3000, ()),
        (2000, None, ()),
        (None, 3000, ()),
    ],
)
def test_a_file_made_before_the_newest_applied_one_is_out_of_order_wherever_it_stands(
    stamp: int | None, recorded: int | None, flags: tuple[Flag, ...]
) -> None:
    files = Folder("drizzle", (stamped("a", 1000), stamped("b", stamp)))
    rows = (Applied("a", stamp=recorded),)

    assert stand(planned(files, History(True, rows)))[1] == ("b", State.PENDING, flags)


# Without a file


def test_a_row_without_a_file_is_missing_and_stands_in_its_place() -> None:
    made = planned(folder("1", "10"), history("1", "9", "10"))

    assert stand(made)[1] == ("9", State.APPLIED, (Flag.MISSING,))
    assert made.errors[0].exit_code is ExitCode.DIVERGED


def test_a_row_after_every_file_is_ahead_and_only_warned_of() -> None:
    made = planned(folder("9"), history("9", "10"))

    assert stand(made)[1] == ("10", State.APPLIED, (Flag.AHEAD,))
    assert not made.errors


def test_a_row_that_is_written_otherwise_than_the_newest_file_is_not_ahead() -> None:
    assert stand(planned(folder("1"), history("001")))[0] == ("001", State.APPLIED, (Flag.MISSING,))


def test_rows_without_a_file_that_count_alike_are_all_told() -> None:
    assert stand(planned(folder("2"), history("1", "01", "2")))[:2] == [
        ("1", State.APPLIED, (Flag.MISSING,)),
        ("01", State.APPLIED, (Flag.MISSING,)),
    ]


def test_a_row_without_a_file_is_told_as_it_is_recorded() -> None:
    failed = row("1", success=False)

    (entry,) = planned(folder(), History(True, (failed,))).entries

    assert entry == Entry("1", "x", Kind.VERSIONED, State.FAILED, (Flag.MISSING,), failed)


def test_in_an_empty_folder_nothing_is_ahead() -> None:
    assert only(planned(folder(), history("1"))).flags == (Flag.MISSING,)


def test_a_dialects_own_numbers_order_rows_that_no_file_fits() -> None:
    files = Folder("drizzle", (stamped("0000_a", 1000), stamped("0001_b", 3000)))
    rows = tuple(Applied(version, stamp=stamp) for version, stamp in (("2000", 2000), ("4000", 4000)))

    assert stand(planned(files, History(True, rows))) == [
        ("0000_a", State.PENDING, (Flag.OUT_OF_ORDER,)),
        ("2000", State.APPLIED, (Flag.MISSING,)),
        ("0001_b", State.PENDING, (Flag.OUT_OF_ORDER,)),
        ("4000", State.APPLIED, (Flag.AHEAD,)),
    ]


def stamped(version: str, stamp: int | None) -> Migration:
    return Migration(version, version, Script(f"{version}.sql", TEXT), "sum", stamp=stamp)


@pytest.mark.parametrize("kind", [Kind.REPEATABLE, Kind.BOOTSTRAP])
def test_a_rerunnable_script_that_lost_its_file_is_nothing_to_speak_of(kind: Kind) -> None:
    made = planned(folder(), History(True, (row("views", kind),)))

    assert made == Plan(())


# Changed


def test_plan_refuses_a_file_that_changed_after_it_was_applied() -> None:
    files = Folder("native", (Migration("0042", "add_email", Script("0042_add_email.sql", TEXT), "51ab00"),))
    made = planned(files, History(True, (row("0042", checksum="9f2c00"),)))

    assert [(finding.message, finding.hint, finding.exit_code) for finding in made.errors] == [
        (
            "0042_add_email.sql: changed after it was applied (recorded 9f2c…, found 51ab…)",
            "restore the file and put the change in a new migration, or accept it: pgready repair 0042",
            ExitCode.DIVERGED,
        )
    ]


@pytest.mark.parametrize("text", ["", "-- to be written\n"])
def test_a_file_that_was_recorded_while_it_was_empty_is_not_only_to_be_accepted(text: str) -> None:
    recorded = row("1", checksum="old", token_checksum=token_checksum(text))
    (finding,) = planned(folder("1"), History(True, (recorded,))).errors

    assert finding.message.endswith(
        ": changed after it was applied: it was recorded without a statement, and nothing of it has run"
    )
    assert finding.hint == (
        "have the next up run it: pgready repair 1 --not-done; or empty it again and write a new migration; "
        "where somebody has run it by hand: pgready repair 1"
    )


def test_checksums_are_shown_up_to_where_they_differ() -> None:
    files = Folder("native", (migration("1", checksum="abcdef1"),))
    made = planned(files, History(True, (row("1", checksum="abcdef2"),)))

    assert "(recorded abcdef2, found abcdef1)" in made.errors[0].message


@pytest.mark.parametrize(
    ("recorded", "found", "told"),
    [
        ("abcdef1234", "abcdef9234", "(recorded abcdef1…, found abcdef9…)"),
        ("-1193849269", "145", "(recorded -119…, found 145)"),
        ("abcde", "abc", "(recorded abcd…, found abc)"),
    ],
)
def test_checksums_of_any_length_are_shown_short(recorded: str, found: str, told: str) -> None:
    files = Folder("native", (migration("1", checksum=found),))

    assert told in planned(files, History(True, (row("1", checksum=recorded),))).errors[0].message


def test_a_failed_row_is_not_told_to_be_changed_too() -> None:
    failed = row("1", checksum="old", success=False)

    assert stand(planned(folder("1"), History(True, (failed,)))) == [("1", State.FAILED, ())]


NAMED, NAMELESS = row("9"), Applied("9", checksum="sum-9")


@pytest.mark.parametrize(
    ("files", "rows", "flag", "message", "hint"),
    [
        (
            folder("1", "2"), (row("2"),), Flag.OUT_OF_ORDER,
            "1_x.sql: pending out of order: a later migration is applied already",
            "give it a version after the newest one, or allow it: --out-of-order allow",
        ),
        (
            folder("1"), (row("1"), NAMED), Flag.AHEAD,
            "9 (x): applied, and newer than every file of this folder",
            "use the folder of the release that has it, or allow it: --ahead allow; "
            "where it is gone for good: pgready repair 9 --gone",
        ),
        (
            folder("10"), (NAMELESS, row("10")), Flag.MISSING,
            "9: applied, but the folder has no such file",
            "restore the file, or accept that it is gone: pgready repair 9",
        ),
        (
            folder("1"), (row("1", checksum="old", token_checksum=token_checksum(TEXT)),), Flag.COSMETIC,
            "1_x.sql: comments or white space changed after it was applied",
            "accept the new text: pgready repair 1",
        ),
        (
            folder("1"), (row("1", success=False),), None,
            "1_x.sql: the history says that it failed",
            "undo or complete it by hand, then: pgready repair 1 --done | --not-done",
        ),
        (
            folder("1"), (row("1", success=False, undo=True),), None,
            "1_x.sql: the history says that undoing it failed",
            "undo it by hand, or restore what the undo took, then: pgready repair 1 --done | --not-done; "
            "after --done the next up applies it again",
        ),
    ],
)  # fmt: skip
def test_a_finding_names_the_file_or_the_row_and_the_cure(
    files: Folder, rows: tuple[Applied, ...], flag: Flag | None, message: str, hint: str
) -> None:
    (finding,) = planned(files, History(True, rows)).findings

    assert (finding.version, finding.flag) == (message.split("_")[0].split(" ")[0].strip(":"), flag)
    assert (finding.message, finding.hint) == (message, hint)


def test_a_change_of_comments_and_white_space_alone_is_cosmetic() -> None:
    recorded = row("1", checksum="old", token_checksum=token_checksum("create  table t (a int);"))
    files = Folder("native", (migration("1", text="create table t (a int); -- why\n"),))

    made = planned(files, History(True, (recorded,)))

    assert only(made).flags == (Flag.COSMETIC,)
    assert not made.errors


@pytest.mark.parametrize("tokens", [None, "of another text"])
def test_any_other_change_is_a_real_one(tokens: str | None) -> None:
    made = planned(folder("1"), History(True, (row("1", checksum="old", token_checksum=tokens),)))

    assert only(made).flags == (Flag.CHANGED,)


def test_where_the_dialect_keeps_no_checksum_nothing_is_changed() -> None:
    assert only(planned(folder("1"), History(True, (row("1", checksum=None),)))).flags == ()


@pytest.mark.parametrize("kind", [Kind.REPEATABLE, Kind.BOOTSTRAP])
def test_a_rerunnable_script_whose_content_changed_is_pending(kind: Kind) -> None:
    script = migration("views", kind)
    files = Folder("native", (), *((script,), ()) if kind is Kind.REPEATABLE else ((), (script,)))

    unchanged = planned(files, History(True, (row("views", kind),)))
    changed = planned(files, History(True, (row("views", kind, checksum="old"),)))

    assert only(unchanged).state is State.APPLIED
    assert only(changed).state is State.PENDING
    assert not changed.findings


# Failed and partly applied


def test_a_row_that_says_failed_is_refused_and_names_the_way_out() -> None:
    made = planned(folder("1"), History(True, (row("1", success=False),)))

    assert only(made).state is State.FAILED
    assert made.errors[0].exit_code is ExitCode.DIVERGED
    assert "pgready repair 1 --done | --not-done" in (made.errors[0].hint or "")


def marks(*states: SegmentState, version: str = "1", kind: Kind = Kind.VERSIONED) -> tuple[JournalRow, ...]:
    return tuple(JournalRow(kind, version, at, state, "sum") for at, state in enumerate(states))


def mark(segment: int, state: SegmentState, duration_ms: int | None) -> JournalRow:
    return JournalRow(Kind.VERSIONED, "1", segment, state, "sum", duration_ms)


@pytest.mark.parametrize(
    ("journal", "done", "started"),
    [
        (marks(DONE), 1, False),
        (marks(DONE, DONE, STARTED), 2, True),
        (marks(STARTED), 0, True),
        (marks(DONE, STARTED, DONE), 1, True),
        (tuple(reversed(marks(DONE, DONE))), 2, False),
    ],
)
def test_a_journal_without_a_row_is_partly_applied(
    journal: tuple[JournalRow, ...], done: int, started: bool
) -> None:
    entry = only(planned(folder("1"), History(True, (), journal)))

    assert (entry.state, entry.segments_done, entry.segment_started) == (State.PARTLY_APPLIED, done, started)


@pytest.mark.parametrize(
    ("journal", "done_ms"),
    [
        ((mark(0, DONE, 20), mark(1, DONE, 300), mark(2, STARTED, None)), 320),
        ((mark(0, DONE, 20), mark(1, DONE, None)), None),
        ((mark(0, STARTED, None),), 0),
    ],
)
def test_what_is_done_took_as_long_as_the_journal_says_where_it_knows_of_each_part(
    journal: tuple[JournalRow, ...], done_ms: int | None
) -> None:
    assert only(planned(folder("1"), History(True, (), journal))).done_ms == done_ms


def test_a_journal_of_another_kind_is_not_its_own() -> None:
    made = planned(folder("1"), History(True, (), marks(DONE, kind=Kind.REPEATABLE)))

    assert only(made).state is State.PENDING


def test_a_repeatable_that_was_begun_again_is_partly_applied_whatever_was_recorded() -> None:
    files = Folder("native", (), (migration("views", Kind.REPEATABLE),))
    recorded = History(
        True, (row("views", Kind.REPEATABLE),), marks(DONE, version="views", kind=Kind.REPEATABLE)
    )

    assert only(planned(files, recorded)).state is State.PARTLY_APPLIED


# Policies


@pytest.mark.parametrize(
    ("policy", "severities"),
    [(Policy.REFUSE, [Severity.ERROR]), (Policy.WARN, [Severity.WARNING]), (Policy.ALLOW, [])],
)
@pytest.mark.parametrize(
    ("name", "files", "recorded"),
    [
        ("out_of_order", folder("1", "2"), history("2")),
        ("ahead", folder("1"), history("1", "2")),
        ("missing", folder("2"), history("1", "2")),
        ("changed", folder("1"), History(True, (row("1", checksum="old"),))),
        (
            "cosmetic",
            folder("1"),
            History(True, (row("1", checksum="old", token_checksum=token_checksum(TEXT)),)),
        ),
    ],
)
def test_a_policy_decides_what_is_refused_warned_of_or_allowed(
    name: str, files: Folder, recorded: History, policy: Policy, severities: list[Severity]
) -> None:
    policies = Policies(**{name: policy})

    assert [finding.severity for finding in planned(files, recorded, policies).findings] == severities


def test_a_summary_counts_states_and_what_has_no_file() -> None:
    made = planned(
        folder("1", "3", "5"), History(True, history("1", "2", "9").applied, marks(DONE, version="5"))
    )

    assert summary(made) == Counts(
        total=5, applied=3, pending=1, partly_applied=1, failed=0, missing=1, ahead=1
    )


def test_a_summary_counts_what_failed() -> None:
    made = planned(folder("1"), History(True, (row("1", success=False),)))

    assert summary(made) == Counts(total=1, failed=1)


# Versions


def test_versions_compare_as_people_count() -> None:
    ordered = ["1", "1.2.9", "1.2.10", "1.9", "1.10", "1aa", "1b", "2", "9", "10_a", "10_b", "20240101000000"]
    shuffled = [*ordered[3:], *ordered[:3]]

    assert sorted(shuffled, key=version_key) == ordered
    assert sorted(["b1", "aa1"], key=version_key) == ["aa1", "b1"]
    assert version_key("007.02.3") == version_key("7.2.03")


@given(st.text(), st.text())
def test_any_two_versions_can_be_compared(one: str, other: str) -> None:
    a, b = version_key(one), version_key(other)

    assert (a < b) + (a == b) + (a > b) == 1


@given(
    st.sets(st.integers(0, 30)),
    st.sets(st.integers(0, 30)),
)
def test_planning_is_set_membership(files: set[int], recorded: set[int]) -> None:
    made = planned(folder(*map(str, sorted(files))), history(*map(str, sorted(recorded))))

    assert {int(entry.version) for entry in made.entries} == files | recorded
    assert [int(entry.version) for entry in made.entries] == sorted(files | recorded)
    assert {int(entry.version) for entry in made.pending} == files - recorded


@pytest.mark.parametrize(
    ("segments", "done", "told"),
    [
        ((TRANSACTION, TRANSACTION), 0, ()),
        ((TRANSACTION, SINGLE, TRANSACTION), 0, ("1 statement runs outside a transaction",)),
        ((SINGLE, TRANSACTION, SINGLE), 0, ("2 statements run outside a transaction",)),
        ((SINGLE, TRANSACTION, SINGLE), 1, ("1 statement runs outside a transaction",)),
        ((SINGLE, TRANSACTION), 1, ()),
    ],
)
def test_what_is_left_to_do_tells_how_much_runs_outside_a_transaction(
    segments: tuple[SegmentKind, ...], done: int, told: tuple[str, ...]
) -> None:
    assert Work(Kind.VERSIONED, "1", segments, done).hazards == told


def test_what_the_folders_tool_never_looks_at_is_warned_of() -> None:
    made = planned(Folder("drizzle", skipped=("extra.sql",)), History(False))

    (finding,) = made.findings
    assert (finding.severity, finding.version, finding.flag) == (Severity.WARNING, "", None)
    assert finding.message == "extra.sql: not one of drizzle's migrations, and never run"
    assert finding.hint == "make a migration of it, or move it out of the folder"
