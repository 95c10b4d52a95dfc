"""A server that is not there, not yet, or not for us: what `up`, `wait` and `serve` make of it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from chaos.network import Link
from harness.database import Database, connected
from harness.processes import Pgready, Running
from harness.server import Server, free_port

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

FIRST = {"0001_a.sql": "CREATE TABLE a (id integer);"}


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of this test's own, initialised and not running."""
    server = Server()
    try:
        server.initialise()
        yield server
    finally:
        server.remove()


def events(running: Running, name: str) -> list[dict[str, Any]]:
    """The log lines of one event."""
    lines = (json.loads(line) for line in running.stderr.splitlines() if line.endswith("}"))
    return [line for line in lines if line["event"] == name]


async def address(running: Running) -> str:
    """Where a daemon listens."""
    await running.wait_for("listening on")
    found = re.search(r"listening on (http://[^ \"]+)", running.stderr)
    assert found is not None
    return found[1]


async def ready_body(client: httpx.AsyncClient, url: str) -> tuple[int, dict[str, Any]]:
    answer = await client.get(f"{url}/ready", headers={"Accept": "application/json"})
    return answer.status_code, answer.json()


async def until_ready(client: httpx.AsyncClient, url: str) -> None:
    with anyio.fail_after(60):
        while (await client.get(f"{url}/ready?wait=5s")).status_code != 200:
            await anyio.sleep(0.05)


async def test_a_server_that_is_starting_up_is_waited_for(
    own_server: Server, tmp_path: Path, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    own_server.home.chmod(0o755)
    go = own_server.home / "go"
    # Recovery waits for this command, which ends when the test says so; until then it is 57P03.
    command = f"until [ -e {go} ]; do sleep 0.05; done; false"
    with (own_server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = '{command}'\n")
    signal_file = own_server.data / "recovery.signal"
    signal_file.touch()
    signal_file.chmod(0o666)

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, own_server.start)
        running = pgready.start("up", "--dir", sql_folder(FIRST), env={"DATABASE_URL": own_server.url()})
        await running.wait_for("starting up")
        go.touch()
        result = await running.wait()

    assert result.exit_code == 0, result.stderr
    assert own_server.psql("SELECT version FROM pgready.history") == "0001\n"


async def test_each_attempt_is_told_with_its_reason_and_its_pause(
    pgready: Pgready, sql_folder: SqlFolder
) -> None:
    url = f"postgresql://app:pw@127.0.0.1:{free_port()}/app"
    running = pgready.start(
        "up", "--dir", sql_folder(FIRST), "--connect-timeout", "2s", "--log-level", "debug",
        env={"DATABASE_URL": url},
    )  # fmt: skip

    result = await running.wait()

    attempts = events(running, "connect.failed")
    (failed,) = events(running, "run.failed")
    assert result.exit_code == 3
    assert [each["attempt"] for each in attempts] == list(range(1, len(attempts) + 1))
    assert all("Connection refused" in each["reason"] for each in attempts)
    assert "retry_seconds" not in attempts[-1]
    assert failed["exit_code"] == 3
    assert f"gave up after {len(attempts)} attempts in 2 s" in failed["message"]


async def test_whom_it_asks_is_told_while_there_is_no_answer(pgready: Pgready, sql_folder: SqlFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        url = f"postgresql://app:pw@{host}:{port}/app"
        running = pgready.start("up", "--dir", sql_folder(FIRST), env={"DATABASE_URL": url})
        await running.wait_for("target.located")

        assert events(running, "connect.failed") == []
        running.kill()


async def test_an_attempt_takes_no_longer_than_the_whole_patience(
    pgready: Pgready, sql_folder: SqlFolder
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        url = f"postgresql://app:pw@{host}:{port}/app?connect_timeout=30"
        result = await pgready(
            "up", "--dir", sql_folder(FIRST), "--connect-timeout", "1s", env={"DATABASE_URL": url}
        )

    assert result.exit_code == 3, result.stderr
    assert result.seconds < 20


async def test_the_time_that_was_spent_is_told(pgready: Pgready, sql_folder: SqlFolder) -> None:
    """Each host has a second, where the patience is less."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        url = f"postgresql://app:pw@{host}:{port},{host}:{port}/app"
        result = await pgready(
            "up", "--dir", sql_folder(FIRST), "--connect-timeout", "0", env={"DATABASE_URL": url}
        )

    assert "gave up after 1 attempt in 2 s" in result.stderr


async def test_wait_is_as_patient_as_its_own_timeout_says(pgready: Pgready, sql_folder: SqlFolder) -> None:
    url = f"postgresql://app:pw@127.0.0.1:{free_port()}/app"
    running = pgready.start(
        "wait", "--dir", sql_folder(FIRST), "--connect-timeout", "0", "--timeout", "3s",
        env={"DATABASE_URL": url},
    )  # fmt: skip

    result = await running.wait()

    assert result.exit_code == 3, result.stderr
    assert result.seconds > 2.5
    assert "retry_seconds" not in events(running, "connect.failed")[-1]
    assert "attempts in 3 s" in events(running, "run.failed")[0]["message"]


async def test_wait_waits_for_the_server_the_database_and_the_migrations(
    own_server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(FIRST)
    environment = {"DATABASE_URL": own_server.url("later")}
    waiting = pgready.start("wait", "--dir", folder, env=environment)
    await waiting.wait_for("Connection refused")

    await anyio.to_thread.run_sync(own_server.start)
    await waiting.wait_for('database \\"later\\" does not exist')
    own_server.psql("CREATE DATABASE later")
    up = await pgready("up", "--dir", folder, env=environment)
    result = await waiting.wait(30)

    assert up.exit_code == 0, up.stderr
    assert result.exit_code == 0, result.stderr


async def test_wait_names_the_database_that_never_came(
    server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    result = await pgready(
        "wait", "--dir", sql_folder(FIRST), "--timeout", "1s", env={"DATABASE_URL": server.url("never_made")}
    )

    assert result.exit_code == 7, result.stderr
    assert 'database \\"never_made\\" does not exist' in result.stderr
    assert server.psql("SELECT count(*) FROM pg_database WHERE datname = 'never_made'") == "0\n"


@pytest.mark.parametrize(("level", "shown"), [("debug", None), ("info", 2)])
async def test_the_attempts_of_wait_are_numbered_and_those_of_one_reason_told_seldom(
    level: str, shown: int | None, server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    running = pgready.start(
        "wait", "--dir", sql_folder(FIRST), "--timeout", "3s", "--log-level", level,
        env={"DATABASE_URL": server.url("never_made")},
    )  # fmt: skip
    await running.wait()
    *attempts, last = events(running, "connect.failed")

    numbers = [each["attempt"] for each in (*attempts, last)]
    assert all(each["retry_seconds"] > 0 for each in attempts) and "retry_seconds" not in last
    assert numbers[0] == 1 and last["attempt"] > 2
    assert len(numbers) == shown or numbers == list(range(1, len(numbers) + 1))


async def test_wait_is_right_when_the_database_is_ahead(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    app = await database.role("app")
    newer = sql_folder({**FIRST, "0002_b.sql": "CREATE TABLE b (id integer);"})
    await pgready("up", "--dir", newer, env={"DATABASE_URL": database.url})

    result = await pgready(
        "wait", "--dir", sql_folder(FIRST), "--timeout", "20s", env={"DATABASE_URL": app.url}
    )

    assert result.exit_code == 0, result.stderr


async def test_wait_ends_when_a_daemon_has_done_the_work(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    app = await database.role("app")
    folder = sql_folder({"0001_a.sql": "CREATE TABLE a (id integer); SELECT pg_sleep(1.5);"})
    waiting = pgready.start(
        "wait", "--dir", folder, env={"DATABASE_URL": app.url, "PGREADY_LOG_LEVEL": "debug"}
    )

    daemon = pgready.start("serve", "--dir", folder, "--port", "0", env={"DATABASE_URL": database.url})
    result = await waiting.wait(30)

    assert result.exit_code == 0, result.stderr
    assert daemon.exit_code is None
    assert await database.value("SELECT count(*) FROM pgready.history") == 1


async def test_a_daemon_answers_before_there_is_a_server_and_is_ready_once_it_comes(
    own_server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = pgready.start(
        "serve", "--dir", sql_folder(FIRST), "--port", "0", "--log-level", "debug",
        env={"DATABASE_URL": own_server.url()},
    )  # fmt: skip
    url = await address(daemon)
    async with httpx.AsyncClient() as client:
        with anyio.fail_after(1):
            live = await client.get(f"{url}/live")
            ready = await client.get(f"{url}/ready")
        await daemon.until(lambda: len(events(daemon, "connect.failed")) > 1, "a second attempt")
        status, body = await ready_body(client, url)
        await anyio.to_thread.run_sync(own_server.start)
        await until_ready(client, url)
        after = await client.get(f"{url}/live")

    assert (live.status_code, ready.status_code, status, after.status_code) == (200, 503, 503, 200)
    assert ready.headers["Retry-After"]
    assert "Connection refused" in json.dumps(body)
    assert own_server.psql("SELECT version FROM pgready.history") == "0001\n"


async def test_ready_tells_the_reason_and_the_attempts(pgready: Pgready, sql_folder: SqlFolder) -> None:
    port = free_port()
    daemon = pgready.start(
        "serve", "--dir", sql_folder(FIRST), "--port", "0", "--log-level", "debug",
        env={"DATABASE_URL": f"postgresql://app:pw@127.0.0.1:{port}/app"},
    )  # fmt: skip
    url = await address(daemon)
    await daemon.until(lambda: len(events(daemon, "connect.failed")) > 1, "a second attempt")

    async with httpx.AsyncClient() as client:
        status, body = await ready_body(client, url)

    assert status == 503
    assert body["attempts"]["count"] >= 2
    assert f"127.0.0.1:{port}" in body["reason"]


async def test_a_rotated_password_makes_a_daemon_ready_without_a_restart(
    server: Server, database: Database, tmp_path: Path, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    secret = tmp_path / "password"
    secret.write_text("out of date\n")
    daemon = pgready.start(
        "serve", "--dir", sql_folder(FIRST), "--port", "0",
        env={
            "DB_HOST": f"{server.host}", "DB_PORT": str(server.port), "POSTGRES_USER": "postgres",
            "POSTGRES_DB": database.name, "POSTGRES_PASSWORD_FILE": str(secret),
        },
    )  # fmt: skip
    url = await address(daemon)
    await daemon.wait_for("password authentication failed")
    async with httpx.AsyncClient(timeout=20) as client:
        status, body = await ready_body(client, url)
        secret.write_text(server.password + "\n")
        await until_ready(client, url)

    assert status == 503
    assert "password authentication failed" in json.dumps(body)
    assert "28P01" in json.dumps(body)
    assert await database.value("SELECT count(*) FROM pgready.history") == 1


DECLARED = """
extensions = ["hstore"]
[[role]]
name = "shop_app"
[[schema]]
name = "shop"
[[grant]]
privileges = ["usage"]
on = { schema = "shop" }
to = "shop_app"
[[grant]]
privileges = ["connect"]
on = "database"
to = "shop_app"
"""


async def test_a_plan_for_a_database_that_is_not_there_yet_is_of_an_empty_one(
    server: Server, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "pgready.toml").write_text(DECLARED)
    environ = {"DATABASE_URL": server.url("not_made"), "PGREADY_LOG_FORMAT": "console"}
    result = await pgready("plan", "--dir", sql_folder(FIRST), env=environ, cwd=place)

    assert result.exit_code == 0, result.stderr
    warning, *lines = result.stdout.splitlines()
    assert "the database not_made does not exist: what is said is of an empty one; is it the" in warning
    assert lines == [
        "bootstrap:",
        "  role shop_app: would be created, unless it is there",
        "  database not_made: would be created",
        "  schema shop: would be created",
        "  extension hstore: would be created",
        "  grant USAGE on schema shop to shop_app: would be granted",
        "  grant CONNECT on database to shop_app: would be granted",
        "0001 a (0001_a.sql)",
        "  in a transaction:",
        "    CREATE TABLE a (id integer)",
    ]
    assert "error" not in result.stderr and "connect.failed" not in result.stderr
    assert server.psql("SELECT count(*) FROM pg_database WHERE datname = 'not_made'") == "0\n"


async def test_the_status_of_a_database_that_is_not_there_yet_is_that_all_is_pending(
    server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    environ = {"DATABASE_URL": server.url("not_made")}
    arguments = ("status", "--dir", sql_folder(FIRST))
    shown = await pgready(*arguments, "--exit-code", env=environ)
    told = await pgready(*arguments, "--output", "json", env=environ)

    assert (shown.exit_code, told.exit_code) == (7, 0), shown.stderr + told.stderr
    assert shown.stdout.startswith("not up to date: 0 applied, 1 pending\n")
    assert "warning: the database not_made does not exist" in shown.stdout
    assert json.loads(told.stdout)["counts"]["pending"] == 1


async def test_the_first_tutorial_works_as_it_is_written(
    server: Server, pgready: Pgready, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "getting-started.md").read_text()
    (tutorial,) = re.findall("```sh\n(export DATABASE_URL=.*?)```", page, re.DOTALL)
    name = f"test_tutorial_{free_port()}"
    assignment, _, commands = tutorial.partition("\n")
    script = f'set -e; ours=$1; pgready() {{ "$ours" "$@"; }}\n{commands}'
    try:
        environ = {assignment.split()[1].partition("=")[0]: server.url(name)}
        result = await pgready.start(env=environ, cwd=tmp_path, shell=script).wait()
    finally:
        server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    assert result.exit_code == 0, result.stderr
    assert f"database {name}: would be created" in result.stdout
    assert "0001 customers applied" in " ".join(result.stdout.split())


async def test_a_folder_of_two_tools_has_no_plan_before_there_is_a_database_to_tell(
    server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"20260101000000_a.up.sql": "SELECT 1;", "20260101000000_a.down.sql": "SELECT 1;"})
    result = await pgready("plan", "--dir", folder, env={"DATABASE_URL": server.url("not_made")})

    assert result.exit_code == 2
    assert "say which it is: --dialect golang-migrate or --dialect sqlx" in result.stderr


@pytest.mark.parametrize(
    "command", [("down", "--yes"), ("repair", "0001"), ("baseline",), ("schema",)], ids=lambda each: each[0]
)
async def test_what_needs_the_database_says_once_that_up_creates_it(
    command: tuple[str, ...], server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    environ = {"DATABASE_URL": server.url("not_made"), "PGREADY_LOG_FORMAT": "console"}
    result = await pgready(*command, "--dir", sql_folder(FIRST), env=environ)

    assert result.exit_code == 3
    assert result.stderr.count('database "not_made" does not exist') == 1
    assert "hint: pgready up creates it" in re.sub(" --dir [^ ]+", "", result.stderr)


async def test_the_database_that_an_application_s_variables_name_is_migrated(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    environ = {
        "DB_HOST": server.host, "DB_PORT": str(server.port), "DB_USER": "postgres", "DB_NAME": database.name,
        "DB_PASSWORD": server.password, "POSTGRES_PASSWORD": server.password,
    }  # fmt: skip
    result = await pgready("up", "--dir", sql_folder(FIRST), env=environ)

    assert result.exit_code == 0, result.stderr
    assert await database.value("SELECT count(*) FROM pgready.history") == 1


async def test_a_missing_database_is_created(server: Server, pgready: Pgready, sql_folder: SqlFolder) -> None:
    try:
        result = await pgready("up", "--dir", sql_folder(FIRST), env={"DATABASE_URL": server.url("made_now")})
        async with connected(server, "made_now") as connection:
            versions = await connection.fetchval("SELECT array_agg(version) FROM pgready.history")
    finally:
        server.psql("DROP DATABASE IF EXISTS made_now WITH (FORCE)")

    assert result.exit_code == 0, result.stderr
    assert versions == ["0001"]


async def test_a_second_connection_that_is_cut_is_made_again(
    server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    """The administrator's, here; that of a pooler's probe goes the same way."""
    name = f"test_cut_{free_port()}"
    try:
        async with anyio.create_task_group() as group:
            link = Link(lambda: (server.host, server.port), lambda _: None, group)
            await link.open()
            link.refusing = True
            running = pgready.start(
                "up", "--dir", sql_folder(FIRST),
                env={
                    "PGREADY_DATABASE_URL": server.url(name),
                    "PGREADY_ADMIN_DATABASE_URL": server.url(port=link.port),
                },
            )  # fmt: skip
            await running.wait_for("connection.lost")
            link.refusing = False
            result = await running.wait()
            link.close()
    finally:
        async with connected(server, "postgres") as admin:
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    assert result.exit_code == 0, result.stderr


async def test_an_administrator_s_server_that_is_not_reached_is_waited_for_as_long_as_the_target_s(
    server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    port = free_port()
    result = await pgready(
        "up", "--dir", sql_folder(FIRST), "--connect-timeout", "8s",
        env={
            "PGREADY_DATABASE_URL": server.url("never_made"),
            "PGREADY_ADMIN_DATABASE_URL": f"postgresql://root:pw@127.0.0.1:{port}/postgres",
        },
    )  # fmt: skip

    assert result.exit_code == 3
    assert re.search(rf"127.0.0.1:{port}/postgres: Connection refused \(gave up after \d+ s\)", result.stderr)
    assert result.seconds > 8


async def test_a_standby_where_a_database_is_missing_is_waited_for_as_a_server_that_is_away(
    pgready: Pgready, sql_folder: SqlFolder
) -> None:
    """Where the primary has died, a client may come to the standby before it is promoted, or has all."""
    with Server.running() as server:
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        environ = {"DATABASE_URL": server.url("not_made")}
        folder = sql_folder(FIRST)
        running = pgready.start("up", "--dir", folder, "--connect-timeout", "60s", env=environ)
        await running.wait_for("for the server is a standby")
        server.psql("SELECT pg_promote()")
        result = await running.wait()

    assert result.exit_code == 0, result.stderr


async def test_an_administrator_s_server_that_is_silent_is_asked_once_in_the_time_that_is_left(
    server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        result = await pgready(
            "up", "--dir", sql_folder(FIRST), "--connect-timeout", "3s",
            env={
                "PGREADY_DATABASE_URL": server.url("never_made"),
                "PGREADY_ADMIN_DATABASE_URL": f"postgresql://root:pw@{host}:{port}/app",
            },
        )  # fmt: skip

    assert result.exit_code == 3, result.stderr
    assert re.search(rf"{port}/app: no answer in time \(gave up after [34] s\)", result.stderr)
