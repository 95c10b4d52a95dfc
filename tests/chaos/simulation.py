"""Carries schedules out in a place, and judges what each leaves behind."""

from __future__ import annotations

from pathlib import Path

import anyio

from harness import oracle
from harness.oracle import Outcome

from . import folders
from .place import Place
from .scene import Found, Scene
from .schedule import Schedule
from .verdict import Finding, Verdict, compare, left_behind

DEAD_CLIENT_SECONDS = 5.0
"""How long after its death a replica may hold a lock or a backend."""

_DUMPED_EVERY = 10
"""Of how many schedules one is compared by pg_dump, too; all are by the catalogue."""

Undisturbed = tuple[Path, Outcome]
"""A folder, and what it comes to when nothing goes wrong."""


class Simulator:
    """Runs schedules in one place, one after the other."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._folders: dict[str, Undisturbed] = {}

    async def judge(self, schedule: Schedule, against: Undisturbed | None = None) -> Verdict:
        """Let *schedule* happen, and say how what came of it compares with the undisturbed run."""
        folder, expected = against or await self.undisturbed(schedule.folder)
        began = anyio.current_time()
        async with Scene.of(self._place, schedule, folder) as scene:
            try:
                await scene.play()
                finding = await self._compare(scene, expected)
            except Found as found:
                finding = found.finding
            log = scene.log() if finding else ""
            self._place.refuse_dead_poolers()
        seconds = anyio.current_time() - began
        return Verdict(schedule.seed, finding, seconds, tuple(scene.dealt), scene.missed, log)

    async def _compare(self, scene: Scene, expected: Outcome) -> Finding | None:
        database = self._place.database(scene.name)
        dumped = scene.schedule.seed % _DUMPED_EVERY == 0
        pooled = scene.schedule.route != "direct"
        return compare(expected, await oracle.outcome(database, dumped=dumped)) or left_behind(
            await oracle.leftovers(database, within_seconds=DEAD_CLIENT_SECONDS, pooled=pooled)
        )

    async def undisturbed(self, name: str) -> Undisturbed:
        """The folder *name*, and what it comes to when nothing goes wrong."""
        if name not in self._folders:
            folder = folders.write(self._place.home, name)
            async with Scene.of(self._place, Schedule(0, (), folder=name), folder) as scene:
                await scene.play()
                outcome = await oracle.outcome(self._place.database(scene.name), dumped=True)
            self._folders[name] = folder, outcome
        return self._folders[name]
