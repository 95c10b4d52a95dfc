"""The Compose files, brought up for real: the app starts when its schema is ready, and not otherwise."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from .compose import CHECKOUT, Project, docker, inspect, run, wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

Make = Callable[..., Project]
Folder = Callable[[Mapping[str, str | bytes]], Path]

BROKEN = {"0001_notes.sql": "CREATE TABLE notes (id bigint);\n\nALTER TABLE notse ADD COLUMN body text;\n"}
ENDLESS = {"0001_notes.sql": "CREATE TABLE notes (id bigint);\nSELECT pg_sleep(3600);\n"}
SLOW = {"0001_notes.sql": "CREATE TABLE notes AS SELECT 'slow' AS body;\nSELECT pg_sleep(6);\n"}
NOTE = "The schema was ready before the app was."
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()"
SECRETS = sorted((CHECKOUT / "compose" / "secrets").glob("*password.txt"))


def start(project: Project, *arguments: str) -> None:
    """Bring it up, and wait until the app has read its note."""
    result = project("up", "-d", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr + project.log("pgready")
    wait_until(lambda: NOTE in project.log("app"), "the app to read its note")


def answer(project: Project, path: str) -> tuple[int, dict[str, object]]:
    """What the published port answers: status and JSON."""
    address = project("port", "pgready", "8080").stdout.strip()
    try:
        with urlopen(f"http://{address}{path}", timeout=10) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("name", ["exit-code", "health-check", "secrets", "takeover"])
def test_the_app_starts_after_the_schema_is_ready(project: Make, name: str) -> None:
    compose = project(name)
    start(compose)
    ready = datetime.fromisoformat(compose.events("pgready", "run.ready")[0]["timestamp"])

    assert ready < compose.moment("app", "StartedAt")


def test_a_one_shot_ends_with_0_before_the_app_starts(project: Make) -> None:
    compose = project("exit-code")
    compose("up", "-d")

    assert compose.state("pgready")["ExitCode"] == 0
    assert compose.moment("pgready", "FinishedAt") < compose.moment("app", "StartedAt")


def test_up_wait_takes_a_gated_app_for_success(project: Make) -> None:
    result = project("exit-code")("up", "--wait")

    assert result.returncode == 0, result.stderr


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


def test_a_daemon_with_a_broken_migration_stays_to_say_why(project: Make, sql_folder: Folder) -> None:
    impatient = "services: {pgready: {healthcheck: {interval: 1s, start_period: 1s}}}\n"
    compose = project("health-check", sql_folder(BROKEN), impatient)
    result = compose("up", "-d")
    wait_until(lambda: "notse" in json.dumps(answer(compose, "/ready")), "the reason in /ready")
    live, _ = answer(compose, "/live")
    ready, _ = answer(compose, "/ready")

    assert result.returncode != 0
    assert not compose.has_started("app")
    assert (live, ready) == (200, 503)


def test_three_replicas_at_once_apply_each_migration_once(project: Make) -> None:
    compose = project("exit-code")
    start(compose, "--scale", "pgready=3")
    codes = [inspect(each)["State"]["ExitCode"] for each in compose.containers("pgready")]
    applied = [event["version"] for event in compose.events("pgready", "migration.applied")]

    assert codes == [0, 0, 0]
    assert sorted(applied) == ["0001", "0002"]


@pytest.mark.parametrize("user", ["65532:65532", "4321:8765"])
def test_it_migrates_under_any_uid_without_a_right_of_its_own(project: Make, user: str) -> None:
    compose = project("exit-code", override=f'services: {{pgready: {{user: "{user}"}}}}\n')
    start(compose)
    host = inspect(compose.container("pgready"))["HostConfig"]

    assert compose.state("pgready")["ExitCode"] == 0
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])


@pytest.mark.parametrize("name", ["exit-code", "health-check"])
def test_sigterm_in_mid_migration_leaves_nothing_behind(project: Make, sql_folder: Folder, name: str) -> None:
    stay_down = 'services: {pgready: {restart: "no"}}\n'
    compose = project(name, sql_folder(ENDLESS), stay_down)
    compose("up", "-d", "pgready")
    wait_until(lambda: compose.query(SLEEPING) == "1", "the migration to be in its statement")
    compose("kill", "-s", signal.SIGTERM.name, "pgready")
    wait_until(lambda: compose.state("pgready")["Status"] == "exited", "pgready to end", seconds=10)

    assert compose.state("pgready")["ExitCode"] == 143
    assert compose.query(SLEEPING) == "0"
    assert compose.query("SELECT to_regclass('notes') IS NULL") == "t"
    assert compose.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"


def test_a_database_restarted_in_mid_migration_is_waited_for(project: Make, sql_folder: Folder) -> None:
    compose = project("exit-code", sql_folder(SLOW))
    compose("up", "-d", "pgready")
    wait_until(lambda: compose.query(SLEEPING) == "1", "the migration to be in its statement")
    compose("restart", "-t", "0", "postgres")
    wait_until(lambda: compose.state("pgready")["Status"] == "exited", "pgready to end")

    assert compose.state("pgready")["ExitCode"] == 0, compose.log("pgready")
    assert compose.query("SELECT count(*) FROM notes") == "1"
    assert compose.query("SELECT count(*) FROM pgready.status") == "1"


def test_a_daemon_stays_ready_while_its_database_restarts(project: Make) -> None:
    compose = project("health-check")
    start(compose)
    compose("stop", "-t", "0", "postgres")
    ready, _ = answer(compose, "/ready")
    compose("start", "postgres")

    assert ready == 200
    assert compose.state("pgready")["Status"] == "running"


def test_an_app_behind_a_transaction_pooler_is_migrated_past_it(project: Make, pgbouncer_image: str) -> None:
    compose = project("pgbouncer", PGBOUNCER_IMAGE=pgbouncer_image)
    start(compose)
    connected = compose.events("pgready", "connect.succeeded")

    assert [event["pooler"] for event in connected if event["pooler"]] == []


def test_a_transaction_pooler_is_refused_with_the_setting_that_cures_it(
    project: Make, pgbouncer_image: str
) -> None:
    through = "postgresql://notes@pgbouncer:6432/notes"
    override = f"""services: {{pgready: {{
        environment: {{MIGRATION_DATABASE_URL: "{through}"}}, depends_on: [pgbouncer]}}}}\n"""
    compose = project("pgbouncer", override=override, PGBOUNCER_IMAGE=pgbouncer_image)
    compose("up", "-d")

    assert compose.state("pgready")["ExitCode"] == 2, compose.log("pgready")
    assert "PGREADY_DATABASE_URL" in compose.log("pgready")
    assert not compose.has_started("app")


def test_a_drizzle_project_is_taken_over_as_it_stands(project: Make) -> None:
    compose = project("takeover")
    start(compose)
    files = sorted((CHECKOUT / "compose" / "drizzle").glob("*.sql"))
    recorded = compose.query("SELECT hash FROM drizzle.__drizzle_migrations ORDER BY id").split()

    assert recorded == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert compose.query("SELECT to_regnamespace('pgready') IS NULL") == "t"


def test_no_password_stands_in_an_environment_or_a_log(project: Make) -> None:
    compose = project("secrets")
    start(compose)
    seen = "".join(
        json.dumps(inspect(compose.container(service))["Config"]) + compose.log(service)
        for service in ("pgready", "app")
    )

    assert [path.name for path in SECRETS if path.read_text().strip() in seen] == []


def test_three_roles_may_do_what_each_is_for(project: Make) -> None:
    compose = project("secrets")
    start(compose)
    owner = compose.query("SELECT relowner::regrole FROM pg_class WHERE relname = 'notes'", user="postgres")
    may = compose.query(
        "SELECT has_table_privilege('notes_app', 'notes', 'INSERT'),"
        " has_schema_privilege('notes_app', 'public', 'CREATE')",
        user="postgres",
    )

    assert (owner, may) == ("notes_owner", "t|f")


def test_a_file_that_is_saved_is_applied(project: Make, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(CHECKOUT / "compose" / "migrations", folder)
    compose = project("development", folder)
    start(compose)
    (folder / "0003_titles.sql").write_text("ALTER TABLE notes ADD COLUMN title text;\n")
    titles = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attname = 'title'"
    wait_until(lambda: compose.query(titles) == "1", "the new file to be applied", seconds=30)

    wait_until(lambda: answer(compose, "/ready")[0] == 200, "the daemon to be ready again", seconds=30)


def test_tools_start_only_when_they_are_asked_for(project: Make) -> None:
    compose = project("development")
    services = compose("config", "--services").stdout.split()
    compose("up", "-d", "postgres")
    told = {tool: compose("run", "--rm", tool) for tool in ("plan", "status", "schema")}

    assert sorted(services) == ["app", "pgready", "postgres"]
    assert [result.stderr for result in told.values() if result.returncode] == []
    assert "CREATE INDEX CONCURRENTLY" in told["plan"].stdout
    assert re.search(r"0001.*pending", told["status"].stdout)


def test_new_writes_a_file_that_belongs_to_whoever_asked(project: Make, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(CHECKOUT / "compose" / "migrations", folder)
    folder.chmod(0o777)
    compose = project("development", folder, UID="4321", GID="8765")
    result = compose("--profile", "tools", "run", "--rm", "new", "add", "users")
    written = folder / "0003_add_users.sql"

    assert (result.returncode, result.stdout.strip()) == (0, "/migrations/0003_add_users.sql"), result.stderr
    assert (written.stat().st_uid, written.stat().st_gid, written.read_text()) == (4321, 8765, "")


def test_a_new_file_is_waited_for_until_there_is_a_statement_in_it(project: Make, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(CHECKOUT / "compose" / "migrations", folder)
    folder.chmod(0o777)
    compose = project("development", folder)
    start(compose)
    compose("run", "--rm", "new", "titles")
    wait_until(lambda: compose.events("pgready", "folder.unsettled") != [], "the file to be seen")
    recorded = compose.query("SELECT count(*) FROM pgready.status")
    (folder / "0003_titles.sql").write_text("ALTER TABLE notes ADD COLUMN title text;\n")
    wait_until(lambda: compose.query("SELECT count(*) FROM pgready.status") == "3", "it to be applied")

    assert recorded == "2"


def test_an_init_container_runs_before_the_app_and_leaves_nothing(project: Make) -> None:
    compose = project("pre-start")
    start(compose)
    names = docker("ps", "-a", "--format", "{{.Names}}")

    assert compose.query("SELECT count(*) FROM pgready.status") == "2"
    assert f"{compose.name}-app-pre_start" not in names


def test_an_init_container_that_fails_keeps_the_app_down_and_says_why(
    project: Make, sql_folder: Folder
) -> None:
    compose = project("pre-start", sql_folder(BROKEN))
    result = compose("up", "-d")
    log = run("docker", "logs", f"{compose.name}-app-pre_start-0").stderr

    assert result.returncode != 0
    assert not compose.has_started("app")
    assert 'relation \\"notse\\" does not exist' in log
