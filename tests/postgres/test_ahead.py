"""The first attempt to connect, which goes on while the rest of the program is loaded."""

from __future__ import annotations

import pytest

from harness.database import Database
from harness.server import free_port
from pgready.database.connect import CannotConnect
from pgready.running import ahead
from pgready.settings import Settings, load


def settings_for(url: str) -> Settings:
    return load({"database_url": url}, {}, lambda _path: None)


async def backends(database: Database) -> int:
    count: int = await database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'pgready %'"
    )
    return count


async def test_whoever_asks_gets_the_session(database: Database) -> None:
    async with ahead.connecting(settings_for(database.url)) as first:
        assert first is not None
        session = await first()
        try:
            assert await session.fetchval("SELECT 1") == 1
        finally:
            await session.close()


async def test_a_session_that_nobody_asked_for_is_closed(database: Database) -> None:
    async with ahead.connecting(settings_for(database.url)) as first:
        assert first is not None
        while not await backends(database):
            pass

    while await backends(database):
        pass


async def test_why_it_failed_is_told_when_it_is_asked() -> None:
    url = f"postgresql://app@127.0.0.1:{free_port()}/app"

    async with ahead.connecting(settings_for(url)) as first:
        assert first is not None
        with pytest.raises(CannotConnect) as refused:
            await first()

    assert refused.value.transient


async def test_without_a_target_nothing_is_tried() -> None:
    async with ahead.connecting(load({"embedded": ""}, {}, lambda _path: None)) as first:
        assert first is None
