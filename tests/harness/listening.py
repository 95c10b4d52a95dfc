"""A client of `/events`, as a browser is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import msgspec
from msgspec import Struct


class Heard(Struct, frozen=True):
    """One event of the stream; a comment has the name `:`."""

    name: str
    id: str | None = None
    data: Any = None


class Listener:
    """What the server sends, event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = self._read()

    async def next(self, seconds: float = 10) -> Heard:
        """The next event or comment. Raises StopAsyncIteration where the stream has ended."""
        with anyio.fail_after(seconds):
            return await anext(self._blocks)

    async def until(self, name: str) -> Heard:
        """The next event called *name*."""
        while True:
            heard = await self.next()
            if heard.name == name:
                return heard

    async def rest(self) -> list[Heard]:
        """Everything up to the end of the stream."""
        with anyio.fail_after(10):
            return [heard async for heard in self._blocks]

    async def _read(self) -> AsyncIterator[Heard]:
        fields: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if line.startswith(":"):
                yield Heard(":")
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                yield Heard(fields["event"], fields.get("id"), msgspec.json.decode(fields["data"]))
                fields = {}
            else:
                fields = {}


@asynccontextmanager
async def listening(
    port: int, headers: Mapping[str, str] | None = None, *, query: str = ""
) -> AsyncIterator[Listener]:
    """A listener on 127.0.0.1:*port*."""
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/events{query}", headers=headers) as response,
    ):
        yield Listener(response)
