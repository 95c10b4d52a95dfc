"""A peer's folder as native files: names, texts, and what has no native form."""

from __future__ import annotations

import pytest

from pgready.core.model import Folder, Kind, Migration, Script
from pgready.core.takeover import native_files, native_text, unlike


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
    problems = unlike(native_files(Folder("peer", migrations=(migration("1", text="SELECT 1; COMMIT;"),))))

    assert problems[0].startswith("1.sql: cannot be written as migrations/1_x.sql")
