"""What Flyway's history says in the end, its checksums and keys, and what is put into its scripts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.database import Database
from pgready.core.compile import compile_script
from pgready.core.errors import Diverged, ScriptError, SettingsError, render
from pgready.core.model import Applied, Folder, Kind, Outcome, SourceFile
from pgready.core.segments import place
from pgready.dialects.base import Surroundings
from pgready.dialects.flyway import Flyway
from pgready.dialects.flyway_layout import checksum_of, number_of
from pgready.dialects.flyway_settings import read as read_settings

OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0")
FAILED_UNDO = """
INSERT INTO flyway_schema_history VALUES
    (1, '1', 'a', 'SQL', 'V1__a.sql', 1, 'app', now(), 1, true),
    (2, '1', 'a', 'UNDO_SQL', 'U1__a.sql', 7, 'app', now(), 1, false)
"""
NAMES = ("V1__a.sql", "V2__b.sql", "B2__base.sql", "V3__c.sql", "R__view.sql")


def folder_of(*names: str, text: str = "SELECT 1;", **environ: str) -> tuple[Flyway, Folder]:
    flyway = Flyway.made(Surroundings(environ=environ, user="app", database="shop"))
    return flyway, flyway.read([SourceFile(name, text.encode()) for name in names])


async def history(database: Database, flyway: Flyway, folder: Folder) -> tuple[Applied, ...]:
    async with database.connect() as connection:
        found = await connection.fetch(flyway.select_history(frozenset()))
    return flyway.match([dict(each) for each in found], folder)


def rows(*kinds: str) -> list[dict[str, Any]]:
    """Rows such as `1 SQL`, `2 SQL failed`, `view SQL`, in order."""
    made = []
    for rank, row in enumerate(kinds, start=1):
        what, kind, *failed = row.split()
        version, description = (what, "x") if what[0].isdigit() else (None, what)
        made.append(
            {
                "installed_rank": rank,
                "version": version,
                "description": description,
                "type": kind,
                "checksum": 1,
                "installed_by": "app",
                "installed_on": None,
                "execution_time": 1,
                "success": not failed,
            }
        )
    return made


def matched(*kinds: str) -> list[str]:
    flyway, folder = folder_of(*NAMES)
    return sorted(each.version for each in flyway.match(rows(*kinds), folder))


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (["1 SQL"], ["1", "B2"]),
        (["1.0 SQL", "02 SQL"], ["1", "2", "B2"]),
        (["2 BASELINE"], ["1", "2", "B2"]),
        (["2 SQL_BASELINE", "3 SQL"], ["1", "2", "3", "B2"]),
        (["1 SQL", "2 SQL", "2 UNDO_SQL"], ["1", "B2"]),
        (["1 SQL", "2 SQL", "2 UNDO_SQL", "2 SQL"], ["1", "2", "B2"]),
        (["1 SQL", "9 SQL", "9 DELETE"], ["1", "B2"]),
        (["1 SQL", "9 SQL"], ["1", "9", "B2"]),
        (["1 SQL", "view SQL", "view SQL"], ["1", "B2", "R__view"]),
        (["1 SQL", "view SQL", "view DELETE"], ["1", "B2"]),
        (["made SCHEMA"], ["1", "2"]),
        ([], ["1", "2"]),
    ],
)
def test_the_newest_row_of_each_version_counts(recorded: list[str], expected: list[str]) -> None:
    assert matched(*recorded) == expected


def test_a_failed_row_is_told() -> None:
    flyway, folder = folder_of("V1__a.sql")

    applied = flyway.match(rows("1 SQL failed"), folder)

    assert [(each.version, each.success) for each in applied] == [("1", False)]


@pytest.mark.parametrize("kind", ["UNDO_SQL", "DELETE"])
def test_a_failed_undo_is_told_as_one(kind: str) -> None:
    flyway, folder = folder_of("V1__a.sql")

    applied = flyway.match(rows("1 SQL", f"1 {kind} failed"), folder)

    assert [(each.version, each.success, each.undo) for each in applied] == [("1", False, True)]


async def test_an_undo_that_happened_keeps_its_own_script_and_checksum(database: Database) -> None:
    flyway, folder = folder_of("V1__a.sql")
    await database.execute(f"{flyway.create_history()};{FAILED_UNDO}")

    assert len(await history(database, flyway, folder)) == 1

    await database.execute(flyway.accept(folder.migrations[0], None))

    assert await history(database, flyway, folder) == ()
    kept = "SELECT script, checksum, success FROM flyway_schema_history WHERE type = 'UNDO_SQL'"
    assert await database.fetch(kept) == [("U1__a.sql", 7, True)]


def test_what_is_forgotten_is_the_newest_row_alone() -> None:
    flyway, folder = folder_of("V1__a.sql")
    applied = flyway.match(rows("1 SQL", "1 UNDO_SQL", "1 SQL"), folder)

    statement = flyway.forget(applied[0])

    assert statement.endswith("WHERE installed_rank OPERATOR(pg_catalog.=) 3")


async def test_a_repeatable_that_was_forgotten_is_applied_in_none_of_the_forms_that_it_had(
    database: Database,
) -> None:
    flyway, folder = folder_of("R__view.sql", "R__other.sql", text="SELECT 1;")
    later, changed = folder_of("R__view.sql", "R__other.sql", text="SELECT 2;")
    await database.execute(flyway.create_history())
    for dialect, view in ((flyway, folder.repeatables), (later, changed.repeatables)):
        for each in view:
            await database.execute(dialect.record(each, OUTCOME, frozenset()))
    await database.execute(later.forget((await history(database, later, changed))[1]))

    assert [each.version for each in await history(database, flyway, folder)] == ["R__other"]


async def test_of_a_repeatable_that_failed_the_failed_row_alone_is_forgotten(database: Database) -> None:
    flyway, folder = folder_of("R__view.sql")
    await database.execute(flyway.create_history())
    for _ in range(2):
        await database.execute(flyway.record(folder.repeatables[0], OUTCOME, frozenset()))
    await database.execute("UPDATE flyway_schema_history SET success = installed_rank = 1")
    failed = await history(database, flyway, folder)
    await database.execute(flyway.forget(failed[0]))

    left = await history(database, flyway, folder)
    assert [each.success for each in (*failed, *left)] == [False, True]


def test_a_repeatable_recorded_by_its_raw_text_has_not_changed() -> None:
    flyway, folder = folder_of("R__view.sql", text="SELECT '${who}';", FLYWAY_PLACEHOLDERS_WHO="Ann")
    recorded = rows("view SQL")
    recorded[0]["checksum"] = int(checksum_of("SELECT '${who}';"))

    applied = flyway.match(recorded, folder)

    assert applied[0].checksum == folder.repeatables[0].checksum == checksum_of("SELECT 'Ann';")
    assert (applied[0].kind, applied[0].version) == (Kind.REPEATABLE, "R__view")


@pytest.mark.parametrize(
    ("text", "checksum"),
    [  # as Flyway 13.0.0 recorded them
        ("create table a(id int);\n", "-1193849269"),
        ("alter table a add b int;\r\nselect 1;\r\n", "1457591355"),
        ("\ufeffcreate table a(id int);", "-1193849269"),
    ],
)
def test_a_checksum_is_flyways(text: str, checksum: str) -> None:
    assert checksum_of(text) == checksum


def test_versions_compare_as_numbers_without_their_last_zeros() -> None:
    assert number_of("1_10.0") == number_of("01.10") > number_of("1.9")


def test_its_lock_key_is_flyways() -> None:
    assert Flyway().lock_keys("any") == (77_433_833_903_597,)


def test_values_come_from_the_environment_whatever_the_case() -> None:
    text = "SELECT '${MY_name}', '${flyway:user}', '${flyway:database}', '${flyway:table}';"

    _, folder = folder_of("V1__a.sql", text=text, FLYWAY_PLACEHOLDERS_MY_NAME="Ann", FLYWAY_TABLE="log")

    assert folder.migrations[0].script.text == "SELECT 'Ann', 'app', 'shop', 'log';"
    assert folder.migrations[0].checksum == checksum_of(text)


def test_a_placeholder_without_a_value_is_refused_with_its_place_when_it_would_run() -> None:
    _, folder = folder_of("V1__a.sql", text="SELECT 1;\nSELECT '${nobody}';")

    with pytest.raises(ScriptError) as refused:
        compile_script(folder.migrations[0].script)

    assert str(refused.value.place) == "V1__a.sql:2:9"
    assert "FLYWAY_PLACEHOLDERS_NOBODY" in (refused.value.hint or "")


def test_an_error_quotes_the_file_and_not_the_value() -> None:
    _, folder = folder_of(
        "V1__a.sql", text="SELECT 1;\nSELECT '${key}' FRM x;", FLYWAY_PLACEHOLDERS_KEY="hunter2"
    )
    script = folder.migrations[0].script

    shown = render(ScriptError("syntax error", place=place(script, script.text.index("FRM"))))

    assert "SELECT '${key}' FRM x;" in shown
    assert "hunter2" not in shown


def test_another_default_schema_than_the_sessions_is_refused() -> None:
    flyway, _ = folder_of("V1__a.sql", FLYWAY_DEFAULT_SCHEMA="shop")

    with pytest.raises(SettingsError):
        flyway.settle("public")


def test_a_file_that_asks_for_the_schema_needs_the_one_that_was_put_in() -> None:
    flyway, _ = folder_of("V1__a.sql", text="CREATE TABLE ${flyway:defaultSchema}.a (id int);")

    with pytest.raises(SettingsError):
        flyway.settle("shop")


def test_its_table_is_where_the_session_creates_tables() -> None:
    flyway, _ = folder_of("V1__a.sql")

    flyway.settle("shop")

    assert str(flyway.table) == "shop.flyway_schema_history"


def test_a_row_without_a_file_keeps_its_version() -> None:
    flyway, folder = folder_of("V1__a.sql")

    applied = flyway.match(rows("7 JDBC"), folder)

    assert [(each.version, each.name) for each in applied] == [("7", "x (JDBC)")]


def test_a_version_that_a_baseline_stands_for_is_kept_in_no_row_of_ours() -> None:
    flyway, folder = folder_of("V1__a.sql", "R__view.sql")

    assert all(flyway.keeps(each) for each in (*folder.migrations, *folder.repeatables))
    assert not flyway.keeps(replace(folder.migrations[0], version="2"))


def test_settings_of_its_files_and_of_the_environment_are_read_and_the_nearest_wins() -> None:
    toml = b"[flyway]\nplaceholderReplacement = false\nschemas = ['shop', 'other']\ntable = 'log'"
    problems: list[str] = []

    found = read_settings(
        [SourceFile("flyway.toml", toml), SourceFile("flyway.conf", b"# flyway.x=1\nflyway.table=early")],
        {"HOME": "/root", "FLYWAY_PLACEHOLDER_PREFIX": "#["},
        problems,
    )

    assert problems == []
    assert (found.table, found.schema, found.prefix, found.replaces) == ("log", "shop", "#[", False)


def test_settings_that_cannot_be_read_are_a_problem() -> None:
    problems: list[str] = []

    read_settings([SourceFile("flyway.toml", b"a ="), SourceFile("flyway.conf", b"\xff")], {}, problems)

    assert [problem.partition(":")[0] for problem in problems] == ["flyway.conf", "flyway.toml"]


def test_what_a_baseline_stands_for_has_no_row_to_forget() -> None:
    flyway, folder = folder_of("V1__a.sql")
    flyway.match(rows(), folder)

    with pytest.raises(Diverged, match="baseline"):
        flyway.forget(Applied("1"))
