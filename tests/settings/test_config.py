"""`pgready config` shows what is in effect and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pgready.commands.config import render
from pgready.settings import CATALOGUE, Settings, load

FILES = {"pgready.toml": "extensions = ['vector']\n[[role]]\nname = 'app'"}
ENVIRON = {"DATABASE_URL": "postgres://u:hunter2@h/d?pgbouncer=true", "PGREADY_LOCK_TIMEOUT": "5m"}


def effective() -> Settings:
    return load({"dir": "migrations"}, ENVIRON, FILES.get)


def test_json_has_every_setting_with_value_and_origin() -> None:
    document = json.loads(render(effective(), "json"))
    found = document["settings"]

    assert document["schema"] == 1
    assert {setting.name for setting in CATALOGUE} <= found.keys()
    assert found["database_url"] == {
        "value": "postgresql://u:***@h:5432/d?sslmode=prefer",
        "origin": "DATABASE_URL",
    }
    assert found["dir"] == {"value": "migrations", "origin": "--dir"}
    assert found["lock_timeout"] == {"value": "300s", "origin": "PGREADY_LOCK_TIMEOUT"}
    assert found["relation_lock_timeout"]["value"] == "600s"
    assert found["missing"] == {"value": "refuse", "origin": "default"}
    assert found["roles"]["origin"] == "pgready.toml: role"


def test_table_has_a_row_for_every_setting_and_the_notices() -> None:
    lines = render(effective(), "table").splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines}

    assert {setting.name for setting in CATALOGUE} <= cells.keys()
    assert cells["extensions"] == ["pgready.toml:", "extensions", "vector"]
    assert cells["port"] == ["default", "8080"]
    assert lines[-1].startswith("note: DATABASE_URL: pgbouncer is ignored")


DECLARED = """
extensions = ["extension_number_one", "extension_number_two", "extension_number_three"]
[database]
owner = "ann"
encoding = "UTF8"
[[grant]]
privileges = ["usage"]
on = { schema = ["a", "b"] }
to = ["app"]
[[grant]]
privileges = ["select", "insert"]
on = { all_tables = "a" }
to = ["app", "web"]
[[grant]]
privileges = ["connect"]
on = "database"
to = ["app"]
[[default_privileges]]
privileges = ["select"]
on = "tables"
schema = "a"
owner = "ann"
to = ["app"]
[[default_privileges]]
privileges = ["usage"]
on = "types"
to = ["app"]
"""


def test_table_tells_what_is_declared_in_words_a_line_each() -> None:
    lines = render(load({}, {}, {"pgready.toml": DECLARED}.get), "table").splitlines()
    indent = " " * 55
    told = lines[next(number for number, line in enumerate(lines) if line.startswith("database  ")) :]

    assert told == [
        "database               pgready.toml: database          owner ann",
        f"{indent}encoding UTF8",
        "roles                  default                         -",
        "schemas                default                         -",
        "extensions             pgready.toml: extensions        extension_number_one, extension_number_two,",
        f"{indent}extension_number_three",
        "grants                 pgready.toml: grant             USAGE on schema a, b to app",
        f"{indent}SELECT, INSERT on all tables in a to app, web",
        f"{indent}CONNECT on database to app",
        "default_privileges     pgready.toml: default_privileges",
        f"{indent}SELECT on new tables in a of ann to app",
        f"{indent}USAGE on new types to app",
    ]


def test_table_of_this_repository_s_own_file_fits_a_screen() -> None:
    own = (Path(__file__).parents[2] / "pgready.toml").read_text()
    lines = render(load({}, {}, {"pgready.toml": own}.get), "table").splitlines()

    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("written", "table", "document"),
    [
        ("600", "10m", "600s"),
        ("1m", "60s", "60s"),
        ("90s", "1m30s", "90s"),
        ("1h30m", "1h30m", "5400s"),
        ("24d", "24d", "2073600s"),
        ("1500ms", "1s500ms", "1.5s"),
        ("250ms", "250ms", "0.25s"),
        ("0", "0", "0s"),
        ("0.0001", "0.0001s", "0.0001s"),
    ],
)
def test_durations_are_as_people_write_them_and_seconds_for_programs(
    written: str, table: str, document: str
) -> None:
    settings = load({"lock_timeout": written}, {}, FILES.get)
    (line,) = [each for each in render(settings, "table").splitlines() if each.startswith("lock_timeout")]

    assert line.split() == ["lock_timeout", "--lock-timeout", table]
    assert json.loads(render(settings, "json"))["settings"]["lock_timeout"]["value"] == document


def test_secrets_are_masked_in_both() -> None:
    assert "hunter2" not in render(effective(), "table") + render(effective(), "json")
