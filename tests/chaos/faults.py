"""What each kind of fault does. Returns when it is over, however long it lasts."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
from msgspec import Struct

from harness.database import connected
from pgready.core.quoting import fill

from .life import Life
from .network import Direction, Link
from .place import Place
from .schedule import SERVER_FAULTS, Fault

TERMINATION_SECONDS = 5.0
_DELAY_SECONDS = 0.02

_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = :database AND application_name = :name
"""


class Victim(Struct, frozen=True):
    """Whom a fault befalls: its process, its way to the server, and what the server knows it by."""

    life: Life
    link: Link
    application_name: str
    database: str


Blow = Callable[[Fault, Victim], None]
"""The part of a fault that is dealt at once, within the event that it follows."""

Aftermath = Callable[[Fault, Victim, Place], Awaitable[None]]
"""The part that takes time."""


def _seconds(fault: Fault) -> float:
    return fault.for_ms / 1000


def _freeze(fault: Fault, victim: Victim) -> None:
    victim.life.signal(signal.SIGSTOP)
    victim.link.reset()


BLOWS: dict[str, Blow] = {
    "kill": lambda _, victim: victim.life.signal(signal.SIGKILL),
    "terminate": lambda _, victim: victim.life.signal(signal.SIGTERM),
    "pause": lambda _, victim: victim.life.signal(signal.SIGSTOP),
    "freeze": _freeze,
    "cut": lambda _, victim: victim.link.cut(),
    "reset": lambda _, victim: victim.link.reset(),
    "orphan": lambda fault, victim: victim.link.orphan(_seconds(fault)),
    "mute up": lambda fault, victim: victim.link.mute(Direction.UP, _seconds(fault)),
    "mute down": lambda fault, victim: victim.link.mute(Direction.DOWN, _seconds(fault)),
    "delay": lambda fault, victim: victim.link.delay(_DELAY_SECONDS, _seconds(fault)),
    "limit up": lambda fault, victim: victim.link.limit(Direction.UP, fault.limit_bytes),
    "limit down": lambda fault, victim: victim.link.limit(Direction.DOWN, fault.limit_bytes),
    "refuse": lambda fault, victim: victim.link.refuse(_seconds(fault)),
}


async def _last(fault: Fault, victim: Victim, place: Place) -> None:
    await anyio.sleep(_seconds(fault))


async def _go_on(fault: Fault, victim: Victim, place: Place) -> None:
    await anyio.sleep(_seconds(fault))
    victim.life.signal(signal.SIGCONT)


async def _end_in_time(fault: Fault, victim: Victim, place: Place) -> None:
    with anyio.fail_after(TERMINATION_SECONDS):
        await victim.life.over()


async def _terminate_backends(fault: Fault, victim: Victim, place: Place) -> None:
    async with connected(place.server, "postgres") as admin:
        await admin.execute(fill(_TERMINATE, database=victim.database, name=victim.application_name))


def _blocking(method: Callable[[Place], None]) -> Aftermath:
    async def carry_out(fault: Fault, victim: Victim, place: Place) -> None:
        await anyio.to_thread.run_sync(method, place)

    return carry_out


AFTERMATHS: dict[str, Aftermath] = {
    "terminate": _end_in_time,
    "pause": _go_on,
    "freeze": _go_on,
    "orphan": _last,
    "mute up": _last,
    "mute down": _last,
    "delay": _last,
    "refuse": _last,
    "backend": _terminate_backends,
    "restart": _blocking(Place.restart),
    "crash": _blocking(Place.crash),
    "promote": _blocking(Place.promote),
}

ON_THE_SERVER = SERVER_FAULTS | {"backend"}
"""Those that need a server which stays as it is meanwhile."""
