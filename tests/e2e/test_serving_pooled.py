"""A daemon whose target is behind a PgBouncer watches it through whatever backend it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.daemon import Daemon
from harness.database import Database
from harness.pgbouncer import PgBouncer
from harness.processes import Pgready

pytestmark = pytest.mark.pgbouncer

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

ONE = {"1_a.sql": "CREATE TABLE a (x int);"}
TWO = {**ONE, "2_b.sql": "CREATE TABLE b (x int);"}


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_what_others_apply_is_seen_through_a_pooler(
    mode: str,
    pgbouncer: Callable[..., PgBouncer],
    pgready: Pgready,
    sql_folder: SqlFolder,
    database: Database,
) -> None:
    folder = sql_folder(ONE)
    await pgready("up", "--dir", folder, env={"DATABASE_URL": database.url})
    daemon = await Daemon.ready(pgready, folder, pgbouncer(mode).url(database.name))

    await pgready("up", "--dir", sql_folder(TWO), env={"DATABASE_URL": database.url})
    await daemon.told("history.changed")
    await daemon.running.until(
        lambda: any(line.get("ahead") for line in daemon.events("plan.made")), "a plan that is ahead"
    )

    assert (await daemon.readiness())[0] == 200
    assert daemon.events("database.lost") == []
