"""A forked replica cannot be told from one that was started as people start it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from chaos.life import Life
from chaos.zygote import Zygote
from harness.database import Database

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]
ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TZ": "UTC"}
FORKED = pytest.mark.parametrize("forked", [True, False], ids=["forked", "executed"])


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    running = Zygote()
    yield running
    running.close()


class Born:
    """A replica of a test, and the events that it told."""

    def __init__(self, home: Path, zygote: Zygote | None, *arguments: str | Path, **environment: str) -> None:
        self.events: list[str] = []
        self.home = home
        self.life = Life(self.events.append)
        words = [str(each) for each in arguments]
        self.life.begin(zygote, words, {**ENVIRONMENT, "HOME": str(home), **environment}, home)

    async def end(self) -> int | None:
        with anyio.fail_after(30):
            await self.life.over()
        return self.life.exit_code

    async def told(self, event: str) -> None:
        with anyio.fail_after(30):
            while event not in self.events:
                assert self.life.running, self.life.told
                await anyio.sleep(0.005)


@FORKED
async def test_it_prints_and_ends_as_any(forked: bool, zygote: Zygote, tmp_path: Path) -> None:
    version = Born(tmp_path / "1", zygote if forked else None, "--version")
    mistaken = Born(tmp_path / "2", zygote if forked else None, "pu")

    assert (await version.end(), await mistaken.end()) == (0, 2)
    assert (tmp_path / "1" / "stdout").read_text()[0].isdigit()
    assert "Did you mean" in mistaken.life.told or "no such command" in mistaken.life.told


@FORKED
async def test_it_has_an_environment_and_a_directory_of_its_own(
    forked: bool, zygote: Zygote, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    born = Born(home, zygote if forked else None, "config", PGREADY_ENV="of-the-test")

    assert await born.end() == 0, born.life.told
    assert "of-the-test" in (home / "stdout").read_text()
    assert "of-the-test" not in os.environ.values()


@FORKED
async def test_it_goes_through_the_same_events(
    forked: bool, zygote: Zygote, tmp_path: Path, sql_folder: SqlFolder, database: Database
) -> None:
    folder = sql_folder({"0001_a.sql": "CREATE TABLE a (id integer);"})
    born = Born(
        tmp_path / "home", zygote if forked else None, "up", "--dir", folder,
        PGREADY_DATABASE_URL=database.url,
    )  # fmt: skip

    assert await born.end() == 0, born.life.told
    assert born.events == [
        "target.located", "connect.succeeded", "plan.made", "lock.taken", "plan.made", "migration.applied",
        "run.ready", "replica.settled",
    ]  # fmt: skip


@FORKED
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
async def test_a_signal_ends_it_as_any(
    number: signal.Signals, code: int, forked: bool, zygote: Zygote, tmp_path: Path,
    sql_folder: SqlFolder, database: Database,
) -> None:  # fmt: skip
    folder = sql_folder({"0001_a.sql": "SELECT pg_sleep(30);"})
    born = Born(
        tmp_path / "home", zygote if forked else None, "up", "--dir", folder, "--log-level", "debug",
        PGREADY_DATABASE_URL=database.url,
    )  # fmt: skip
    await born.told("migration.started")
    born.life.signal(number)

    assert await born.end() == code
