"""A peer's folder as native files: names, texts, and what has no native form."""

from __future__ import annotations

import pytest

from pgready.core.model import Applied, Folder, Kind, Migration, Script, SourceFile, Unrunnable
from pgready.core.planning import Entry, Finding, Flag, Plan, Severity, State
from pgready.core.takeover import (
    baselines,
    clashing,
    doubts,
    gaps,
    native_files,
    native_text,
    paired,
    unlike,
)


def migration(version: str, name: str = "x", text: str = "SELECT 1;", revert: str | None = None) -> Migration:
    way_back = None if revert is None else Script(f"{version}.sql", revert)
    return Migration(version, name, Script(f"{version}.sql", text), "c", revert=way_back)


def paths(*migrations: Migration) -> list[str]:
    return [file.path for file in native_files(Folder("peer", migrations=migrations))]


def test_numbers_that_ascend_stay_the_versions() -> None:
    assert paths(migration("00009", "a"), migration("10", "b")) == [
        "migrations/00009_a.sql",
        "migrations/10_b.sql",
    ]


@pytest.mark.parametrize("versions", [("1.1", "1.2"), ("2", "1"), ("1", "01"), ("20250101_init", "3")])
def test_other_versions_are_numbered_and_kept_in_the_name(versions: tuple[str, str]) -> None:
    first, second = paths(*(migration(version, "a") for version in versions))

    assert first == f"migrations/0001_{versions[0]}_a.sql"
    assert second == f"migrations/0002_{versions[1]}_a.sql"


def test_what_a_name_may_not_hold_is_replaced() -> None:
    assert paths(migration("1", "add e-mail/phone")) == ["migrations/1_add_e-mail_phone.sql"]


def test_the_way_back_lies_beside_its_migration() -> None:
    assert paths(migration("1", revert="SELECT 2;")) == ["migrations/1_x.sql", "migrations/1_x.down.sql"]


def test_repeatables_get_their_own_folder() -> None:
    view = Migration("views", "views", Script("R__views.sql", "SELECT 1;"), "c", kind=Kind.REPEATABLE)

    assert native_files(Folder("peer", repeatables=(view,)))[0].path == "repeatable/views.sql"


def test_a_separator_becomes_a_semicolon() -> None:
    script = Script("a.sql", "CREATE TABLE a (x int)--> break\nCREATE TABLE b (x int)", separator="--> break")
    files = native_files(Folder("peer", migrations=(Migration("1", "a", script, "c"),)))

    assert unlike(files) == []
    assert "int)\n;\n" in files[0].text


def test_a_script_without_a_transaction_says_so() -> None:
    text = native_text(Script("a.sql", "VACUUM;", transactional=False))

    assert text == "-- pgready: no-transaction\nVACUUM;\n"


def test_values_from_the_environment_are_not_written_down() -> None:
    script = Script("a.sql", "SELECT 'hunter2';", written="SELECT '${PASSWORD}';", values=("hunter2",))
    files = native_files(Folder("peer", migrations=(Migration("1", "a", script, "c"),)))

    problems = unlike(files)

    assert len(problems) == 1
    assert "environment" in problems[0] and "hunter2" not in problems[0]


def test_what_cannot_be_compiled_is_named() -> None:
    problems = unlike(native_files(Folder("peer", migrations=(migration("1", text="SELECT 1; ABORT;"),))))

    assert problems[0].startswith("1.sql: cannot be written as migrations/1_x.sql")


def test_what_cannot_be_run_is_not_written_in_its_own_words() -> None:
    script = Script("1_a.go", "", unrunnable=Unrunnable("is a program", "write SQL"))

    problems = unlike(native_files(Folder("peer", migrations=(Migration("1", "a", script, "c"),))))

    assert problems == ["1_a.go: cannot be written as migrations/1_a.sql: is a program"]


def test_a_native_file_is_written_as_utf8() -> None:
    (file,) = native_files(Folder("peer", migrations=(migration("1", text="SELECT 'é';"),)))

    assert file.source == SourceFile("migrations/1_x.sql", "SELECT 'é';\n".encode())


def rerunnable(path: str, version: str, kind: Kind = Kind.REPEATABLE) -> Migration:
    return Migration(version, version, Script(path, "SELECT 1;"), "c", kind=kind)


def test_files_of_side_folders_stay_where_they_are() -> None:
    folder = Folder(
        "peer",
        repeatables=(rerunnable("repeatable/views/all cats.sql", "views/all cats"),),
        bootstrap=(rerunnable("bootstrap/a/roles.sql", "a/roles", Kind.BOOTSTRAP),),
        checks=(Script("checks/deep/none.sql", "SELECT 1 WHERE false;"),),
    )

    assert [file.path for file in native_files(folder)] == [
        "repeatable/views/all cats.sql",
        "bootstrap/a/roles.sql",
        "checks/deep/none.sql",
    ]


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["a", "a_b", "b"], ["a.sql", "a_b.sql", "b.sql"]),
        (["view_b", "view2"], ["0001_view_b.sql", "0002_view2.sql"]),
        (["z", "a"], ["0001_z.sql", "0002_a.sql"]),
    ],
)
def test_repeatables_run_in_the_order_of_the_tool(names: list[str], written: list[str]) -> None:
    folder = Folder("peer", repeatables=tuple(rerunnable(f"R__{name}.sql", name) for name in names))

    assert [file.path.removeprefix("repeatable/") for file in native_files(folder)] == written


def test_what_stays_where_it_is_keeps_its_name_among_those_that_are_numbered() -> None:
    files = (rerunnable("R__z.sql", "z"), rerunnable("repeatable/a.sql", "a"))

    assert [file.path for file in native_files(Folder("peer", repeatables=files))] == [
        "repeatable/0001_z.sql",
        "repeatable/a.sql",
    ]


def test_two_files_with_one_native_path_are_a_problem() -> None:
    same = (rerunnable("R__Views.sql", "Views"), rerunnable("repeatable/views.sql", "views"))

    problems = clashing(native_files(Folder("peer", repeatables=same)))

    assert problems == ["R__Views.sql, repeatable/views.sql: both would be written as repeatable/views.sql"]


def test_a_baseline_migration_of_flyways_has_no_native_form() -> None:
    folder = Folder("flyway", migrations=(migration("5"), migration("B5")))

    assert baselines(folder) == ["B5.sql: Flyway's baseline migrations have no native form"]


def entry(version: str, state: State = State.APPLIED, *flags: Flag) -> Entry:
    file = None if Flag.MISSING in flags or Flag.AHEAD in flags else migration(version)
    return Entry(version, "x", Kind.VERSIONED, state, flags, Applied(version), file)


@pytest.mark.parametrize(
    "wrong",
    [
        entry("1", State.APPLIED, Flag.MISSING),
        entry("1", State.APPLIED, Flag.AHEAD),
        entry("1", State.APPLIED, Flag.CHANGED),
        entry("1", State.FAILED),
        entry("1", State.PARTLY_APPLIED),
    ],
)
def test_what_does_not_agree_is_in_doubt_whatever_the_policies_say(wrong: Entry) -> None:
    found = doubts(Plan((wrong,), findings=()))

    assert len(found) == 1
    assert found[0].hint and "allow" not in found[0].hint


def test_what_is_pending_out_of_order_is_in_no_doubt() -> None:
    refused = Finding(Severity.ERROR, "1", Flag.OUT_OF_ORDER, "1 is out of order")
    late = entry("1", State.PENDING, Flag.OUT_OF_ORDER)

    assert doubts(Plan((late, entry("2")), findings=(refused,))) == ()


def test_of_files_that_are_alike_the_number_tells_and_then_the_name() -> None:
    files = (migration("1", "a"), migration("2", "b"), migration("20250101", "c"))
    rows = (Applied("0003", "20250101_c"), Applied("0002", "other"))

    found = paired(files, rows)

    assert found == {"2": rows[1], "20250101": rows[0]}


def test_nothing_tells_which_of_two_alike_files_was_applied() -> None:
    assert paired((migration("1", "a"), migration("2", "b")), (Applied("9", "z"),)) is None


def test_as_many_rows_as_alike_files_are_paired_in_order() -> None:
    rows = (Applied("8", "y"), Applied("9", "z"))

    assert paired((migration("1", "a"), migration("2", "b")), rows) == {"1": rows[0], "2": rows[1]}


def test_what_is_pending_before_a_recorded_version_is_a_gap() -> None:
    entries = (entry("1", State.PENDING), entry("2", State.PENDING), entry("3", State.PENDING))

    problems = gaps(entries, {"2": Applied("0002")})

    assert len(problems) == 1
    assert problems[0].startswith("1 is pending")


def test_what_the_peer_alone_says_is_applied_is_a_gap() -> None:
    problems = gaps((entry("1"), entry("2")), {"1": Applied("0001")})

    assert problems == ["2 is applied there, and the native history has no such row"]
