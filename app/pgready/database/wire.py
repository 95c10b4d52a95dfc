"""Counts the statements that the server has completed, by reading the message stream as it passes.

A script goes to the server in one message. Many errors carry no position, so without this nobody knows
which statement failed or how far a long script is; stepping through the statements costs 23 % and a
marker before each of them 9 % (FIELD-NOTES). The server already answers CommandComplete for every
statement of a message, but the driver keeps only the last. So its protocol is wrapped, through asyncio's
public `set_protocol`, in one that reads the frame headers and passes the bytes on untouched.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import Any

import asyncpg

_COMMAND_COMPLETE = ord("C")
_HEADER = Struct("!BI")
"""Of each message: its type, and its length without the type."""


class StatementCounter(asyncio.Protocol):
    """Stands between the transport and the driver's protocol; `completed` is the count since `reset`."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._skip_bytes = 0
        self._header = b""
        self.completed = 0

    def reset(self) -> None:
        self.completed = 0

    def data_received(self, data: bytes) -> None:
        self._count(data)
        self._inner.data_received(data)

    def _count(self, data: bytes) -> None:
        position, size = self._skip_bytes, len(data)
        if self._header:
            data = self._header + data
            size = len(data)
            self._header = b""
        while size - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, position)
            if kind == _COMMAND_COMPLETE:
                self.completed += 1
            position += 1 + length
        if position < size:
            self._header = data[position:]
            position = size
        self._skip_bytes = position - size

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def count_statements(connection: asyncpg.Connection[Any]) -> StatementCounter:
    """Wrap *connection*'s protocol. The connection must be idle."""
    # The transport is the one private attribute of the driver that we use; tests/postgres/test_wire.py
    # fails if an upgrade moves it.
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]
    inner = transport.get_protocol()
    assert isinstance(inner, asyncio.BaseProtocol)
    counter = StatementCounter(inner)  # type: ignore[arg-type]
    transport.set_protocol(counter)
    return counter
