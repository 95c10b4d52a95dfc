"""The migration lock: who holds it is told, losing it applies nothing twice, and nothing of it is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import asyncpg
import pytest

import pgready
from harness.database import Database
from pgready.core.dsn import parse
from pgready.core.errors import LockLost, LockNotObtained, MigrationFailed, ScriptError
from pgready.core.events import Event, LockWaited, MigrationStarted
from pgready.database import lock
from pgready.database.connect import open_session
from pgready.database.session import Pooling, Session
from pgready.dialects.native import HISTORY

Folder = Callable[[Mapping[str, str | bytes]], Path]

KEYS = lock.keys_for(HISTORY)
ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
OURS = "datname = current_database() AND application_name LIKE 'pgready%'"
END_OURS = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}"
LEDGER = "CREATE TABLE ledger (version int)"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def session(database: Database, name: str = "rival") -> AsyncIterator[Session]:
    opened = await open_session(parse(database.url), application_name=name)
    try:
        yield opened
    finally:
        await opened.close()


async def test_two_sessions_never_hold_it_at_once(database: Database) -> None:
    async with session(database) as first, session(database) as second:
        assert await lock.try_take(first, KEYS)
        assert not await lock.try_take(second, KEYS)

        await lock.release(first, KEYS)

        assert await lock.try_take(second, KEYS)


@pytest.mark.parametrize(("good", "told"), [(99, ScriptError), (100, LockNotObtained)])
async def test_what_is_wrong_with_a_hundred_files_is_told_without_the_lock(
    good: int, told: type[Exception], database: Database, sql_folder: Folder
) -> None:
    scripts = {f"{number:03}_x.sql": "SELECT 1;" for number in range(good)}
    folder = sql_folder({**scripts, "999_x.sql": "SELECT 'never ends;"})

    async with session(database) as other:
        assert await lock.try_take(other, KEYS)
        with pytest.raises(told):
            await pgready.migrate(database.url, dir=folder, lock_timeout="1s")


async def test_all_keys_are_taken_or_none(database: Database) -> None:
    keys = lock.keys_for(HISTORY, peers=(4711,))

    async with session(database) as first, session(database) as second:
        assert await lock.try_take(first, KEYS)
        assert not await lock.try_take(second, keys)

        assert await database.value(f"{ADVISORY} AND objid = 4711") == 0


async def test_a_peer_that_waits_in_the_server_is_seen(database: Database) -> None:
    keys = lock.keys_for(HISTORY, peers=(4711,))
    async with session(database) as first, database.connect() as peer, anyio.create_task_group() as group:
        assert await lock.try_take(first, keys)
        assert await lock.peer_waiting(first, keys) is None

        group.start_soon(peer.execute, "SELECT pg_advisory_lock(4711)")
        while (waiting := await lock.peer_waiting(first, keys)) is None:
            await anyio.sleep(0.01)
        await lock.release(first, keys)

        assert waiting.pid == peer.get_server_pid()


async def test_a_peer_at_work_is_refused_by_the_fence_of_an_unproven_pooler(database: Database) -> None:
    keys = lock.keys_for(HISTORY, peers=(4711,))
    async with session(database) as ours, database.connect() as peer:
        ours.pooling = Pooling.UNPROVEN
        await peer.execute("SELECT pg_advisory_lock(4711)")

        with pytest.raises(asyncpg.InvalidTextRepresentationError, match="a peer is at work"):
            await ours.execute("BEGIN;" + ";".join(lock.fence(ours, keys, 0)))


async def test_whoever_holds_it_is_named(database: Database, sql_folder: Folder) -> None:
    events: list[Event] = []

    async with session(database, "pgready other-pod") as holder:
        assert await lock.try_take(holder, KEYS)
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url,
                dir=sql_folder({"1_a.sql": "CREATE TABLE a (x int);"}),
                on_event=events.append,
                lock_timeout="1s",
            )

    waited = [event.holder for event in events if isinstance(event, LockWaited)]
    assert waited[0] is not None
    assert (waited[0].pid, waited[0].application_name) == (holder.backend_pid, "pgready other-pod")
    assert f"pid {holder.backend_pid}, pgready other-pod" in given_up.value.what
    assert await database.value("SELECT to_regclass('a') IS NULL")


async def test_a_replica_goes_on_when_the_holder_is_gone(database: Database, sql_folder: Folder) -> None:
    waiting = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, LockWaited):
            waiting.set()

    async with session(database) as holder, anyio.create_task_group() as group:
        assert await lock.try_take(holder, KEYS)
        folder = sql_folder({"1_a.sql": "CREATE TABLE a (x int);"})
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=on_event))
        await waiting.wait()
        await database.value("SELECT pg_terminate_backend($1, 5000)", holder.backend_pid)

    assert await database.value("SELECT count(*) FROM pgready.history") == 1


async def test_a_lock_that_a_function_frees_lets_nothing_be_applied_twice(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE FUNCTION sly() RETURNS void LANGUAGE plpgsql"
        " AS $$ BEGIN EXECUTE 'SELECT pg_advisory_' || 'unlock_all()'; END $$;" + LEDGER
    )
    folder = sql_folder(
        {
            "1_a.sql": "INSERT INTO ledger VALUES (1); SELECT sly();",
            "2_b.sql": "INSERT INTO ledger VALUES (2); SELECT pg_sleep(0.2);",
            "3_c.sql": "INSERT INTO ledger VALUES (3);",
        }
    )

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(lambda: pgready.migrate(database.url, dir=folder))

    assert await database.fetch("SELECT version FROM ledger ORDER BY version") == [(1,), (2,), (3,)]


async def test_a_session_that_its_role_ends_when_idle_migrates_all_the_same(
    database: Database, sql_folder: Folder
) -> None:
    app = await database.role("app")
    await database.execute(
        f"ALTER ROLE {app.name} SET idle_session_timeout = '300ms';"
        f"ALTER ROLE {app.name} SET idle_in_transaction_session_timeout = '300ms';"
        f"GRANT CREATE ON DATABASE {database.name} TO {app.name};"
        f"{LEDGER}; GRANT ALL ON ledger TO {app.name}; GRANT CREATE ON SCHEMA public TO {app.name}"
    )
    # Folders that take long to be compiled leave the session idle between two statements.
    long = "INSERT INTO ledger SELECT 2 WHERE false;\n" * 20_000
    folder = sql_folder({"1_a.sql": "INSERT INTO ledger VALUES (1);", "2_b.sql": long})

    status = await pgready.migrate(app.url, dir=folder)

    assert status.ready
    assert await database.fetch("SELECT version FROM ledger") == [(1,)]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_backend_that_is_ended_in_mid_script_is_replaced_and_nothing_is_applied_twice(
    times: int, database: Database, sql_folder: Folder
) -> None:
    await database.execute(LEDGER)
    folder = sql_folder(
        {
            "1_a.sql": "INSERT INTO ledger VALUES (1);",
            "2_b.sql": "INSERT INTO ledger VALUES (2); SELECT pg_sleep(0.3);",
            "3_c.sql": "INSERT INTO ledger VALUES (3);",
        }
    )
    send, receive = anyio.create_memory_object_stream[str](100)

    def on_event(event: Event) -> None:
        if isinstance(event, MigrationStarted):
            send.send_nowait(event.version)

    async def end_backends() -> None:
        ended = 0
        async with receive:
            async for version in receive:
                if version == "2" and ended < times:
                    ended += 1
                    await database.execute(END_OURS)

    async with anyio.create_task_group() as group:
        group.start_soon(end_backends)
        status = await pgready.migrate(database.url, dir=folder, on_event=on_event)
        send.close()

    assert status.ready
    assert await database.fetch("SELECT version FROM ledger ORDER BY version") == [(1,), (2,), (3,)]


@pytest.mark.parametrize("segments", [1, 2])
async def test_a_version_that_another_records_meanwhile_is_not_applied_again(
    segments: int, database: Database, sql_folder: Folder
) -> None:
    """Somebody who does not take our lock is faster, between our look and our transaction."""
    text = "INSERT INTO ledger VALUES (1);" + "\nVACUUM ledger;" * (segments - 1)
    folder = sql_folder({"0_first.sql": LEDGER, "1_a.sql": text})
    await pgready.migrate(database.url, dir=sql_folder({"0_first.sql": LEDGER}))
    status = await pgready.status(database.url, dir=folder)
    checksum = next(each.checksum for each in status.migrations if each.version == "1")
    started: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, MigrationStarted):
            started.append(event.version)
            database.server.psql(
                "INSERT INTO pgready.history SELECT namespace, kind, '1', 'a',"
                f" '{checksum}', NULL, 1, now(), 1, 'rival', '0' FROM pgready.history",
                database.name,
            )

    status = await pgready.migrate(database.url, dir=folder, on_event=on_event)

    assert status.ready
    assert started == ["1"]
    assert await database.value("SELECT count(*) FROM ledger") == 0
    assert await database.fetch("SELECT applied_by FROM pgready.history WHERE version = '1'") == [("rival",)]


async def test_a_lock_that_is_taken_away_for_good_ends_in_the_code_to_try_again(
    database: Database, sql_folder: Folder
) -> None:
    async with session(database) as rival:
        # The fence alone: as if a pooler had given the lock's backend to somebody else.
        await rival.fetchval("SELECT pg_advisory_lock($1)", KEYS.fence)
        with pytest.raises(LockLost) as lost:
            await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": "CREATE TABLE a (x int);"}))

    assert lost.value.exit_code == 5
    assert await database.value("SELECT to_regclass('a') IS NULL")


@pytest.mark.parametrize(
    "text", ["SELECT 1 / 0;", "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON a (y);"]
)
async def test_a_refused_statement_frees_the_lock(text: str, database: Database, sql_folder: Folder) -> None:
    with pytest.raises(MigrationFailed):
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}))

    assert await database.value(ADVISORY) == 0


async def test_a_cancelled_run_frees_the_lock_and_leaves_nothing(
    database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder({"1_a.sql": "CREATE TABLE a (x int); SELECT pg_sleep(60);"})
    started = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, MigrationStarted):
            started.set()

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=on_event))
        await started.wait()
        group.cancel_scope.cancel()

    with anyio.fail_after(5):
        while await database.value(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}"):
            await anyio.sleep(0.01)
    assert await database.value(ADVISORY) == 0
    assert await database.value("SELECT to_regclass('a') IS NULL")
