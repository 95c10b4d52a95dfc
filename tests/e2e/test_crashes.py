"""Promise 2: kill -9 at any moment of any replica; the next start completes, nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct

from harness import files, oracle, scenario, schedules
from harness.database import Database
from harness.oracle import Outcome
from harness.processes import Pgready
from harness.server import Server

DEAD_CLIENT_SECONDS = 5.0


class Undisturbed(Struct, frozen=True):
    """What the scenario's folder comes to when nothing goes wrong, and how long that takes."""

    folder: Path
    outcome: Outcome
    seconds: float


@pytest.fixture(scope="module")
async def undisturbed(
    anyio_backend: str, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Undisturbed]:
    home = tmp_path_factory.mktemp("undisturbed")
    folder = files.write(home / "sql", scenario.SCRIPTS)
    command = Pgready(home / "home")
    try:
        async with Database.fresh(server) as database:
            result = await command("up", "--dir", folder, env={"PGREADY_DATABASE_URL": database.url})
            assert result.exit_code == 0, result.stderr
            yield Undisturbed(folder, await oracle.outcome(database), result.seconds)
    finally:
        command.close()


def environment(database: Database) -> dict[str, str]:
    return {"PGREADY_DATABASE_URL": database.url, "PGREADY_LOG_LEVEL": "debug"}


@pytest.mark.parametrize("seed", schedules.seeds())
async def test_replicas_killed_at_random_moments_leave_what_an_undisturbed_run_leaves(
    seed: int, undisturbed: Undisturbed, database: Database, pgready: Pgready
) -> None:
    schedule = schedules.draw(seed, undisturbed.seconds)
    command = ("up", "--dir", undisturbed.folder)
    replicas = await schedule.carry_out(lambda: pgready.start(*command, env=environment(database)))

    last = await pgready(*command, env=environment(database))

    told = f"{schedules.replay(seed)}\n{schedule}\n{last.stderr}"
    assert last.exit_code == 0, told
    assert {replica.exit_code for replica in replicas} <= {0, -9}, told
    found = await oracle.outcome(database)
    assert found == undisturbed.outcome, told
    left = await oracle.leftovers(database, within_seconds=DEAD_CLIENT_SECONDS)
    assert left == oracle.NOTHING, told
