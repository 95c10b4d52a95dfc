"""Sends messages of many statements, reads how far the server is with them, and sends the next one ahead.

A script goes to the server in one message. Many errors carry no position, so without this nobody knows
which statement failed or how far a long script is; stepping through the statements costs 23 % and a
marker before each of them 9 % (FIELD-NOTES). The server already answers CommandComplete for every
statement of a message, but the driver keeps only the last. Nor does the driver send a message before it has
the answer to the one before, in which time the server has nothing to do. So its protocol is wrapped, through
asyncio's public `set_protocol`, in one that has messages of its own: simple queries, answered in order while
the driver itself asks nothing. All that is not an answer to them is passed on to the driver untouched.
"""

from __future__ import annotations

import asyncio
from collections import deque
from struct import Struct
from typing import Any

import asyncpg

_HEADER = Struct("!BI")
"""Of each message: its type, and its length without the type."""

_COMMAND_COMPLETE, _ERROR, _READY, _COPY_IN = b"CEZG"
_IDLE = ord("I")
_UNASKED = frozenset(b"NSA")
"""Notices, parameters and notifications come at any time, and are the driver's."""

_COPY_FAIL = _HEADER.pack(ord("f"), 5) + b"\0"


class Reply:
    """The answer to one message: how many of its statements have *completed*, and in the end how it went."""

    def __init__(self) -> None:
        self.completed = 0
        self._problem: asyncpg.PostgresError | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def end(self) -> None:
        """Return when all is done. Raises the server's asyncpg.PostgresError."""
        await self._ended
        if self._problem is not None:
            raise self._problem

    def refuse(self, problem: asyncpg.PostgresError) -> None:
        """The first problem is the one that counts: a lost connection comes after its reason."""
        self._problem = self._problem or problem

    def finish(self) -> None:
        if not self._ended.done():  # whoever waited may have been cancelled
            self._ended.set_result(None)


class Wire(asyncio.Protocol):
    """Stands between the transport and the driver's protocol.

    *in_transaction* is what the server said last; the driver hears it only of what it asked itself.
    """

    def __init__(self, inner: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self._inner = inner
        self._transport = transport
        self._replies: deque[Reply] = deque()
        self.in_transaction = False
        self._cut = bytearray()  # the beginning of a message whose end has not come yet
        self._cut_needs = 0
        self._held = False

    def send(self, sql: str) -> Reply:
        """Send *sql* as one simple query behind those that are under way; the driver must be idle."""
        text = sql.encode()
        self._transport.write(b"".join((_HEADER.pack(ord("Q"), len(text) + 5), text, b"\0")))
        reply = Reply()
        self._replies.append(reply)
        return reply

    def data_received(self, data: bytes) -> None:
        if self._held or self._cut:
            self._cut += data
            if self._held or len(self._cut) < self._cut_needs:
                return
            data = bytes(self._cut)
            self._cut.clear()
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        rest = self._take(data)
        if rest == len(data):
            return
        self._cut += data[rest:]
        whole = len(self._cut) >= _HEADER.size
        self._cut_needs = 1 + _HEADER.unpack_from(self._cut)[1] if whole else _HEADER.size

    def _release(self) -> None:
        self._held = False
        data = bytes(self._cut)
        self._cut.clear()
        self._receive(data)

    def _take(self, data: bytes) -> int:
        """Handle the messages that are whole, up to the end of an answer; returns where they end."""
        size, position, passed = len(data), 0, 0
        while size - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, position)
            end: int = position + 1 + length
            if end > size:
                break
            if kind == _READY:
                self.in_transaction = data[position + _HEADER.size] != _IDLE
            if self._replies and kind not in _UNASKED:
                if passed < position:
                    self._inner.data_received(data[passed:position])
                self._answer(kind, data, position + _HEADER.size, end)
                passed = end
                if kind == _READY and self._replies:
                    # What answers the next message is told when whoever waited for this one has gone on.
                    self._held = True
                    asyncio.get_running_loop().call_soon(self._release)
                    return end
            position = end
        if passed < position:
            self._inner.data_received(data[passed:position])
        return position

    def _answer(self, kind: int, data: bytes, start: int, end: int) -> None:
        reply = self._replies[0]
        if kind == _COMMAND_COMPLETE:
            reply.completed += 1
        elif kind == _ERROR:
            reply.refuse(asyncpg.PostgresError.new(_fields(data[start:end])))
        elif kind == _READY:
            self._replies.popleft().finish()
        elif kind == _COPY_IN:
            self._transport.write(_COPY_FAIL)
            if len(self._replies) > 1:  # what was sent behind it would be taken for the data
                self._transport.abort()

    @property
    def busy(self) -> bool:
        """Whether the server owes an answer to what was sent here."""
        return bool(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        while self._held:
            self._release()
        for reply in self._replies:
            reply.refuse(
                asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
            )
            reply.finish()
        self._replies.clear()
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their letters."""
    texts = (field.decode(errors="replace") for field in body.split(b"\0") if field)
    return {text[0]: text[1:] for text in texts}


def wired(connection: asyncpg.Connection[Any]) -> Wire:
    """Wrap *connection*'s protocol. The connection must be idle."""
    # A private attribute of the driver, as are `_cancel` and `_copy_in`, which the session calls;
    # tests/postgres/test_wire.py and test_execute.py fail if an upgrade moves one.
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]
    inner = transport.get_protocol()
    assert isinstance(inner, asyncio.BaseProtocol)
    wire = Wire(inner, transport)  # type: ignore[arg-type]
    transport.set_protocol(wire)
    return wire
