"""`pgready config` shows what is in effect and where it came from."""

from __future__ import annotations

import json

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
    assert found["missing"] == {"value": "refuse", "origin": "default"}
    assert found["roles"]["origin"] == "pgready.toml: role"


def test_table_has_a_row_for_every_setting_and_the_notices() -> None:
    lines = render(effective(), "table").splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines}

    assert {setting.name for setting in CATALOGUE} <= cells.keys()
    assert cells["extensions"] == ["vector", "pgready.toml:", "extensions"]
    assert cells["port"] == ["8080", "default"]
    assert lines[-1].startswith("note: DATABASE_URL: pgbouncer is ignored")


def test_secrets_are_masked_in_both() -> None:
    assert "hunter2" not in render(effective(), "table") + render(effective(), "json")
