"""A TCP proxy that loses what it is told to lose: one link for each replica.

Bytes are passed on as they come. What is unread is not held back (the folders of the simulator are small),
so a link is no measure of back-pressure.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from enum import IntEnum

from anyio.abc import TaskGroup

from harness.server import HOST

Address = tuple[str, int]
_NO_LINGER = struct.pack("ii", 1, 0)


class Direction(IntEnum):
    """From whom the bytes come."""

    UP = 0  # from the client to the server
    DOWN = 1


class _End(asyncio.Protocol):
    """One of a wire's two connections."""

    def __init__(self, wire: _Wire, direction: Direction) -> None:
        self._wire = wire
        self._direction = direction

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire.ends[self._direction] = transport
        if self._direction is Direction.UP:
            transport.pause_reading()
            self._wire.begin()

    def data_received(self, data: bytes) -> None:
        self._wire.pass_on(self._direction, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.lost(self._direction)


class _Wire:
    """One client's connection and the server's that belongs to it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.ends: dict[Direction, asyncio.Transport] = {}
        self.muted: set[Direction] = set()
        self.kept: set[Direction] = set()
        self.left_bytes: dict[Direction, int] = {}
        self._not_before = [0.0, 0.0]
        link.wires.add(self)

    def begin(self) -> None:
        if self.link.refusing:
            self.reset()
        else:
            self.link.group.start_soon(self._open)

    async def _open(self) -> None:
        try:
            await self.link.loop.create_connection(lambda: _End(self, Direction.DOWN), *self.link.upstream())
        except OSError:
            self.reset()
            return
        client = self.ends.get(Direction.UP)
        if client is None or client.is_closing():
            self.reset()
        else:
            client.resume_reading()

    def pass_on(self, direction: Direction, data: bytes) -> None:
        self.link.look(direction, data)  # which may end this wire
        if direction in self.muted:
            return
        if direction in self.left_bytes:
            data, left = data[: self.left_bytes[direction]], self.left_bytes[direction] - len(data)
            self.left_bytes[direction] = left
            if left <= 0:
                self._write(direction, data)
                self.link.loop.call_soon(self.reset)
                return
        delay = self.link.delay_seconds
        now = self.link.loop.time()
        at = self._not_before[direction] = max(self._not_before[direction], now + delay)
        if at > now:
            self.link.loop.call_at(at, self._write, direction, data)
        else:
            self._write(direction, data)

    def _write(self, direction: Direction, data: bytes) -> None:
        other = self.ends.get(Direction(1 - direction))
        if other is not None and not other.is_closing():
            other.write(data)

    def lost(self, direction: Direction) -> None:
        """One end is closed: so will be the other, unless it is to be kept."""
        other = self.ends.get(Direction(1 - direction))
        if other is not None and Direction(1 - direction) not in self.kept:
            self.link.loop.call_at(max(self._not_before), other.close)
        if all(end.is_closing() for end in self.ends.values()):
            self.link.wires.discard(self)

    def close(self) -> None:
        for end in list(self.ends.values()):
            end.close()

    def reset(self) -> None:
        for direction in list(self.ends):
            self.reset_end(direction)

    def reset_end(self, direction: Direction) -> None:
        end = self.ends.get(direction)
        if end is not None and not end.is_closing():
            peer: socket.socket = end.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            end.abort()


class Link:
    """The way of one client, on a port of its own, to wherever *upstream* says at the moment.

    *notice* is called with `wire.commit` before a COMMIT of the client is passed on, and with
    `wire.committed` before the server's answer is; what it does to the link holds for these bytes already.
    """

    def __init__(
        self, upstream: Callable[[], Address], notice: Callable[[str], None], group: TaskGroup
    ) -> None:
        self.upstream = upstream
        self.group = group
        self.wires: set[_Wire] = set()
        self.refusing = False
        self.delay_seconds = 0.0
        self.loop = asyncio.get_running_loop()
        self._notice = notice
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await self.loop.create_server(lambda: _End(_Wire(self), Direction.UP), HOST, 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Stop listening, and end what is open."""
        self.refusing = True  # whom the kernel has let in meanwhile, too
        if self._server is not None:
            self._server.close()
        self.reset()

    def look(self, direction: Direction, data: bytes) -> None:
        if direction is Direction.UP and b"COMMIT" in data:
            self._notice("wire.commit")
        elif direction is Direction.DOWN and b"COMMIT\0" in data:
            self._notice("wire.committed")

    # What may befall it

    def cut(self) -> None:
        """Both sides of every connection see its end."""
        for wire in list(self.wires):
            wire.close()

    def reset(self) -> None:
        """Both sides of every connection see a reset."""
        for wire in list(self.wires):
            wire.reset()

    def orphan(self, for_seconds: float) -> None:
        """The client sees a reset; the server sees nothing until *for_seconds* have passed."""
        for wire in list(self.wires):
            wire.kept.add(Direction.DOWN)
            wire.muted.add(Direction.DOWN)
            wire.reset_end(Direction.UP)
            self.loop.call_later(for_seconds, wire.reset)

    def mute(self, direction: Direction, for_seconds: float) -> None:
        """What is sent in *direction* gets lost; after *for_seconds* both sides see a reset."""
        for wire in list(self.wires):
            wire.muted.add(direction)
            self.loop.call_later(for_seconds, wire.reset)

    def limit(self, direction: Direction, size_bytes: int) -> None:
        """Pass *size_bytes* more on in *direction*, then reset."""
        for wire in list(self.wires):
            wire.left_bytes[direction] = size_bytes

    def delay(self, by_seconds: float, for_seconds: float) -> None:
        """Pass everything on later by *by_seconds*."""
        self.delay_seconds = by_seconds
        self.loop.call_later(for_seconds, setattr, self, "delay_seconds", 0.0)

    def refuse(self, for_seconds: float) -> None:
        """Reset every connection, and every new one until *for_seconds* have passed."""
        self.refusing = True
        self.reset()
        self.loop.call_later(for_seconds, setattr, self, "refusing", False)
