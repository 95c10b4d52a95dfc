"""A daemon that is ready goes on watching its target: lost, restored, migrated by others, tampered with."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import asyncpg
import httpx
import pytest

from chaos.network import Direction, Link
from harness import oracle
from harness.daemon import Daemon, restore
from harness.database import Database
from harness.oracle import noted
from harness.processes import Pgready
from harness.server import Server, free_port

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

TWO = {
    "migrations/0001_a.sql": oracle.LEDGER + noted("0001"),
    "migrations/0002_b.sql": "CREATE TABLE b (id integer);" + noted("0002"),
}
THREE = {**TWO, "migrations/0003_c.sql": "CREATE TABLE c (id integer);" + noted("0003")}

_OURS = """
SELECT state, xact_start IS NULL,
       (SELECT count(*) FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory')
FROM pg_stat_activity a WHERE datname = current_database() AND application_name LIKE 'pgready %'
"""

_END_OURS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'pgready %' AND state = 'idle'
  AND query LIKE '%concat_ws(''; ''%'
"""


@pytest.fixture
async def own_server(anyio_backend: str) -> AsyncIterator[Server]:
    """A server that may be crashed."""
    server = Server(settings={"synchronous_commit": "on"})
    try:
        await anyio.to_thread.run_sync(server.start)
        yield server
    finally:
        server.remove()


async def ledger(database: Database) -> list[str]:
    return [row[0] for row in await database.fetch("SELECT entry FROM ledger ORDER BY id")]


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_live_is_200_and_ready_503_within_a_second_of_the_start(
    pgready: Pgready, sql_folder: SqlFolder
) -> None:
    port = free_port()
    running = pgready.start(
        "serve", "--dir", sql_folder(TWO), "--port", str(port),
        env={"DATABASE_URL": f"postgresql://app:pw@127.0.0.1:{free_port()}/app"},
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await running.until(lambda: not can_bind(port), "its port")
        live = await client.get("/live")
        ready = await client.get("/ready")
    used = cpu_seconds(running.pid)

    assert (live.status_code, ready.status_code) == (200, 503)
    assert used < 1, "nothing in its start waits, so this is its time on a machine of its own"


def can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def test_a_ready_daemon_watches_on_one_connection_without_a_transaction_or_a_lock(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await Daemon.ready(pgready, sql_folder(TWO), database)

    seen = set()
    async with database.connect() as connection:
        for _ in range(20):
            seen.add(tuple(tuple(row) for row in await connection.fetch(_OURS)))
            await anyio.sleep(0.05)

    assert {rows for rows in seen if not rows or rows[0][0] != "active"} <= {(), (("idle", True, 0),)}
    assert (("idle", True, 0),) in seen
    assert all(len(rows) <= 1 for rows in seen)


async def test_a_daemon_that_is_not_to_poll_holds_no_connection(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = Daemon(pgready, sql_folder(TWO), database, "--poll-interval", "0")
    await daemon.told("run.ready")

    assert await oracle.leftovers(database, within_seconds=5) == oracle.NOTHING


async def test_a_crashed_server_is_told_and_leaves_the_daemon_ready_until_it_is_back(
    own_server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    async with Database.fresh(own_server) as database:
        daemon = await Daemon.ready(pgready, sql_folder(TWO), database)
        own_server.crash()
        await daemon.told("database.lost")
        while_lost = await daemon.readiness()
        await anyio.to_thread.run_sync(own_server.start)
        (back,) = await daemon.told("database.back")
        after = await daemon.readiness()

        assert while_lost[0] == after[0] == 200
        assert while_lost[1]["unreachable_since"] is not None
        assert "lost" in while_lost[1]["reason"]
        assert (after[1]["unreachable_since"], after[1]["reason"]) == (None, None)
        assert back["outage_seconds"] > 0
        assert len(daemon.events("run.ready")) == 1
        assert await ledger(database) == ["0001", "0002"]


async def test_a_connection_that_the_server_has_ended_is_lost_in_plain_words(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    """Where the daemon asks between the server's last words and the connection's end, which is held back."""
    async with anyio.create_task_group() as group:
        link = Link(lambda: (server.host, server.port), lambda _: None, group)
        await link.open()
        daemon = await Daemon.ready(pgready, sql_folder(TWO), server.url(database.name, port=link.port))
        await daemon.watching(database)
        for wire in link.wires:
            wire.kept.add(Direction.UP)
        while not await database.fetch(_END_OURS):
            await anyio.sleep(0.02)
        (lost,) = await daemon.told("database.lost")
        link.close()

    assert lost["reason"] == "the connection was lost"


async def test_a_password_that_is_wrong_by_now_is_told_of_a_daemon_that_was_ready(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    role = f"migrator_of_{database.name}"
    await database.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'before'")
    try:
        url = server.url(database.name, user=role, password="before")
        daemon = await Daemon.ready(pgready, sql_folder(TWO), url)
        await daemon.watching(database)
        await database.execute(f"ALTER ROLE {role} PASSWORD 'after'")
        while not await database.fetch(_END_OURS):
            await anyio.sleep(0.02)
        (failed,) = await daemon.told("connect.failed")
        code, body = await daemon.readiness()
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"{await daemon.url()}/metrics")).text
        await database.execute(f"ALTER ROLE {role} PASSWORD 'before'")
        await daemon.told("database.back")
        back = (await daemon.readiness())[1]
        daemon.running.kill()
    finally:
        await database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")

    assert "password authentication failed" in failed["reason"] and failed["retry_seconds"] > 0
    assert (code, body["attempts"]["last_reason"]) == (200, failed["reason"])
    assert body["reason"] == f"the database is lost: {failed['reason']}"
    assert "pgready_connect_failures_total 0.0" not in metrics
    assert (back["reason"], back["attempts"]["last_reason"]) == (None, None)


async def test_a_restored_older_backup_is_pending_again_and_applied_without_a_restart(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await pgready("up", "--dir", sql_folder(TWO), env={"PGREADY_DATABASE_URL": database.url})
    older = server.dump(database.name)
    daemon = await Daemon.ready(pgready, sql_folder(THREE), database)

    await anyio.to_thread.run_sync(restore, server, database, older)
    await daemon.told("target.unsettled")
    pending = await daemon.readiness()
    await daemon.told("run.ready", 2)
    applied = await daemon.readiness()

    assert (pending[0], applied[0]) == (503, 200)
    assert pending[1]["counts"]["pending"] > 0
    assert daemon.running.exit_code is None
    assert await ledger(database) == ["0001", "0002", "0003"]


async def test_pg_restore_and_the_daemon_do_not_get_in_each_others_way(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    many = "INSERT INTO b SELECT generate_series(1, 400000); ALTER TABLE b ADD PRIMARY KEY (id);"
    two = {**TWO, "migrations/0002_b.sql": TWO["migrations/0002_b.sql"] + many}
    await pgready("up", "--dir", sql_folder(two), env={"PGREADY_DATABASE_URL": database.url})
    older = await anyio.to_thread.run_sync(server.back_up, database.name)
    daemon = await Daemon.ready(pgready, sql_folder({**THREE, **two}), database)

    await database.execute("DROP TABLE c")  # pg_restore does not know of it
    await anyio.to_thread.run_sync(server.restore, database.name, older)
    ran_meanwhile = len(daemon.events("run.ready")) + len(daemon.events("run.failed")) - 1
    await daemon.told("run.ready", 2)

    assert ran_meanwhile == 0
    assert daemon.events("run.failed") == []
    assert await ledger(database) == ["0001", "0002", "0003"]
    assert await database.value("SELECT count(*) FROM b") == 400_000


async def test_nothing_is_applied_while_a_restore_is_at_work(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await Daemon.ready(pgready, sql_folder(THREE), database)
    restoring = await asyncpg.connect(
        database.url, server_settings={"application_name": "pg_restore"}, ssl=False
    )
    try:
        await restoring.execute("DELETE FROM pgready.history WHERE version = '0003'; DROP TABLE c")
        waiting = await daemon.told("target.unsettled", 2)
        status, body = await daemon.readiness()
        before = len(daemon.events("run.ready"))
    finally:
        await restoring.close()
    await daemon.told("run.ready", 2)

    assert "pg_restore (pid " in waiting[-1]["reason"]
    assert (status, before) == (503, 1)
    assert "pg_restore" in body["reason"]
    assert await database.value("SELECT to_regclass('c') IS NOT NULL")


async def test_a_backup_that_is_restored_because_a_migration_failed_is_waited_for_too(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = Daemon(pgready, sql_folder({**THREE, "migrations/0004_d.sql": "CREATE TABEL d ();"}), database)
    await daemon.told("run.failed")
    restoring = await asyncpg.connect(
        database.url, server_settings={"application_name": "pg_restore"}, ssl=False
    )
    try:
        await restoring.execute("DELETE FROM pgready.history WHERE version = '0003'; DROP TABLE c")
        await daemon.told("target.unsettled", 2)
        applied_meanwhile = await database.value("SELECT to_regclass('c') IS NOT NULL")
    finally:
        await restoring.close()
    await daemon.told("run.failed", 2)

    assert not applied_meanwhile
    assert await database.value("SELECT to_regclass('c') IS NOT NULL")


async def test_a_dropped_database_is_made_again(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await Daemon.ready(pgready, sql_folder(TWO), database)

    server.psql(f"DROP DATABASE {database.name} WITH (FORCE)")
    await daemon.told("run.ready", 2)

    assert await ledger(database) == ["0001", "0002"]


async def test_what_another_replica_applied_further_is_ahead_and_well(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await Daemon.ready(pgready, sql_folder(TWO), database)

    await pgready("up", "--dir", sql_folder(THREE), env={"PGREADY_DATABASE_URL": database.url})
    await daemon.told("history.changed")
    await daemon.running.until(
        lambda: any(line.get("ahead") for line in daemon.events("plan.made")), "a plan that is ahead"
    )
    status, body = await daemon.readiness()

    assert status == 200
    assert body["counts"]["ahead"] == 1
    assert "newer than every file" in body["warnings"][0]
    assert len(daemon.events("run.ready")) == 1


async def test_an_older_replica_leaves_the_view_of_a_newer_one_alone(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    view = "CREATE OR REPLACE VIEW version AS SELECT {} AS number;"
    older = await Daemon.ready(pgready, sql_folder({**TWO, "repeatable/v.sql": view.format(1)}), database)
    await older.told("plan.made", 2)

    newer = await Daemon.ready(pgready, sql_folder({**TWO, "repeatable/v.sql": view.format(2)}), database)
    await older.told("history.changed")
    await older.running.until(lambda: bool(older.events("plan.finding")), "what is ahead")
    statuses = [(await daemon.readiness())[0] for daemon in (older, newer)]

    assert statuses == [200, 200]
    assert await database.value("SELECT number FROM version") == 2
    assert len(older.events("run.ready")) == 1
    assert newer.events("history.changed") == []


async def test_a_history_that_was_tampered_with_is_503_until_it_is_repaired(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    daemon = await Daemon.ready(pgready, folder, database)

    await database.execute(
        "UPDATE pgready.history SET checksum = 'other', token_checksum = 'other' WHERE version = '0002'"
    )
    await daemon.told("run.failed")
    diverged = await daemon.readiness()
    await pgready("repair", "0002", "--dir", folder, env={"PGREADY_DATABASE_URL": database.url})
    await daemon.told("run.ready", 2)
    repaired = await daemon.readiness()

    assert (diverged[0], repaired[0]) == (503, 200)
    assert "changed after it was applied" in diverged[1]["failure"]["message"]
    assert await ledger(database) == ["0001", "0002"]


async def test_what_a_peer_applied_further_is_ahead_too(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    journal = (
        '{"version": "7", "dialect": "postgresql", "entries":'
        ' [{"idx": 0, "version": "7", "when": 1700000000000, "tag": "0000_a", "breakpoints": true}]}'
    )
    folder = sql_folder({"meta/_journal.json": journal, "0000_a.sql": "CREATE TABLE a (id integer);"})
    daemon = await Daemon.ready(pgready, folder, database)

    await database.execute(
        "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('c0ffee', 1800000000000)"
    )
    await daemon.told("history.changed")
    await daemon.running.until(
        lambda: any(line.get("ahead") for line in daemon.events("plan.made")), "a plan that is ahead"
    )

    assert (await daemon.readiness())[0] == 200
