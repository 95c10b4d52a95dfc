"""Another tool that waits in the server for its own lock: no statement outside a transaction meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

import pgready
from harness.database import Database
from pgready.core.errors import LockNotObtained
from pgready.core.events import Blocked, Event, MigrationStarted
from pgready.dialects.golang_migrate import GolangMigrate

Folder = Callable[[Mapping[str, str | bytes]], Path]

FILES = {
    "1_t.up.sql": "CREATE TABLE t (i int); SELECT pg_sleep(0.5);",
    "2_index.up.sql": "CREATE INDEX CONCURRENTLY t_i ON t (i);",
}
INDEX = "SELECT to_regclass('t_i') IS NOT NULL"
APPLIED = "SELECT version FROM schema_migrations"
JOURNALED = "SELECT count(*) FROM pgready.journal"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def waiting_peer(database: Database, begin: anyio.Event) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A session that waits for golang-migrate's key, until it is cancelled, from when *begin* is set."""
    key = GolangMigrate().lock_keys(database.name)[0]

    async def wait(peer: asyncpg.Connection[Any]) -> None:
        await begin.wait()
        with suppress(asyncpg.QueryCanceledError):
            await peer.execute(f"SELECT pg_advisory_lock({key})")

    async with database.connect() as peer, anyio.create_task_group() as group:
        group.start_soon(wait, peer)
        yield peer
        group.cancel_scope.cancel()


class Told:
    """What a run told: when it began to apply, and that it waits for a backend that waits for it."""

    def __init__(self) -> None:
        self.applying = anyio.Event()
        self._seen: dict[int, anyio.Event] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, MigrationStarted):
            self.applying.set()
        if isinstance(event, Blocked) and event.waited_seconds < 0.1:  # what the server blocks is told later
            for holder in event.holders:
                self.waits_for(holder.pid).set()

    def waits_for(self, pid: int) -> anyio.Event:
        return self._seen.setdefault(pid, anyio.Event())


async def cancel_when_seen(database: Database, peer: asyncpg.Connection[Any], told: Told) -> None:
    await told.waits_for(peer.get_server_pid()).wait()
    await database.execute(f"SELECT pg_cancel_backend({peer.get_server_pid()})")


async def up(database: Database, folder: Path, told: Told, **settings: str) -> None:
    await pgready.migrate(database.url, dir=folder, dialect="golang-migrate", on_event=told, **settings)


async def test_a_concurrent_index_waits_until_the_peer_gave_up(
    database: Database, sql_folder: Folder
) -> None:
    told = Told()

    async with waiting_peer(database, told.applying) as peer, anyio.create_task_group() as group:
        group.start_soon(cancel_when_seen, database, peer, told)
        await up(database, sql_folder(FILES), told)

    assert await database.value(INDEX)
    assert await database.value(APPLIED) == 2


async def test_a_peer_that_keeps_waiting_is_named_with_exit_5_and_nothing_is_left(
    database: Database, sql_folder: Folder
) -> None:
    told = Told()

    async with waiting_peer(database, told.applying) as peer:
        with pytest.raises(LockNotObtained) as given_up:
            await up(database, sql_folder(FILES), told, lock_timeout="1s")

    assert f"pid {peer.get_server_pid()}" in given_up.value.what
    assert await database.value(APPLIED) == 1
    assert await database.value(JOURNALED) == 0


async def test_a_concurrent_index_that_met_the_peer_in_a_deadlock_is_built_again(
    database: Database, sql_folder: Folder
) -> None:
    told, begin = Told(), anyio.Event()
    await up(database, sql_folder({"1_t.up.sql": "CREATE TABLE t (i int);"}), told)

    async with database.connect() as writer, waiting_peer(database, begin) as peer:
        await peer.execute("SET deadlock_timeout = '1min'")  # or the server may end the peer instead
        await writer.execute("BEGIN; INSERT INTO t VALUES (1)")
        async with anyio.create_task_group() as group:
            group.start_soon(up, database, sql_folder(FILES), told)
            group.start_soon(cancel_when_seen, database, peer, told)
            await until(database, "SELECT count(*) FROM pg_locks WHERE locktype LIKE '%xid' AND NOT granted")
            begin.set()
            await until(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            await writer.execute("COMMIT")

    assert await database.value(INDEX)
    assert await database.value(APPLIED) == 2


async def until(database: Database, holds: str) -> None:
    while not await database.value(holds):
        await anyio.sleep(0.01)
