"""graphile-migrate tries its lock and gives up: what happens when both start at one moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.database import Database
from harness.peers.graphile_migrate import GraphileMigrate
from harness.peers.peer import Ran, Step

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def graphile() -> GraphileMigrate:
    return GraphileMigrate()


async def test_it_refuses_to_run_while_pgready_holds_its_key(
    graphile: GraphileMigrate, tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "migrations"
    graphile.write(folder, [Step(1, "a", "CREATE TABLE a (id int);", "")])

    async with database.connect() as ours:
        await ours.execute("SELECT pg_advisory_lock(4727445306447283)")
        ran = await anyio.to_thread.run_sync(graphile.up, folder, database.url)

    assert not ran.ok
    assert "exclusive lock" in ran.output


async def test_started_at_one_moment_nothing_is_applied_twice(
    graphile: GraphileMigrate, tmp_path: Path, database: Database, pgready: Any
) -> None:
    folder = tmp_path / "migrations"
    for number in range(1, 51):
        graphile.write(
            folder,
            [
                Step(2 * number - 1, "table", f"CREATE TABLE t{number} (n int);", ""),
                Step(2 * number, "row", f"INSERT INTO t{number} VALUES (1);", ""),
            ],
        )
        ran: list[Ran] = []

        async with anyio.create_task_group() as group:

            async def start() -> None:
                ran.append(await anyio.to_thread.run_sync(graphile.up, folder, database.url))  # noqa: B023

            group.start_soon(start)
            done = await pgready("up", "--dir", folder, env={"DATABASE_URL": database.url})

        # It reads what is pending before it tries its lock, so it may find a table made meanwhile.
        assert done.exit_code == 0, done.stderr
        assert ran[0].ok or "lock" in ran[0].output or "already exists" in ran[0].output, ran[0].output
        assert await database.value(f"SELECT count(*) FROM t{number}") == 1
        assert await database.value("SELECT count(*) FROM graphile_migrate.migrations") == 2 * number
