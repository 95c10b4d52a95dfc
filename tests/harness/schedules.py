"""Seeded disasters: which replicas start when, and at which moment each of them is killed.

A schedule is a function of its seed, so a failure is replayed by its seed alone (what the machine does
between two moments stays its own affair). Half of the kills come at any time of a run, half right at or
shortly behind an event in the log, which is where a record has just been written or is about to be.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec import Struct

from .processes import Running

SCHEDULES_VARIABLE = "PGREADY_TEST_SCHEDULES"
SEED_VARIABLE = "PGREADY_TEST_SEED"
IN_EVERY_RUN = 40

_EVENTS = (
    "connect.succeeded",
    "plan.made",
    "bootstrap.changed",
    "lock.waited",
    "lock.taken",
    "migration.started",
    "migration.started",
    "migration.started",
    "migration.applied",
    "migration.applied",
    "lock.released",
)
_POLL_SECONDS = 0.001


class Kill(Struct, frozen=True):
    """When a replica is killed: *delay_seconds* after it started, or after it logged its *nth* *event*."""

    start_seconds: float
    delay_seconds: float
    event: str | None = None
    nth: int = 1

    async def due(self, running: Running) -> None:
        """Return at that moment, or when *running* has ended before it."""
        if self.event is None:
            await _pause(running, self.delay_seconds)
            return
        sign = f'"event":"{self.event}"'
        while running.stderr.count(sign) < self.nth and running.exit_code is None:
            await anyio.sleep(_POLL_SECONDS)
        await _pause(running, self.delay_seconds)


async def _pause(running: Running, seconds: float) -> None:
    until = anyio.current_time() + seconds
    while anyio.current_time() < until and running.exit_code is None:
        await anyio.sleep(_POLL_SECONDS)


def draw(seed: int, run_seconds: float) -> tuple[Kill, ...]:
    """Two or three kills; *run_seconds* is how long a run takes that nothing disturbs."""
    chance = random.Random(seed)
    return tuple(_kill(chance, run_seconds) for _ in range(chance.choice((2, 2, 3))))


def _kill(chance: random.Random, run_seconds: float) -> Kill:
    start = chance.uniform(0, 0.5) * run_seconds
    if chance.random() < 0.5:
        return Kill(start, chance.uniform(0, 1.3) * run_seconds)
    delay = chance.choice((0.0, 0.0, chance.uniform(0, 0.03)))
    return Kill(start, delay, chance.choice(_EVENTS), chance.randint(1, 12))


async def carry_out(kills: tuple[Kill, ...], start: Callable[[], Running]) -> list[Running]:
    """Start a replica for each of *kills* and kill it when its time has come; return them, all ended."""
    ended: list[Running] = []

    async def live(kill: Kill) -> None:
        await anyio.sleep(kill.start_seconds)
        running = start()
        await kill.due(running)
        running.kill()
        ended.append(running)

    async with anyio.create_task_group() as group:
        for kill in kills:
            group.start_soon(live, kill)
    return ended


def seeds() -> list[Any]:
    """The seeds to run, as pytest parameters: 40 always, those beyond only under `-m chaos`.

    PGREADY_TEST_SCHEDULES says how many there are in all, PGREADY_TEST_SEED picks a single one.
    """
    chosen = os.environ.get(SEED_VARIABLE)
    if chosen:
        return [pytest.param(int(chosen), id=f"seed-{chosen}")]
    count = int(os.environ.get(SCHEDULES_VARIABLE) or IN_EVERY_RUN)
    return [
        pytest.param(seed, id=f"seed-{seed}", marks=() if seed <= IN_EVERY_RUN else pytest.mark.chaos)
        for seed in range(1, count + 1)
    ]


def replay(seed: int) -> str:
    """How to run the schedule of *seed* alone again; for the message of a failure."""
    return f"replay: {SEED_VARIABLE}={seed} .venv/bin/pytest tests/e2e/test_crashes.py -k seed"
