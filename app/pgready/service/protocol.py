"""A connection of a client that may have neither patience nor manners.

uvicorn's own protocol times out between requests alone. This one keeps these rules:

1. A client has IDLE_SECONDS to send a whole request, from the first moment and after every answer, and no
   more than HEAD_LIMIT_BYTES of it before the body, which is counted too, though nobody reads it.
2. An answer that is not read for STALL_SECONDS is given up. Until then it fills one buffer, no more: what is
   larger comes in pieces (`service.bodies`), and the next one waits.
3. There is always room for one more: of too many connections the one that has waited for a request the
   longest is hung up on. So an orchestrator's probe is answered in the middle of a flood.
4. What a client does wrong is told to the client, in the form of every other problem.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pgready.service.probes import Probes
from pgready.service.problems import problem

IDLE_SECONDS = 5
"""How long a connection may stay silent, or take to send a whole request."""

STALL_SECONDS = 10
"""How long an answer may lie unread."""

HEAD_LIMIT_BYTES = 16_384
BODY_LIMIT_BYTES = 65_536

_TOLD = {431: "the request line and headers are longer than 16 KiB"}


class Crowd:
    """The open connections, and which of them wait for a request, the longest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}

    def enter(self, connection: Connection) -> None:
        """Take one more in; where that is one too many, hang up on who has waited the longest."""
        self._open.add(connection)
        self.wait(connection)
        if len(self._open) > self._most:
            longest = next(iter(self._waiting))
            self.leave(longest)
            longest.transport.abort()

    def wait(self, connection: Connection) -> None:
        """*connection* has nothing to do but wait for a request."""
        if connection in self._open:
            self._waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """An answer is under way on *connection*."""
        self._waiting.pop(connection, None)

    def leave(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)


class Connection(H11Protocol):
    """One connection, which belongs to *crowd*."""

    def __init__(self, *arguments: Any, crowd: Crowd, probes: Probes | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._crowd = crowd
        self._probes = probes
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # one piece that is not read is enough
        self._overdue = _Timer(self.loop, IDLE_SECONDS, self._hang_up)
        self._stalled = _Timer(self.loop, STALL_SECONDS, transport.abort)
        self._closing = _Timer(self.loop, STALL_SECONDS, transport.abort)
        self._crowd.enter(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._is_probe(data):
            return
        if self._is_too_much(data):
            self.transport.abort()
            return
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # an answer is half sent, and what came is no HTTP
            self.transport.abort()
        self._keep_reading()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.leave(self)
        for timer in (self._overdue, self._stalled, self._closing):
            timer.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled.stop()

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # the client has broken the protocol: there is nothing to end well
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn while it handles h11's error, which knows the better status."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        told = problem(status, _TOLD.get(status, "this is no HTTP request"), headers={"Connection": "close"})
        parts = (
            h11.Response(
                status_code=status, headers=told.raw_headers, reason=HTTPStatus(status).phrase.encode()
            ),
            h11.Data(data=bytes(told.body)),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(part) or b"" for part in parts))
        self._hang_up()

    def _is_probe(self, data: bytes) -> bool:
        """Whether *data* was a probe, which is answered then."""
        if self._probes is None or self.flow.write_paused or not self._is_between_requests():
            return False
        told = self._probes.told(data, self.server_state.default_headers)
        if told is None:
            return False
        self.transport.write(told.answer)
        self._overdue.stop()
        if told.closes:
            self._hang_up()
        self._watch()
        return True

    def _is_between_requests(self) -> bool:
        return (
            self.conn.our_state is self.conn.their_state is h11.IDLE
            and not self.conn.trailing_data[0]
            and not self.transport.is_closing()
        )

    def _is_too_much(self, data: bytes) -> bool:
        """Whether *data* makes a body too long. Between bodies the count begins anew."""
        self._body_bytes = self._body_bytes + len(data) if self.conn.their_state is h11.SEND_BODY else 0
        return self._body_bytes > BODY_LIMIT_BYTES

    def _keep_reading(self) -> None:
        """uvicorn reads no further where a request comes before the last one is answered, and so does not
        see a listener go."""
        if self.flow.read_paused and len(self.conn.trailing_data[0]) <= HEAD_LIMIT_BYTES:
            self.flow.resume_reading()

    def _watch(self) -> None:
        """Run the clock whenever no answer is under way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._overdue.stop()
            self._crowd.work(self)
        elif not self.transport.is_closing():
            self._overdue.start()
            self._crowd.wait(self)

    def _hang_up(self) -> None:
        """Close, when what was written has been read; soon at any rate."""
        self.transport.close()
        self._closing.start()


class _Timer:
    """Calls *action* once it has run for so long without being stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, action: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._action = action
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._action)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
