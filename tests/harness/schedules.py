"""Seeded disasters: which replicas start when, and at which moment each of them is killed.

A schedule is a function of its seed, so a failure is replayed by its seed alone (what the machine does
between two moments stays its own affair). Half of the kills come at any time of a run, half right at or
shortly behind an event in the log, where a record has just been written or is about to be.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from msgspec import Struct

from .processes import Running

SCHEDULES_VARIABLE = "PGREADY_TEST_SCHEDULES"
SEED_VARIABLE = "PGREADY_TEST_SEED"
IN_EVERY_RUN = 40

# Where to count from: an event (None: the process's start), how often it happens in a run, how often it is
# drawn, and whether the kill comes any time later in the run or at once.
_ORIGINS: tuple[tuple[str | None, int, int, bool], ...] = (
    (None, 1, 1, True),
    ("connect.succeeded", 1, 2, True),
    ("lock.taken", 1, 6, True),
    ("migration.started", 31, 6, False),
    ("migration.applied", 14, 4, False),
    ("lock.taken", 1, 1, False),
    ("lock.waited", 1, 1, False),
    ("bootstrap.changed", 1, 1, False),
    ("lock.released", 1, 1, False),
)
_POLL_SECONDS = 0.001


class Kill(Struct, frozen=True):
    """A replica's death: *delay_seconds* after its start, or after it logged its *nth* *event*."""

    delay_seconds: float
    event: str | None = None
    nth: int = 1

    async def due(self, running: Running) -> None:
        """Return at that moment, or when *running* has ended before it."""
        sign = f'"event":"{self.event}"'
        while self.event and running.stderr.count(sign) < self.nth and running.exit_code is None:
            await anyio.sleep(_POLL_SECONDS)
        until = anyio.current_time() + self.delay_seconds
        while anyio.current_time() < until and running.exit_code is None:
            await anyio.sleep(_POLL_SECONDS)


Blow = Callable[[Running], Awaitable[object]]
"""What befalls a replica when its time has come; it has ended when this returns."""


async def kill(running: Running) -> None:
    """SIGKILL."""
    running.kill()


async def terminate(running: Running) -> None:
    """SIGTERM, and its end within five seconds."""
    running.signal(signal.SIGTERM)
    await running.wait(5)


class Schedule(Struct, frozen=True):
    """A replica for each of *kills*, all started at once or, *in_turn*, each when the one before is dead."""

    kills: tuple[Kill, ...]
    in_turn: bool

    async def carry_out(self, start: Callable[[], Running], deal: Blow = kill) -> list[Running]:
        """Let it happen, with *deal* as the blow; the replicas, in the order of their ends."""
        ended: list[Running] = []

        async def live(fate: Kill) -> None:
            running = start()
            await fate.due(running)
            await deal(running)
            ended.append(running)

        async with anyio.create_task_group() as group:
            for each in self.kills:
                if self.in_turn:
                    await live(each)
                else:
                    group.start_soon(live, each)
        return ended


def draw(seed: int, run_seconds: float) -> Schedule:
    """Two or three kills; *run_seconds* is how long a run takes that nothing disturbs."""
    chance = random.Random(seed)
    kills = tuple(_kill(chance, run_seconds) for _ in range(chance.choice((2, 3))))
    return Schedule(kills, in_turn=chance.random() < 0.6)


def _kill(chance: random.Random, run_seconds: float) -> Kill:
    weights = [weight for _, _, weight, _ in _ORIGINS]
    event, times, _, any_time = chance.choices(_ORIGINS, weights)[0]
    # Early ones more often: who dies in the beginning leaves something for the next to die in.
    nth = 1 + int(times * chance.random() ** 2)
    if any_time:
        return Kill(run_seconds * chance.random() ** 2, event, nth)
    return Kill(chance.choice((0.0, chance.uniform(0, 0.03), chance.uniform(0, 0.1))), event, nth)


def seeds(in_every_run: int = IN_EVERY_RUN) -> list[Any]:
    """The seeds to run, as pytest parameters: *in_every_run* always, those beyond only under `-m chaos`.

    PGREADY_TEST_SCHEDULES is how many there are where 40 always run, and in proportion elsewhere;
    PGREADY_TEST_SEED picks a single one.
    """
    chosen = os.environ.get(SEED_VARIABLE)
    if chosen:
        return [pytest.param(int(chosen), id=f"seed-{chosen}")]
    count = int(os.environ.get(SCHEDULES_VARIABLE) or IN_EVERY_RUN) * in_every_run // IN_EVERY_RUN
    return [
        pytest.param(seed, id=f"seed-{seed}", marks=() if seed <= in_every_run else pytest.mark.chaos)
        for seed in range(1, count + 1)
    ]


def replay(seed: int) -> str:
    """How to run the schedule of *seed* alone again; for the message of a failure."""
    return f"replay: {SEED_VARIABLE}={seed} .venv/bin/pytest tests/e2e/test_crashes.py -k seed"
