"""What `up` and `serve` leave behind for node_exporter and for Kubernetes, as processes do."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.database import Database
from harness.processes import Pgready

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

GOOD = {"migrations/0001_titles.sql": "CREATE TABLE titles (id integer);"}
BROKEN = {
    **GOOD,
    "migrations/0002_typo.sql": "CREATE TABLE seasons (id integer);\nALTER TABLE title ADD x integer;",
}
SLOW = {"migrations/0001_slow.sql": "SELECT pg_sleep(30);"}
NOBODY_LISTENS = "postgresql://app:hunter2@127.0.0.1:1/app"


def values(path: Path) -> dict[str, float]:
    families = text_string_to_metric_families(path.read_text())
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_the_figures_of_a_run_are_left_in_a_file(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "pgready.prom"
    env = {"DATABASE_URL": database.url, "PGREADY_METRICS_FILE": str(path)}
    await pgready("up", "--dir", sql_folder(GOOD), env=env)
    found = values(path)

    assert (found["pgready_ready"], found["pgready_run_exit_code"]) == (1, 0)
    assert found["pgready_migration_duration_seconds_count"] == 1
    assert database.server.password not in path.read_text()


async def test_a_failed_run_leaves_its_exit_code_and_the_last_success(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "pgready.prom"
    env = {"DATABASE_URL": database.url, "PGREADY_METRICS_FILE": str(path)}
    await pgready("up", "--dir", sql_folder(GOOD), env=env)
    success = values(path)["pgready_last_success_timestamp_seconds"]
    ended = await pgready("up", "--dir", sql_folder(BROKEN), env=env)
    found = values(path)

    assert (ended.exit_code, found["pgready_run_exit_code"], found["pgready_ready"]) == (1, 1, 0)
    assert found["pgready_last_success_timestamp_seconds"] == success


async def test_an_interrupted_run_leaves_the_exit_code_of_its_signal(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "pgready.prom"
    env = {"DATABASE_URL": database.url, "PGREADY_LOG_LEVEL": "debug"}
    running = pgready.start("up", "--dir", sql_folder(SLOW), "--metrics-file", path, env=env)
    await running.wait_for("migration.started")
    running.signal(signal.SIGTERM)
    ended = await running.wait()

    assert (ended.exit_code, values(path)["pgready_run_exit_code"]) == (143, 143)
    assert 'pgready_phase="migrating",target="' in path.read_text()
    assert not re.search('phase="migrating".* 1.0$', path.read_text(), re.MULTILINE), (
        "nothing migrates any more"
    )


async def test_a_file_that_cannot_be_written_changes_nothing_but_a_warning(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "no such folder" / "pgready.prom"
    ended = await pgready(
        "up", "--dir", sql_folder(GOOD), "--metrics-file", path, env={"DATABASE_URL": database.url}
    )

    assert ended.exit_code == 0
    assert '"event":"metrics.unwritten"' in ended.stderr


@pytest.mark.parametrize(
    ("option", "loaded"), [((), False), (("--metrics-file", "pgready.prom"), True)], ids=["without", "with"]
)
async def test_a_run_that_asks_for_no_file_loads_nothing_for_it(
    pgready: Pgready, sql_folder: SqlFolder, option: tuple[str, ...], loaded: bool
) -> None:
    ended = await pgready(
        "up",
        "--dir",
        sql_folder(GOOD),
        "--connect-timeout",
        "0",
        *option,
        env={"DATABASE_URL": NOBODY_LISTENS, "PYTHONPROFILEIMPORTTIME": "1"},
    )

    assert ended.exit_code == 3
    assert ("prometheus_client" in ended.stderr) is loaded
    assert "starlette" not in ended.stderr


async def test_kubernetes_is_told_where_it_broke_and_what_to_do_next(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "termination-log"
    path.write_bytes(b"")
    env = {"DATABASE_URL": database.url, "PGREADY_TERMINATION_LOG": str(path)}
    ended = await pgready("up", "--dir", sql_folder(BROKEN), env=env)
    told = path.read_text()

    assert ended.exit_code == 1
    assert told.startswith("error: migrations/0002_typo.sql:2:")
    assert 'relation "title" does not exist' in told
    assert "\n    2 | ALTER TABLE title ADD x integer;\n" in told
    assert json.loads(ended.stderr.splitlines()[-1])["hint"] in told.splitlines()[-1]


async def test_what_wait_has_waited_for_in_vain_is_told_to_kubernetes(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "termination-log"
    env = {"DATABASE_URL": database.url, "PGREADY_TERMINATION_LOG": str(path)}
    ended = await pgready("wait", "--dir", sql_folder(GOOD), "--timeout", "0", env=env)

    assert ended.exit_code == 7
    assert path.read_text().startswith("error: not ready after 0 s: 1 pending (0001)\nhint: is `pgready up ")


async def test_settings_that_cannot_be_used_are_told_to_kubernetes_too(
    pgready: Pgready, tmp_path: Path
) -> None:
    path = tmp_path / "termination-log"
    ended = await pgready("up", env={"PGREADY_PORT": "many", "PGREADY_TERMINATION_LOG": str(path)})

    assert ended.exit_code == 2
    assert path.read_text().startswith("error: PGREADY_PORT is not a port")


async def test_no_piece_of_a_password_is_told_to_kubernetes(
    pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "termination-log"
    env = {"DATABASE_URL": NOBODY_LISTENS, "PGREADY_TERMINATION_LOG": str(path)}
    await pgready("up", "--dir", sql_folder(GOOD), "--connect-timeout", "0", env=env)

    assert path.read_text().startswith("error: ")
    assert "hunter2" not in path.read_text()


async def test_a_success_tells_kubernetes_nothing(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "termination-log"
    path.write_bytes(b"")
    env = {"DATABASE_URL": database.url, "PGREADY_TERMINATION_LOG": str(path)}
    await pgready("up", "--dir", sql_folder(GOOD), env=env)

    assert path.read_bytes() == b""


async def test_a_daemon_tells_why_it_failed_until_it_is_ready(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    role = await database.role(options="LOGIN SUPERUSER")
    await database.execute(f"ALTER ROLE {role.name} PASSWORD 'another'")
    path = tmp_path / "termination-log"
    env = {"DATABASE_URL": role.url, "PGREADY_TERMINATION_LOG": str(path), "PGREADY_PORT": "0"}
    running = pgready.start("serve", "--dir", sql_folder(GOOD), env=env)
    await running.until(lambda: path.exists() and path.read_bytes() != b"", "the termination log")
    assert "password authentication failed" in path.read_text()
    await database.execute(f"ALTER ROLE {role.name} PASSWORD '{role.password}'")
    await running.wait_for("run.ready")
    await running.until(lambda: path.read_bytes() == b"", "the termination log to be empty again")

    assert running.exit_code is None
