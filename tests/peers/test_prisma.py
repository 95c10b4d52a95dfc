"""What Prisma makes of a row that pgready marked as rolled back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.peers.peer import Step
from harness.peers.prisma import Prisma

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

STEPS = (
    Step(1, "a", "CREATE TABLE a (id int);", "DROP TABLE a;"),
    Step(2, "b", "CREATE TABLE b (id int);", "DROP TABLE b;"),
)


@pytest.fixture(scope="module")
def prisma() -> Prisma:
    return Prisma()


async def test_what_down_reverted_prisma_applies_again(
    prisma: Prisma, tmp_path: Path, database: Database, pgready: Any
) -> None:
    env = {"DATABASE_URL": database.url}
    prisma.write(tmp_path / "migrations", STEPS)
    await pgready("up", "--dir", tmp_path, env=env)

    down = await pgready("down", "1", "--yes", "--dir", tmp_path, env=env)
    gone = await database.value("SELECT to_regclass('b') IS NULL")
    again = prisma.up(tmp_path / "migrations", database.url)

    assert down.exit_code == 0, down.stderr
    assert again.ok, again.output
    assert (gone, await database.value("SELECT to_regclass('b') IS NULL")) == (True, False)
