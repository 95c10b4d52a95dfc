"""`/events`: the run as server-sent events. docs/http.md describes the format.

1. Publishing never waits: an event is encoded once, put into a bounded ring, and who listens is woken.
2. A listener holds no queue, only its place in the ring. One that the ring has outrun, or that comes from
   another process, is sent a whole `status` and goes on from there; where it wants no list of migrations,
   as the page does, which fetches what it shows, a `summary` in its place.
3. Listeners take turns, the longer the more there is to send, so that all together cost the event loop a
   bounded share of its time, however many they are and whatever the run emits.
4. A listener that has stopped reading is waited for in its own task alone; `service.protocol` hangs up on it.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import datetime

import anyio
import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pgready.core import events
from pgready.core.status import Status
from pgready.service.bodies import PIECE_BYTES
from pgready.service.feed import Feed
from pgready.service.problems import HEADERS, JSON, problem
from pgready.service.representations import Representations

MEDIA_TYPE = "text/event-stream"
LISTENER_LIMIT = 256
HEARTBEAT_SECONDS = 15
RING_EVENTS = 1000
RING_BYTES = 1_048_576

_RECONNECT_MS = 2000
_PAUSE_SECONDS = 0.1  # in which events gather
_TURNS_PER_SECOND = 200  # of all listeners together
_BYTES_PER_SECOND = 4_000_000

Write = Callable[[bytes], Awaitable[None]]


class Entry(Struct, frozen=True):
    """One event as it is sent; *lists_anew* where it changes the list of migrations as a whole."""

    sequence: int
    frame: bytes
    lists_anew: bool


class Ring:
    """The newest events, without a gap between them, as many as the limits allow."""

    def __init__(
        self, last: int = 0, *, most_events: int = RING_EVENTS, most_bytes: int = RING_BYTES
    ) -> None:
        """A ring after the event *last*, none of which is in it."""
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._entries: deque[Entry] = deque()
        self._last = last
        self.size_bytes = 0

    def append(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._last = entry.sequence
        self.size_bytes += len(entry.frame)
        while len(self._entries) > self._most_events or self.size_bytes > self._most_bytes:
            self.size_bytes -= len(self._entries.popleft().frame)

    def after(self, sequence: int) -> tuple[Entry, ...] | None:
        """The events after *sequence*; None where some of them are gone, or have not happened."""
        missing = self._last - sequence
        if not 0 <= missing <= len(self._entries):
            return None
        return tuple(itertools.islice(self._entries, len(self._entries) - missing, None))


class Broadcast:
    """What *representations*' feed publishes, for any number of listeners."""

    def __init__(self, representations: Representations, ring: Ring | None = None) -> None:
        self.boot = os.urandom(4).hex()
        self.listeners = 0
        self._representations = representations
        self._feed: Feed = representations.feed
        self._ring = ring or Ring(self._feed.sequence)
        self._whole: tuple[int, bytes] | None = None
        self._turn = anyio.Lock()
        self._feed.listen(self._take)

    def place(self, last_event_id: str) -> int | None:
        """The sequence that *last_event_id* names, None where it is not one of this process."""
        boot, _, number = last_event_id.partition("-")
        if boot != self.boot or not number.isascii() or not number.isdigit() or len(number) > 15:
            return None
        return int(number)

    async def follow(self, place: int | None, write: Write, *, lists: bool = True) -> None:
        """Write what happens after *place* (None: a whole status first) until the daemon drains.

        Without *lists* no list of migrations is written, but a summary where a whole status would be.
        """
        await write(b"retry: %d\n\n" % _RECONNECT_MS)
        while True:
            async with self._turn:
                batch, place = self._batch(place, lists=lists)
                await self._pause(1 / _TURNS_PER_SECOND + sum(map(len, batch)) / _BYTES_PER_SECOND)
            for piece in _pieces(batch):
                await write(piece)
            if self._feed.draining and place == self._feed.sequence:
                return
            await self._pause(_PAUSE_SECONDS)
            with anyio.move_on_after(HEARTBEAT_SECONDS) as patience:
                await self._feed.changed(place)
            if patience.cancelled_caught:
                await write(b": heartbeat\n\n")

    def _take(self, event: events.Event, status: Status, now: datetime) -> None:
        sequence = self._feed.sequence
        frame = _frame(tag(event), document(event, status, now), self._id(sequence))
        self._ring.append(Entry(sequence, frame, isinstance(event, events.Planned)))

    def _batch(self, place: int | None, *, lists: bool = True) -> tuple[list[bytes], int]:
        """What is to be written to a listener at *place*, and its place afterwards.

        All listeners are given the same bytes, so that a status of many migrations is there once.
        """
        now = self._feed.sequence
        missed = None if place is None else self._ring.after(place)
        if missed is not None:
            return self._told(missed, lists), now
        if not lists:
            return [self._summary(self._id(now))], now
        start, whole = self._snapshot()
        return [whole, *self._told(self._ring.after(start) or (), lists)], now

    def _told(self, missed: tuple[Entry, ...], lists: bool) -> list[bytes]:
        if not missed:
            return []
        anew = lists and any(entry.lists_anew for entry in missed)
        return [*(entry.frame for entry in missed), self._snapshot()[1] if anew else self._summary()]

    def _summary(self, identity: str | None = None) -> bytes:
        return _frame("summary", self._representations.readiness(JSON), identity)

    def _snapshot(self) -> tuple[int, bytes]:
        """A whole status, and the sequence it is of; no newer than needed to go on from there."""
        if self._whole is not None:
            since = self._ring.after(self._whole[0])
            if since is not None and not any(entry.lists_anew for entry in since):
                return self._whole
        now = self._feed.sequence
        self._whole = now, _frame("status", self._representations.migrations(JSON), self._id(now))
        return self._whole

    def _id(self, sequence: int) -> str:
        return f"{self.boot}-{sequence}"

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the daemon is on its way out."""
        with anyio.move_on_after(seconds):
            await self._feed.drained()


class EventStream(Response):
    """Answers one listener for as long as it listens."""

    def __init__(self, broadcast: Broadcast, place: int | None, *, lists: bool) -> None:
        super().__init__(headers={**HEADERS, "X-Accel-Buffering": "no"}, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._broadcast = broadcast
        self._place = place
        self._lists = lists

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        self._broadcast.listeners += 1
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                if scope["method"] != "HEAD":
                    await self._broadcast.follow(self._place, write, lists=self._lists)
                await send({"type": "http.response.body", "body": b""})
                group.cancel_scope.cancel()
        finally:
            self._broadcast.listeners -= 1


async def stream(request: Request) -> Response:
    """The run from `Last-Event-ID` on, or from a whole status on, until the daemon drains.

    With `summary` it comes without lists of migrations.
    """
    broadcast: Broadcast = request.app.state.broadcast
    if broadcast.listeners >= LISTENER_LIMIT:
        return problem(503, "too many listeners", headers={"Retry-After": "5"})
    place = broadcast.place(request.headers.get("last-event-id", ""))
    return EventStream(broadcast, place, lists="summary" not in request.query_params)


def tag(event: events.Event) -> str:
    """The event's public name, such as `migration.applied`."""
    return str(event.__struct_config__.tag)


def document(event: events.Event, status: Status, now: datetime) -> bytes:
    """*event* as JSON: when it happened, and those of its values that are set. Of a plan, the counts."""
    values: Mapping[str, object] = msgspec.structs.asdict(event)
    if isinstance(event, events.Planned):
        values = {"counts": status.counts, "under_lock": event.under_lock}
    told = {"at": now} | {name: value for name, value in values.items() if value not in (None, "", ())}
    try:
        return msgspec.json.encode(told)
    except UnicodeEncodeError:  # a file's name that is no UTF-8
        return json.dumps(msgspec.to_builtins(told), ensure_ascii=False).encode(errors="replace")


def _frame(name: str, data: bytes, identity: str | None = None) -> bytes:
    """*data*, which is JSON and so one line, as one event of the stream."""
    head = f"id: {identity}\n" if identity else ""
    return b"%sevent: %s\ndata: %s\n\n" % (head.encode(), name.encode(), data.rstrip())


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """*parts* one behind the other in pieces of at most PIECE_BYTES."""
    piece = bytearray()
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            more = part[start : start + PIECE_BYTES]
            if len(piece) + len(more) > PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
            piece += more
    if piece:
        yield bytes(piece)


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
