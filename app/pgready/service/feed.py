"""The current Status, and a way to wait for the next one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import anyio
from msgspec.structs import replace

from pgready.core import tally as tallies
from pgready.core.events import Blocked, Event, LockWaited
from pgready.core.phases import Phase
from pgready.core.status import Status, advance
from pgready.core.tally import Tally

Listener = Callable[[Event, Status, datetime], None]
"""Told of each event, with the status after it and when it was; must neither wait nor raise."""

_OUTCOMES = frozenset({Phase.READY, Phase.FAILED, Phase.DRAINING})


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Feed:
    """Folds events into one Status, and one Tally. Everything that the daemon answers is read from here.

    Not thread-safe: publish and wait on the event loop's thread.
    """

    def __init__(self, status: Status, now: Callable[[], datetime] = _utc_now) -> None:
        self._status = status
        self._tally = Tally()
        self._now = now
        self._sequence = 0
        self._working_phase = Phase.CONNECTING
        self._started = status.ready
        self._changed = anyio.Event()
        self._drained = anyio.Event()
        self._listeners: list[Listener] = []

    @property
    def status(self) -> Status:
        return self._status

    @property
    def tally(self) -> Tally:
        return self._tally

    @property
    def sequence(self) -> int:
        """How many events were published; the same number means the same status."""
        return self._sequence

    def now(self) -> datetime:
        """The time by which events are dated."""
        return self._now()

    @property
    def started(self) -> bool:
        """Whether the target was ready at least once."""
        return self._started

    @property
    def working_phase(self) -> Phase:
        """The phase in which work was last done: where a failed run failed."""
        return self._working_phase

    @property
    def draining(self) -> bool:
        """Whether the daemon is on its way out, from which there is no way back."""
        return self._drained.is_set()

    def listen(self, listener: Listener) -> None:
        """Tell *listener* of every event from now on."""
        self._listeners.append(listener)

    def publish(self, event: Event) -> None:
        """Take *event* into the status and wake who waits. Never blocks: a slow reader misses some."""
        event = _without_sql(event)
        now = self._now()
        self._status = advance(self._status, event, now)
        self._tally = tallies.advance(self._tally, event, now)
        self._sequence += 1
        self._started = self._started or self._status.ready
        phase = Phase(self._status.phase)
        if phase not in _OUTCOMES:
            self._working_phase = phase
        if phase is Phase.DRAINING:
            self._drained.set()
        for listener in self._listeners:
            listener(event, self._status, now)
        self._changed.set()
        self._changed = anyio.Event()

    async def drained(self) -> None:
        """Wait until the daemon is on its way out."""
        await self._drained.wait()

    async def changed(self, after_sequence: int) -> int:
        """Wait until something newer than *after_sequence* was published; the sequence it is at now."""
        while self._sequence <= after_sequence:
            await self._changed.wait()
        return self._sequence

    async def settled(self, patience_seconds: float) -> Status:
        """The status when it is ready or draining, or when *patience_seconds* have passed."""
        with anyio.move_on_after(patience_seconds):
            while not self._status.ready and not self.draining:
                await self.changed(self._sequence)
        return self._status


def _without_sql(event: Event) -> Event:
    """*event* without what other backends run: anyone who reaches the port could read it, and it may be
    an `ALTER ROLE … PASSWORD` or a customer's row."""
    match event:
        case LockWaited(holder=holder) if holder is not None:
            return replace(event, holder=replace(holder, query=""))
        case Blocked(holders=holders):
            return replace(event, holders=tuple(replace(holder, query="") for holder in holders))
    return event
