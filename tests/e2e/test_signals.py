"""Promise 4: SIGTERM and SIGINT at any moment; nothing half done, no lock, no backend, never exit 0."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from harness import oracle
from harness.database import Database
from harness.oracle import noted
from harness.processes import COMMAND, Pgready, Result, Running
from pgready import migrate
from pgready.commands import process

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

LIMIT_SECONDS = 5.0
SIGNALS = [
    pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
]
STATEMENTS = {
    "a function that sleeps": "SELECT pg_sleep(30);",
    "a long INSERT": "INSERT INTO held SELECT n FROM generate_series(1, 2000000000) n;",
    "a wait for a table": "LOCK TABLE held;",
    "COPY data and a sleep": "COPY held (id) FROM stdin;\n2\n\\.\nSELECT pg_sleep(30);",
}
_AT_WORK = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'pgready %' AND datname = current_database() AND state = 'active'
  AND clock_timestamp() - query_start > interval '300 ms'
"""


def environment(database: Database) -> dict[str, str]:
    return {"PGREADY_DATABASE_URL": database.url, "PGREADY_LOG_LEVEL": "debug"}


async def at_work(database: Database, running: Running) -> None:
    """Wait until a statement of pgready has been running for a while."""
    async with database.connect() as connection:
        while not await connection.fetchval(_AT_WORK):
            assert running.exit_code is None, running.stderr
            await anyio.sleep(0.02)


async def stopped(running: Running, which: signal.Signals) -> int:
    """Send *which*; the exit code, if it comes in time."""
    running.signal(which)
    return (await running.wait(LIMIT_SECONDS)).exit_code


@pytest.fixture
async def held(database: Database) -> Database:
    """A database with the ledger and a table `held`."""
    await database.execute(f"{oracle.LEDGER} CREATE TABLE held (id integer)")
    return database


@pytest.mark.parametrize(("which", "code"), SIGNALS)
@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS.keys())
async def test_a_signal_in_mid_statement_leaves_nothing_half_done(
    statement: str, which: signal.Signals, code: int, held: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_done.sql": noted("0001"), "0002_long.sql": noted("0002") + statement})
    async with held.connect() as other, other.transaction():
        await other.execute("INSERT INTO held VALUES (1)")
        running = pgready.start("up", "--dir", folder, env=environment(held))
        await at_work(held, running)

        exit_code = await stopped(running, which)
        left = await oracle.leftovers(held)

    assert exit_code == code, running.stderr
    assert left == oracle.NOTHING
    assert await held.fetch("SELECT entry FROM ledger") == [("0001",)]
    assert await held.fetch("SELECT version FROM pgready.history") == [("0001",)]
    assert await held.fetch("SELECT id FROM held") == [(1,)]
    assert "Traceback" not in running.stderr
    told = json.loads(running.stderr.splitlines()[-1])
    assert (told["event"], told["applied"], told["version"]) == ("run.interrupted", 1, "0002")


@pytest.mark.parametrize(("which", "code"), SIGNALS)
async def test_a_signal_during_a_concurrent_index_is_healed_by_the_next_start(
    which: signal.Signals, code: int, held: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    index = "CREATE INDEX CONCURRENTLY held_id ON held (id);"
    folder = sql_folder({"0001_index.sql": noted("before") + index + noted("after")})
    async with held.connect() as other, other.transaction():
        await other.execute("INSERT INTO held VALUES (1)")
        running = pgready.start("up", "--dir", folder, env=environment(held))
        await at_work(held, running)
        exit_code = await stopped(running, which)
        left = await oracle.leftovers(held, indexes=False)

    again = await pgready("up", "--dir", folder, env=environment(held))

    assert exit_code == code, running.stderr
    assert left == oracle.NOTHING
    assert again.exit_code == 0, again.stderr
    assert await held.fetch("SELECT entry FROM ledger ORDER BY id") == [("before",), ("after",)]
    assert await held.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'held_id'::regclass")
    assert await oracle.leftovers(held) == oracle.NOTHING


@pytest.mark.parametrize(("which", "code"), SIGNALS)
async def test_a_signal_while_another_replica_has_the_lock_ends_the_wait_alone(
    which: signal.Signals, code: int, held: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_long.sql": noted("0001") + "LOCK TABLE held;"})
    async with held.connect() as other, other.transaction():
        await other.execute("INSERT INTO held VALUES (1)")
        first = pgready.start("up", "--dir", folder, env=environment(held))
        await first.wait_for("migration.started")
        second = pgready.start("up", "--dir", folder, env=environment(held))
        await second.wait_for("lock.waited")

        exit_code = await stopped(second, which)
        still_running = first.exit_code is None

    assert exit_code == code, second.stderr
    assert still_running
    assert (await first.wait()).exit_code == 0
    assert await held.fetch("SELECT entry FROM ledger") == [("0001",)]


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose connections are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("which", "code"), SIGNALS)
@pytest.mark.parametrize("port", ["never answers", "refuses"])
async def test_a_signal_while_connecting_ends_it(
    port: str, which: signal.Signals, code: int, black_hole: int, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_done.sql": "SELECT 1"})
    number = black_hole if port == "never answers" else 1
    url = f"postgresql://app:secret@127.0.0.1:{number}/app?sslmode=disable"
    running = pgready.start(
        "up", "--dir", folder, env={"PGREADY_DATABASE_URL": url, "PGREADY_LOG_LEVEL": "debug"}
    )
    await running.wait_for("phase.entered" if port == "never answers" else "connect.failed")

    exit_code = await stopped(running, which)

    assert exit_code == code, running.stderr
    assert "Traceback" not in running.stderr


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_a_daemon_that_is_idle_is_no_failure(
    which: signal.Signals, held: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_done.sql": noted("0001")})
    running = pgready.start("serve", "--dir", folder, "--port", "0", env=environment(held))
    await running.wait_for("stop with Ctrl-C")

    exit_code = await stopped(running, which)

    assert exit_code == 0, running.stderr
    assert await oracle.leftovers(held) == oracle.NOTHING


async def stopped_again_and_again(running: Running, which: signal.Signals) -> Result:
    """How it ends where *which* comes more than once, as from a terminal and from npm, which passes it on."""
    while running.exit_code is None:
        running.signal(which)
        await anyio.sleep(0.001)
    return await running.wait(LIMIT_SECONDS)


@pytest.mark.parametrize(("which", "code"), SIGNALS)
async def test_a_second_signal_changes_nothing_about_how_a_run_ends(
    which: signal.Signals, code: int, held: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_long.sql": noted("0001") + "SELECT pg_sleep(30);"})
    running = pgready.start("up", "--dir", folder, env=environment(held))
    await at_work(held, running)
    ended = await stopped_again_and_again(running, which)

    assert (ended.exit_code, "library.failed" in ended.stderr) == (code, False), ended.stderr
    assert await oracle.leftovers(held) == oracle.NOTHING


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_to_a_daemon_that_is_idle_is_no_failure(
    which: signal.Signals, held: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_done.sql": noted("0001")})
    running = pgready.start("serve", "--dir", folder, "--port", "0", env=environment(held))
    await running.wait_for("stop with Ctrl-C")
    ended = await stopped_again_and_again(running, which)

    assert (ended.exit_code, "library.failed" in ended.stderr) == (0, False), ended.stderr


async def test_sigterm_to_a_daemon_in_mid_migration_is_never_success(
    held: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_long.sql": noted("0001") + "SELECT pg_sleep(30);"})
    running = pgready.start("serve", "--dir", folder, "--port", "0", env=environment(held))
    await at_work(held, running)

    exit_code = await stopped(running, signal.SIGTERM)

    assert exit_code == 143, running.stderr
    assert await held.fetch("SELECT entry FROM ledger") == []
    assert await oracle.leftovers(held) == oracle.NOTHING


# As PID 1 the kernel drops every signal that has no handler (FIELD-NOTES 18).


def _as_pid_1(home: Path, environ: Mapping[str, str], *arguments: str | Path) -> Running:
    command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", COMMAND, *arguments]
    return Running(command, home, environ)


def _inner(running: Running) -> int:
    """The pgready process inside the namespace, by its number out here."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return int(children[0]) if children else 0


@pytest.fixture
def namespace(tmp_path: Path) -> Path:
    """Where the tests of PID 1 write; they need root, or a kernel that lets a user have namespaces."""
    return tmp_path / "pid-1"


@pytest.mark.parametrize(("which", "code"), SIGNALS)
async def test_a_signal_to_pid_1_ends_a_run(
    which: signal.Signals, code: int, held: Database, namespace: Path, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_long.sql": noted("0001") + "SELECT pg_sleep(30);"})
    environ = {**pgready.environment, **environment(held)}
    running = _as_pid_1(namespace, environ, "up", "--dir", folder)
    try:
        await at_work(held, running)
        os.kill(_inner(running), which)
        result = await running.wait(LIMIT_SECONDS)
    finally:
        running.kill()

    assert result.exit_code == code, result.stderr
    assert await held.fetch("SELECT entry FROM ledger") == []
    assert await oracle.leftovers(held) == oracle.NOTHING


async def test_sigterm_to_pid_1_that_serves_and_is_idle_is_no_failure(
    held: Database, namespace: Path, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_done.sql": noted("0001")})
    environ = {**pgready.environment, **environment(held)}
    running = _as_pid_1(namespace, environ, "serve", "--dir", folder, "--port", "0")
    try:
        await running.wait_for("stop with Ctrl-C")
        os.kill(_inner(running), signal.SIGTERM)
        result = await running.wait(LIMIT_SECONDS)
    finally:
        running.kill()

    assert result.exit_code == 0, result.stderr
    assert await oracle.leftovers(held) == oracle.NOTHING


async def _leave_a_lost_connection() -> int:
    asyncio.get_running_loop().create_future().set_exception(ConnectionError("nobody waits for this"))
    return 0


def test_a_connection_that_nobody_waits_for_any_more_is_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    code = process.finish(_leave_a_lost_connection, lambda _: None)

    assert code == 0
    assert caplog.records == []


@pytest.mark.parametrize("milliseconds", range(2, 82, 2))
async def test_a_cancelled_migrate_leaves_no_lock_and_no_backend(
    milliseconds: int, held: Database, sql_folder: SqlFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # not in the checkout, whose pgready.toml declares extensions
    folder = sql_folder(
        {"0001_done.sql": noted("0001"), "0002_long.sql": noted("0002") + "SELECT pg_sleep(30);"}
    )

    with anyio.move_on_after(milliseconds / 1000):
        # Without TLS: asyncpg, cancelled before it has asked for it, leaves an error that nobody awaits.
        await migrate(f"{held.url}?sslmode=disable", dir=folder)

    assert await oracle.leftovers(held, within_seconds=1) == oracle.NOTHING
    assert await held.value("SELECT count(*) FROM ledger") <= 1
