"""What `new` writes is read back by the same dialect as its newest migration, and can be run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgready.core.errors import FolderError, SettingsError
from pgready.core.model import Folder, Migration, SourceFile
from pgready.dialects import detect, drafts
from pgready.dialects.base import Dialect
from pgready.files import read_folder

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 24, 9, 30, 15, tzinfo=UTC)

WRITTEN = [name for name in detect.DIALECTS if not detect.make(name).generator]
REFUSES_NOTHING = ("tern",)
"""Tools that refuse what has no statement yet; without one below its marker nothing reverts either."""

ONE_WAY = ("refinery",)
"""Tools without any way back."""

GENERATED = [name for name in detect.DIALECTS if detect.make(name).generator]
READABLE = [
    path.parent
    for path in sorted(HERE.glob("*/*/expected.json"))
    if path.parent.parent.name in WRITTEN and "problems" not in json.loads(path.read_text())
    if path.parent.name != "sorted-by-name"  # behind its 9 comes nothing: tests/e2e/test_new.py
]

Files = tuple[SourceFile, ...]


def read(files: Files, name: str) -> tuple[Dialect, Folder]:
    return detect.read(files, dialect=name, namespace="default")


def drafted(files: Files, name: str, *, down: bool = False, below: str = "") -> Files:
    dialect, folder = read(files, name)
    return drafts.versioned(dialect, folder, "add_users", below=below, now=NOW, down=down)


def empty(paths: str) -> Files:
    return tuple(SourceFile(path, b"") for path in paths.split())


def again(files: Files, new: Files, name: str) -> Folder:
    return read(tuple(sorted((*files, *new), key=lambda file: file.path)), name)[1]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("case", READABLE, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_a_golden_folder_gets_a_migration_that_runs_behind_its_newest(case: Path, down: bool) -> None:
    files, name = read_folder(str(case / "input")), case.parent.name
    before = read(files, name)[1]
    new = drafted(files, name, down=down and name not in ONE_WAY)
    newest = again(files, new, name).migrations[-1]

    assert newest.script.path == new[0].path
    assert newest.version not in {each.version for each in before.migrations}
    assert newest.script.unrunnable is None or name in REFUSES_NOTHING
    assert newest.name.replace("-", "_") == "add_users"


@pytest.mark.parametrize("case", READABLE, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_a_golden_folder_gets_a_repeatable_script_that_runs(case: Path) -> None:
    files, name = read_folder(str(case / "input")), case.parent.name
    dialect, folder = read(files, name)
    (new,) = drafts.repeatable(dialect, folder, "active_users", below="")
    found = again(files, (new,), name)

    assert new.path in [each.script.path for each in found.repeatables]
    assert len(found.migrations) == len(folder.migrations)


@pytest.mark.parametrize("name", [name for name in WRITTEN if name not in (*REFUSES_NOTHING, *ONE_WAY)])
def test_with_down_it_has_its_way_back_everywhere(name: str) -> None:
    new = drafted((), name, down=True)
    (migration,) = again((), new, name).migrations

    assert migration.revert is not None


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_in_it_that_would_be_run(name: str) -> None:
    (migration,) = again((), drafted((), name), name).migrations

    assert statements(migration) == []


def statements(migration: Migration) -> list[str]:
    return [line for line in migration.script.text.splitlines() if line and not line.startswith("--")]


@pytest.mark.parametrize(
    ("name", "files", "written"),
    [
        ("native", "", "0001_add_users.sql"),
        ("native", "migrations/07_a.sql repeatable/v.sql", "migrations/08_add_users.sql"),
        ("native", "20260101000000_a.sql", "20261124093015_add_users.sql"),
        ("goose", "", "20261124093015_add_users.sql"),
        ("goose", "00001_a.sql 00002_b.sql", "00003_add_users.sql"),
        ("dbmate", "", "20261124093015_add_users.sql"),
        ("golang-migrate", "", "20261124093015_add_users.up.sql 20261124093015_add_users.down.sql"),
        ("golang-migrate", "000041_a.up.sql", "000042_add_users.up.sql 000042_add_users.down.sql"),
        ("sqlx", "", "20261124093015_add_users.sql"),
        ("sqlx", "0001_a.sql", "0002_add_users.sql"),
        ("sqlx", "0001_a.up.sql 0001_a.down.sql", "0002_add_users.up.sql 0002_add_users.down.sql"),
        ("flyway", "", "V1__add_users.sql"),
        ("flyway", "V1__a.sql V1_9__b.sql", "V1_10__add_users.sql"),
        ("flyway", "V001__a.sql sub/V002__b.sql", "sub/V003__add_users.sql"),
        ("flyway", "V20260101000000__a.sql", "V20261124093015__add_users.sql"),
        ("flyway", "B7__a.sql", "V8__add_users.sql"),
        ("refinery", "", "V1__add_users.sql"),
        ("refinery", "V001__a.sql sub/V002__b.sql", "sub/V003__add_users.sql"),
        ("tern", "", "001_add_users.sql"),
        ("tern", "1_a.sql 2_b.sql", "3_add_users.sql"),
        ("node-pg-migrate", "", "1795512615000_add-users.sql"),
        ("node-pg-migrate", "1700000000000_a.sql", "1795512615000_add-users.sql"),
        ("node-pg-migrate", "20260101000000000_a.sql", "20261124093015000_add-users.sql"),
        ("node-pg-migrate", "001_a.up.sql 001_a.down.sql", "002_add-users.up.sql 002_add-users.down.sql"),
        ("node-pg-migrate", "001_a.sql 001_b.sql", "002_add-users.sql"),
    ],
)
def test_a_name_is_as_the_tool_would_give_it(name: str, files: str, written: str) -> None:
    assert [file.path for file in drafted(empty(files), name)] == written.split()


def test_the_first_of_all_goes_into_the_folder_that_is_there_for_it() -> None:
    assert [file.path for file in drafted((), "native", below=detect.MAIN)] == [
        "migrations/0001_add_users.sql"
    ]


@pytest.mark.parametrize("name", GENERATED)
def test_a_tool_that_makes_its_files_itself_is_named_with_its_command(name: str) -> None:
    with pytest.raises(FolderError, match=f"the folder is {name}'s") as refused:
        drafts.refuse_generated(detect.make(name), "add_users")

    assert "add_users" in (refused.value.hint or "")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_tool_whose_files_are_written_by_hand_is_refused_nothing(name: str) -> None:
    drafts.refuse_generated(detect.make(name), "add_users")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("add", "users"), "add_users"),
        (("Add Users!",), "add_users"),
        (("AddUsers",), "add_users"),
        (("add-users.sql",), "add_users"),
        (("../../etc/passwd",), "etc_passwd"),
        (("a/b\0c\n",), "a_b_c"),
        (("__x__",), "x"),
        (("Straße", "2"), "straße_2"),
        (("e\u0301te\u0301",), "été"),
    ],
)
def test_words_become_a_name_that_is_safe_in_a_files(words: tuple[str, ...], name: str) -> None:
    assert drafts.name_of(words) == name


@pytest.mark.parametrize("words", [("",), ("...",), ("_", "-"), (".sql",)])
def test_words_without_a_letter_are_no_name(words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="neither a letter nor a digit"):
        drafts.name_of(words)


def test_what_has_no_way_back_gets_no_file_for_one() -> None:
    with pytest.raises(SettingsError, match="refinery has no way back"):
        drafted((), "refinery", down=True)
