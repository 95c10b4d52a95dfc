"""Fixtures for every test; the classes behind them, with what they promise, are in `harness`."""

from __future__ import annotations

import itertools
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import hypothesis
import pytest

from harness import files
from harness.database import Database
from harness.pgbouncer import PgBouncer
from harness.processes import Pgready
from harness.server import Server

# How long one example takes says more about the machine's load than about the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# Under `nohup make test` it is ignored, and every process that a test starts would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """pgready runs on asyncio (asyncpg does), so its tests do."""
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL for each test process. Where there is none the test fails; it never skips."""
    with Server.running() as running:
        yield running


@pytest.fixture
async def database(anyio_backend: str, server: Server) -> AsyncIterator[Database]:
    """A fresh, empty database."""
    async with Database.fresh(server) as fresh:
        yield fresh


@pytest.fixture
def pgready(tmp_path: Path) -> Iterator[Pgready]:
    """The installed command: `await pgready("up", ...)` to its end, `pgready.start("serve", ...)`."""
    command = Pgready(tmp_path / "home")
    try:
        yield command
    finally:
        command.close()


@pytest.fixture
def pgbouncer(server: Server) -> Iterator[Callable[..., PgBouncer]]:
    """Call it with a pool mode (`session`, `transaction`, `statement`) to start a PgBouncer."""
    started: list[PgBouncer] = []

    def start(pool_mode: str, pool_size: int = 20, settings: str = "") -> PgBouncer:
        pooler = PgBouncer(server, pool_mode, pool_size, settings)
        started.append(pooler)
        pooler.start()
        return pooler

    try:
        yield start
    finally:
        for pooler in started:
            pooler.stop()


@pytest.fixture
def sql_folder(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """Call it with path → content to write a folder of SQL; each call writes another one."""
    numbers = itertools.count(1)

    def write(contents: Mapping[str, str | bytes]) -> Path:
        return files.write(tmp_path / f"sql-{next(numbers)}", contents)

    return write
