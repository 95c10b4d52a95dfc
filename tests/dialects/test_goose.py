"""goose's rows, and the variables of ENVSUB: what is put in, and that nobody is shown it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError
from pgready.core.model import Folder, SourceFile
from pgready.core.segments import place, shown
from pgready.dialects.goose import Goose
from pgready.dialects.variables import Unreplaceable, Variables

ENVIRON = {"NAME": "joe", "EMPTY": "", "Ü1": "umlaut", "SECRET": "hunter2", "LINES": "a\nb"}
TEXT = """-- +goose Up
-- $NOT_READ is a comment
CREATE ROLE plain;
-- +goose ENVSUB ON
CREATE ROLE ${NAME} PASSWORD '$SECRET';
-- +goose ENVSUB OFF
SELECT '$NAME';
-- +goose Down
DROP ROLE joe;
"""


def read(**files: str) -> Folder:
    return Goose(ENVIRON).read([SourceFile(f"{name}.sql", text.encode()) for name, text in files.items()])


def rows(*versions: tuple[int, bool]) -> list[dict[str, Any]]:
    return [{"version_id": version, "is_applied": yes, "applied_at": None} for version, yes in versions]


def test_the_newest_row_of_a_version_decides_and_the_zero_row_is_none() -> None:
    folder = read(**{"00001_a": "-- +goose Up\nSELECT 1;", "00002_b": "-- +goose Up\nSELECT 1;"})
    applied = Goose().match(rows((0, True), (1, True), (2, True), (1, False), (7, True)), folder)

    assert [each.version for each in applied] == ["00002", "7"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("$NAME", "joe"),
        ("a${NAME}b", "ajoeb"),
        ("$NAME.$NAME", "joe.joe"),
        ("$MISSING", ""),
        ("${MISSING:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${MISSING-x}", "x"),
        ("${MISSING:-${NAME}}", "joe"),
        ("${NAME:-${MISSING?gone}}", "joe"),
        ("${NAME?gone}", "joe"),
        ("${NAME:1}", "oe"),
        ("${NAME: -2:1}", "o"),
        ("${NAME:0:-1}", "jo"),
        ("${NAME:9}", ""),
        ("${Ü1}", "umlaut"),
        ("$$NAME", "$NAME"),
        (r"\$NAME \\$NAME", r"$NAME \\joe"),
        ("$(date) 5$", "$(date) 5$"),
    ],
)
def test_variables_are_replaced_as_goose_replaces_them(line: str, text: str) -> None:
    assert Variables(ENVIRON).replaced(line) == text


@pytest.mark.parametrize(
    "line",
    ["$1", "${1}", "${NAME", "${NAME:x}", "${MISSING?gone}", "${NAME!}", "${NAME:-", "${MISSING-x", "$LINES"],
)
def test_a_variable_that_cannot_be_replaced_is_refused(line: str) -> None:
    with pytest.raises(Unreplaceable):
        Variables(ENVIRON).replaced(line)


def test_variables_are_replaced_between_envsub_on_and_off_alone() -> None:
    script = read(**{"1_a": TEXT}).migrations[0].script

    assert "CREATE ROLE joe PASSWORD 'hunter2';" in script.text
    assert "SELECT '$NAME';" in script.text


@pytest.mark.parametrize(("statement", "replaced"), [("SELECT 1; -- one", False), ("SELECT 1 -- one;", True)])
def test_comments_count_as_text_inside_a_statement_alone(statement: str, replaced: bool) -> None:
    text = f"-- +goose ENVSUB ON\n-- +goose Up\n{statement}\n-- $NAME\n;\n"
    script = read(**{"1_a": text}).migrations[0].script

    assert ("-- joe" in script.text) is replaced


def test_nobody_is_shown_what_a_variable_holds() -> None:
    script = read(**{"1_a": TEXT}).migrations[0].script
    at = script.text.index("CREATE ROLE joe")
    found = place(script, at)

    assert (found.line, found.excerpt) == (5, "CREATE ROLE ${NAME} PASSWORD ***;")
    assert shown(script, at, at + 20) == "CREATE ROLE ${NAME} PASSWORD ***;"


def test_a_required_variable_that_is_missing_is_named_where_the_file_is_to_be_run() -> None:
    text = "-- +goose ENVSUB ON\n-- +goose Up\nSELECT '${WHO?say who}';\n"
    script = read(**{"1_a": text}).migrations[0].script

    with pytest.raises(ScriptError) as refused:
        compile_script(script)

    assert (str(refused.value.place), refused.value.what) == ("1_a.sql:3:1", "ENVSUB: $WHO: say who")


async def test_a_program_that_goose_applied_is_no_obstacle(
    database: Database, sql_folder: Callable[[Any], Path], pgready: Callable[..., Awaitable[Any]]
) -> None:
    folder = str(sql_folder({"1_a.go": "package m", "2_b.sql": "-- +goose Up\nCREATE TABLE b (i int);\n"}))
    env = {"DATABASE_URL": database.url}

    before = await pgready("up", "--dir", folder, env=env)
    await database.execute(Goose().create_history())
    await database.execute("INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, true)")
    after = await pgready("up", "--dir", folder, env=env)

    assert (before.exit_code, after.exit_code) == (1, 0)
    assert "1_a.go:1:1" in before.stderr
    assert "is a program" in before.stderr


async def test_what_a_variable_holds_is_in_no_output(
    database: Database, sql_folder: Callable[[Any], Path], pgready: Callable[..., Awaitable[Any]]
) -> None:
    text = "-- +goose ENVSUB ON\n-- +goose Up\nDO $$$$ BEGIN PERFORM 'hush'::$SECRET; END $$$$;\n"
    folder = str(sql_folder({"1_a.sql": text}))
    env = {"DATABASE_URL": database.url, "SECRET": "hunter2"}

    plan = await pgready("plan", "--dir", folder, env=env)
    up = await pgready("up", "--dir", folder, env=env)

    assert plan.exit_code == 0, plan.stderr
    assert up.exit_code == 1
    assert "hunter2" not in plan.stdout + plan.stderr + up.stdout + up.stderr
    assert "***" in up.stderr
