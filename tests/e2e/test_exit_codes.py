"""A scenario for every exit code, and no piece of a password in any of them."""

from __future__ import annotations

import json
import random
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.database import Database
from harness.processes import Pgready, Result
from harness.server import free_port
from pgready.core.errors import ExitCode

Folder = Callable[[Mapping[str, str | bytes]], Path]

ONE = {"1_a.sql": "CREATE TABLE a (x int);"}
TWO = {**ONE, "2_b.sql": "CREATE TABLE b (x int);"}


async def run(pgready: Pgready, command: str, folder: Path, url: str, *more: str, **env: str) -> Result:
    arguments: tuple[str | Path, ...] = (command, "--dir", folder, "--log-format", "console", *more)
    result = await pgready(*arguments, env={"DATABASE_URL": url, **env})
    assert "Traceback" not in result.stderr
    return result


async def test_0_when_all_is_applied_and_when_nothing_is_to_do(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder(ONE)

    first, again = [await run(pgready, "up", folder, database.url) for _ in range(2)]

    assert (first.exit_code, again.exit_code) == (ExitCode.DONE, ExitCode.DONE)


async def test_1_when_a_statement_fails(pgready: Pgready, sql_folder: Folder, database: Database) -> None:
    result = await run(pgready, "up", sql_folder({"1_a.sql": "SELECT 1 / 0;"}), database.url)

    assert result.exit_code == ExitCode.FAILED


async def test_1_when_a_check_returns_rows(pgready: Pgready, sql_folder: Folder, database: Database) -> None:
    folder = sql_folder({"migrations/1_a.sql": "CREATE TABLE a (x int);", "checks/x.sql": "SELECT 7 AS bad;"})

    result = await run(pgready, "up", folder, database.url)

    assert result.exit_code == ExitCode.FAILED
    assert "checks/x.sql:1:1" in result.stderr
    assert "bad=7" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--prot", "1"), "--port"),
        (("--dir", "/nowhere/at/all"), "no such folder"),
        (("--connect-timeout", "soon"), "connect"),
        (("--dialect", "drizle"), "did you mean drizzle"),
        (("--changed", "perhaps"), "refuse"),
    ],
)
async def test_2_when_it_is_called_wrongly(
    arguments: tuple[str, ...], words: str, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    result = await run(pgready, "up", sql_folder(ONE), database.url, *arguments)

    assert result.exit_code == ExitCode.USAGE
    assert words in result.stderr


async def test_2_when_no_database_is_configured(pgready: Pgready, sql_folder: Folder) -> None:
    result = await pgready("up", "--dir", sql_folder(ONE))

    assert result.exit_code == ExitCode.USAGE
    assert "DATABASE_URL" in result.stderr
    assert "--embedded" in result.stderr


async def test_2_when_the_folder_is_another_tools(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    liquibase = {"00001_a.sql": "--liquibase formatted sql\n--changeset a:1\nCREATE TABLE a (x int);\n"}

    result = await run(pgready, "up", sql_folder(liquibase), database.url)

    assert result.exit_code == ExitCode.USAGE
    assert "Liquibase" in result.stderr
    assert await database.value("SELECT to_regclass('a') IS NULL")


async def test_3_when_the_port_is_closed(pgready: Pgready, sql_folder: Folder) -> None:
    url = f"postgresql://app:pw@127.0.0.1:{free_port()}/app"

    result = await run(pgready, "up", sql_folder(ONE), url, "--connect-timeout", "1s")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert result.stderr.count("connect.failed") == 2, "the first, and the last"
    assert "attempts in 1 s" in result.stderr


async def test_3_when_the_host_does_not_resolve(pgready: Pgready, sql_folder: Folder) -> None:
    url = "postgresql://app:pw@no-such-host.invalid/app"

    result = await run(pgready, "up", sql_folder(ONE), url, "--connect-timeout", "1s")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "gave up after" in result.stderr


async def test_3_when_nobody_answers(pgready: Pgready, sql_folder: Folder) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://app:pw@127.0.0.1:{silent.getsockname()[1]}/app?sslmode=disable"

        result = await run(pgready, "up", sql_folder(ONE), url, "--connect-timeout", "2s")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "no answer in time" in result.stderr


async def test_4_when_the_password_is_wrong_at_once(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    url = database.server.url(database.name, password="wrong")

    result = await run(pgready, "up", sql_folder(ONE), url, "--connect-timeout", "60s")

    assert result.exit_code == ExitCode.DENIED
    assert result.seconds < 20
    assert result.stderr.count("connect.failed") == 1


async def test_4_when_a_privilege_is_missing(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    app = await database.role("app")

    result = await run(pgready, "up", sql_folder(ONE), app.url)

    assert result.exit_code == ExitCode.DENIED


async def test_5_when_another_holds_the_lock_and_it_is_named(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    slow = sql_folder({"1_a.sql": "SELECT pg_sleep(60);"})
    holder = pgready.start("up", "--dir", slow, "--log-level", "debug", env={"DATABASE_URL": database.url})
    await holder.wait_for("migration.started")

    result = await run(pgready, "up", slow, database.url, "--lock-timeout", "1s", HOSTNAME="second")

    assert result.exit_code == ExitCode.LOCKED
    assert "held by another: pid" in result.stderr
    assert "pgready" in result.stderr
    holder.signal(signal.SIGTERM)
    assert (await holder.wait(10)).exit_code == ExitCode.TERMINATED
    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_5_and_of_wait_7_when_the_history_stays_locked_and_who_locks_it_is_named(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder(ONE)
    await run(pgready, "up", folder, database.url)

    async with database.connect() as holder:
        await holder.execute("SET application_name = 'billing'; BEGIN; LOCK TABLE pgready.history")
        looked = [
            await run(pgready, command, folder, database.url, "--relation-lock-timeout", "1s")
            for command in ("up", "status", "plan")
        ]
        waited = await run(pgready, "wait", folder, database.url, "--timeout", "2s")

    assert [result.exit_code for result in looked] == [ExitCode.LOCKED] * 3
    assert [result.stderr.count("history.locked") > 0 for result in looked] == [True] * 3
    assert waited.exit_code == ExitCode.PENDING
    for result in (*looked, waited):
        assert "the history stayed locked" in result.stderr
        assert "billing, idle in transaction" in result.stderr
    assert waited.seconds < 8


@pytest.mark.parametrize(
    ("then", "more"),
    [
        pytest.param({"1_a.sql": "CREATE TABLE a (y int);", "2_b.sql": TWO["2_b.sql"]}, (), id="changed"),
        pytest.param({"2_b.sql": TWO["2_b.sql"]}, (), id="missing"),
        pytest.param(
            {**TWO, "1_a.sql": ONE["1_a.sql"], "0_z.sql": "SELECT 1;"},
            ("--out-of-order", "refuse"),
            id="out of order",
        ),
    ],
)
async def test_6_when_history_and_folder_diverge(
    then: dict[str, str], more: tuple[str, ...], pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    await run(pgready, "up", sql_folder(TWO), database.url)

    result = await run(
        pgready, "up", sql_folder({**then, "3_c.sql": "CREATE TABLE c ();"}), database.url, *more
    )

    assert result.exit_code == ExitCode.DIVERGED
    assert await database.value("SELECT to_regclass('c') IS NULL")


async def test_an_older_image_is_well_with_a_newer_database(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    await run(pgready, "up", sql_folder(TWO), database.url)

    result = await run(pgready, "up", sql_folder(ONE), database.url)

    assert result.exit_code == ExitCode.DONE
    assert "ahead" in result.stdout


async def test_7_when_something_is_pending(pgready: Pgready, sql_folder: Folder, database: Database) -> None:
    folder = sql_folder(ONE)

    status = await run(pgready, "status", folder, database.url, "--exit-code")
    waited = await run(pgready, "wait", folder, database.url, "--timeout", "1s")
    await run(pgready, "up", folder, database.url)
    status_after = await run(pgready, "status", folder, database.url, "--exit-code")
    waited_after = await run(pgready, "wait", folder, database.url, "--timeout", "1s")

    assert (status.exit_code, waited.exit_code) == (ExitCode.PENDING, ExitCode.PENDING)
    assert "1 pending (1)" in waited.stderr
    assert (status_after.exit_code, waited_after.exit_code) == (ExitCode.DONE, ExitCode.DONE)


async def test_the_apps_own_role_may_wait_and_look(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    app = await database.role("app")
    folder = sql_folder(ONE)
    await run(pgready, "up", folder, database.url)

    waited = await run(pgready, "wait", folder, app.url, "--timeout", "5s")
    status = await run(pgready, "status", folder, app.url, "--exit-code")

    assert (waited.exit_code, status.exit_code) == (0, 0), waited.stderr + status.stderr


async def test_looking_changes_nothing(pgready: Pgready, sql_folder: Folder, database: Database) -> None:
    folder = sql_folder(TWO)
    before = database.dump()

    for command in ("status", "plan"):
        assert (await run(pgready, command, folder, database.url)).exit_code == 0
    await run(pgready, "wait", folder, database.url, "--timeout", "1s")

    assert database.dump() == before


@pytest.mark.parametrize(
    ("which", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
async def test_130_and_143_in_mid_statement_leave_nothing(
    which: signal.Signals, code: ExitCode, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder({"1_a.sql": "CREATE TABLE a (x int); SELECT pg_sleep(60);"})
    running = pgready.start("up", "--dir", folder, "--log-level", "debug", env={"DATABASE_URL": database.url})
    await running.wait_for("migration.started")

    running.signal(which)
    result = await running.wait(5)

    assert result.exit_code == code
    assert await database.value("SELECT to_regclass('a') IS NULL")
    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgready%'"
    assert await database.value(f"{ours} AND datname = current_database()") == 0


async def test_output_json_has_its_schema_number(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder(ONE)

    up = await run(pgready, "up", folder, database.url, "--output", "json")
    plan = await run(pgready, "plan", folder, database.url, "--output", "json")

    assert json.loads(up.stdout)["schema"] == 1
    assert json.loads(up.stdout)["migrations"][0]["state"] == "applied"
    assert json.loads(plan.stdout) == {
        "schema": 1,
        "dialect": "native",
        "differences": [],
        "pending": [],
        "findings": [],
        "bootstrap": {"cluster": False, "target": False, "missing": []},
    }


def passwords(count: int) -> list[str]:
    """Reproducible passwords with everything in them that a URL minds."""
    chosen = random.Random(20261124)
    return ["".join(chosen.choices("XYZQWJKV@:/?#[%", k=12)) for _ in range(count)]


@pytest.mark.timeout(600)  # a hundred processes, one after another
async def test_no_piece_of_a_wrong_password_is_in_any_output(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder(ONE)
    plain = database.server.url(database.name, password="PASSWORD")

    for password in passwords(100):
        pieces = {password[at : at + 3] for at in range(len(password) - 2)}
        url = plain.replace("PASSWORD", quote(password, safe=""))
        result = await pgready("up", "--dir", folder, env={"DATABASE_URL": url})

        assert result.exit_code == ExitCode.DENIED, result.stderr
        said = (result.stdout + result.stderr).replace(str(folder), "")
        assert not [piece for piece in pieces if piece in said], password
