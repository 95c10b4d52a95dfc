"""One schedule on its way: its database, its actors, and what is dealt to them."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from .actor import Actor, Setting
from .events import Events
from .faults import AFTERMATHS, BLOWS, ON_THE_SERVER, TERMINATION_SECONDS
from .place import Place
from .schedule import SERVER_FAULTS, Fault, Replica, Schedule
from .verdict import Dealt, Finding

PATIENCE_SECONDS = 40.0
"""How long it may take until everybody has settled, and the undisturbed run after it."""

_TOLD_LINES = 60

_numbers = itertools.count(1)


class Found(Exception):
    """Something is wrong, and the schedule need not go on."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.finding = Finding(word, text)


class Scene:
    """*dealt* are the faults so far; *missed* those whose moment never came."""

    def __init__(self, place: Place, schedule: Schedule, folder: Path, group: TaskGroup) -> None:
        number = next(_numbers)
        self.schedule = schedule
        self.name = f"chaos_{number}"
        self.dealt: list[Dealt] = []
        self.missed = 0
        self._place = place
        self._group = group
        self._events = Events()
        self._changed = anyio.Event()
        self._under_way = 0
        self._trouble: Found | None = None
        self._server_lock = anyio.Lock()
        home = place.home / f"scene-{number}"
        self._setting = Setting(place, folder, schedule.folder, self.name, schedule.route, home)
        self._actors = [
            Actor(self._setting, *each, self._tell, group) for each in enumerate(schedule.replicas)
        ]

    @classmethod
    @asynccontextmanager
    async def of(cls, place: Place, schedule: Schedule, folder: Path) -> AsyncIterator[Scene]:
        """The scene of *schedule*, set up; whatever happens, nothing of it is left."""
        async with anyio.create_task_group() as group:
            scene = cls(place, schedule, folder, group)
            try:
                await scene._set_up()
                yield scene
            finally:
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await scene._take_down()

    async def _set_up(self) -> None:
        if any(fault.kind == "promote" for fault in self.schedule.faults):
            await anyio.to_thread.run_sync(self._place.add_standby)
        if not self.schedule.missing:
            await self._place.create(self.name)

    async def _take_down(self) -> None:
        for actor in self._actors:
            actor.life.signal(signal.SIGKILL)
            await actor.life.over()
            actor.link.close()
        await anyio.to_thread.run_sync(self._place.remove_standby)
        await self._place.drop(self.name)

    async def play(self) -> None:
        """All of it, up to the end of the undisturbed run. Raises Found."""
        for fault in self.schedule.faults:
            self._events.on(fault.moment.event, fault.moment.nth, self._dealing(fault))
        for actor in self._actors:
            await self._cast(actor)
        await self._rest()
        self._events.silence()
        self.missed = len(self.schedule.faults) - len(self.dealt)
        await self._end_daemons()
        await self._run_undisturbed()

    async def _cast(self, actor: Actor) -> None:
        start = actor.replica.start
        if start is None:
            await actor.begin()
        else:
            self._events.on(start.event, start.nth, lambda _: self._start(actor.begin))

    async def _rest(self) -> None:
        """Wait until everybody has settled and every fault is over."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            while self._trouble is None and (self._under_way or any(each.at_work for each in self._actors)):
                self._changed = anyio.Event()
                await self._changed.wait()
        if self._trouble is not None:
            raise self._trouble
        if at_work := [each.name for each in self._actors if each.at_work]:
            raise Found("stuck", f"still at work after {PATIENCE_SECONDS} s: {', '.join(at_work)}")

    async def _end_daemons(self) -> None:
        for actor in self._actors:
            actor.life.signal(signal.SIGTERM)
        for actor in self._actors:
            await self._ended(actor, TERMINATION_SECONDS)

    async def _run_undisturbed(self) -> None:
        route = "direct" if self.schedule.route == "transaction" else self.schedule.route
        last = Actor(self._setting.by(route), len(self._actors), Replica(), self._tell, self._group)
        self._actors.append(last)
        await last.begin()
        await self._ended(last, PATIENCE_SECONDS)

    async def _ended(self, actor: Actor, seconds: float) -> None:
        try:
            with anyio.fail_after(seconds):
                await actor.life.over()
        except TimeoutError:
            raise Found("stuck", f"{actor.name} did not end within {seconds} s") from None
        if finding := actor.end():
            raise Found(finding.word, finding.text)

    def log(self) -> str:
        """What everybody told, at length, and the server's last words."""
        told = [
            f"--- {each.name}, {each.replica}: {each.life.exit_code}\n"
            + "\n".join(each.life.told.splitlines()[-_TOLD_LINES:])
            for each in self._actors
        ]
        return "\n".join([*told, "--- server", self._place.server.tail()])

    # What happens

    def _tell(self, event: str, teller: int) -> None:
        self._events.tell(event, teller)
        self._changed.set()

    def _dealing(self, fault: Fault) -> Callable[[int], None]:
        """What to do when the moment of *fault* has come."""

        def due(teller: int) -> None:
            if fault.moment.delay_ms:
                self._under_way += 1
                later = fault.moment.delay_ms / 1000
                asyncio.get_running_loop().call_later(later, self._deal_late, fault, teller)
            else:
                self._deal(fault, teller)

        return due

    def _deal_late(self, fault: Fault, teller: int) -> None:
        self._under_way -= 1
        self._deal(fault, teller)
        self._changed.set()

    def _deal(self, fault: Fault, teller: int) -> None:
        actor = self._victim(fault, teller)
        at_work = any(each.at_work for each in self._actors) if fault.kind in SERVER_FAULTS else actor.at_work
        self.dealt.append(Dealt(fault.kind, at_work))
        actor.befallen.add(fault.kind)
        if blow := BLOWS.get(fault.kind):
            blow(fault, actor.victim)
        if fault.kind in AFTERMATHS:
            self._start(self._go_through, fault, actor)

    def _victim(self, fault: Fault, teller: int) -> Actor:
        others = [each for each in self._actors if each.number != teller and each.at_work]
        return others[0] if fault.other and others else self._actors[teller]

    async def _go_through(self, fault: Fault, actor: Actor) -> None:
        aftermath = AFTERMATHS[fault.kind]
        try:
            if fault.kind in ON_THE_SERVER:
                async with self._server_lock:
                    await aftermath(fault, actor.victim, self._place)
            else:
                await aftermath(fault, actor.victim, self._place)
        except TimeoutError:
            self._trouble = Found("stuck", f"{actor.name} did not end in time after {fault.kind}")

    def _start(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run *work* beside what is going on; the schedule is not at rest before it has ended."""
        self._under_way += 1

        async def run() -> None:
            try:
                await work(*arguments)
            finally:
                self._under_way -= 1
                self._changed.set()

        self._group.start_soon(run)
