"""The Compose files, brought up for real: the app starts when its schema is ready, and not otherwise."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from .compose import Project, wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

Make = Callable[..., Project]
Folder = Callable[[Mapping[str, str | bytes]], Path]

BROKEN = {"0001_notes.sql": "CREATE TABLE notes (id bigint);\n\nALTER TABLE notse ADD COLUMN body text;\n"}
ENDLESS = {"0001_notes.sql": "CREATE TABLE notes (id bigint);\nSELECT pg_sleep(3600);\n"}
NOTE = "The schema was ready before the app was."
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()"


def answer(project: Project, path: str) -> tuple[int, dict[str, object]]:
    """What the published port answers: status and JSON."""
    address = project("port", "pgready", "8080").stdout.strip()
    try:
        with urlopen(f"http://{address}{path}", timeout=10) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("name", ["exit-code", "health-check"])
def test_the_app_starts_after_the_schema_is_ready(project: Make, name: str) -> None:
    compose = project(name)
    result = compose("up", "-d")
    assert result.returncode == 0, result.stdout + result.stderr + compose.log("pgready")
    wait_until(lambda: NOTE in compose.log("app"), "the app to read its note")
    ready = datetime.fromisoformat(compose.events("pgready", "run.ready")[0]["timestamp"])

    assert ready < compose.moment("app", "StartedAt")


def test_a_one_shot_ends_with_0_before_the_app_starts(project: Make) -> None:
    compose = project("exit-code")
    compose("up", "-d")

    assert compose.state("pgready")["ExitCode"] == 0
    assert compose.moment("pgready", "FinishedAt") < compose.moment("app", "StartedAt")


def test_a_daemon_answers_on_its_port_and_ends_with_0_when_it_is_stopped(project: Make) -> None:
    compose = project("health-check")
    compose("up", "-d")
    health = compose.state("pgready")["Health"]["Status"]
    ready, _ = answer(compose, "/ready")
    listed, migrations = answer(compose, "/migrations")
    compose("stop", "-t", "5", "pgready")

    assert (health, ready, listed) == ("healthy", 200, 200)
    assert "index_notes" in json.dumps(migrations)
    assert compose.state("pgready")["ExitCode"] == 0


def test_a_broken_migration_keeps_the_app_down_and_says_why(project: Make, sql_folder: Folder) -> None:
    compose = project("exit-code", sql_folder(BROKEN))
    result = compose("up", "-d")
    failed = compose.events("pgready", "run.failed")[0]

    assert result.returncode != 0
    assert compose.state("pgready")["ExitCode"] == 1
    assert not compose.has_started("app")
    assert failed["place"] == "0001_notes.sql:3:1"
    assert failed["message"] == 'relation "notse" does not exist'


def test_a_daemon_with_a_broken_migration_stays_to_say_why(
    project: Make, sql_folder: Folder, tmp_path: Path
) -> None:
    override = tmp_path / "override.yaml"
    override.write_text("services: {pgready: {healthcheck: {start_period: 1s}}}\n")
    compose = project("health-check", sql_folder(BROKEN), override)
    result = compose("up", "-d")
    live, _ = answer(compose, "/live")
    ready, reason = answer(compose, "/ready")

    assert result.returncode != 0
    assert not compose.has_started("app")
    assert (live, ready) == (200, 503)
    assert "notse" in json.dumps(reason)


@pytest.mark.parametrize("name", ["exit-code", "health-check"])
def test_sigterm_in_mid_migration_leaves_nothing_behind(project: Make, sql_folder: Folder, name: str) -> None:
    compose = project(name, sql_folder(ENDLESS))
    compose("up", "-d", "pgready")
    wait_until(lambda: compose.query(SLEEPING) == "1", "the migration to be in its statement")
    compose("kill", "-s", signal.SIGTERM.name, "pgready")
    wait_until(lambda: compose.state("pgready")["Status"] == "exited", "pgready to end", seconds=10)

    assert compose.state("pgready")["ExitCode"] == 143
    assert compose.query(SLEEPING) == "0"
    assert compose.query("SELECT to_regclass('notes') IS NULL") == "t"
    assert compose.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
