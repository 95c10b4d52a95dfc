"""`pgready serve` among many clients: probes by the thousand, listeners half of which do not read."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
import statistics
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_PATHS = ("/ready", "/ready", "/live", "/startup")
_WELL = {"/ready": (b"200", b"503"), "/live": (b"200",), "/startup": (b"200", b"503")}
_PROBERS = 200  # a probe that takes longer than their number over the rate holds up the next of its prober
_PATIENCE_SECONDS = 5


class Probed(NamedTuple):
    """What became of the probes. Latencies count from the moment at which a probe was due."""

    ready_ms: Sequence[float]
    failed: int
    total: int
    late: int

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.ready_ms, n=100)[percent - 1]


@asynccontextmanager
async def daemon(
    arguments: Sequence[str | Path], environ: Mapping[str, str], port: int
) -> AsyncIterator[Process]:
    """`pgready serve` on *port*, which answers."""
    process = await asyncio.create_subprocess_exec(
        *arguments, "--port", str(port), env={**os.environ, **environ}, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        while await _status(port, "/live") != b"200":
            await asyncio.sleep(0.02)
        yield process
    finally:
        process.terminate()
        await process.wait()


def peak_mib(process: Process) -> float:
    """The most memory that *process*, which still runs, has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def until_ready(port: int) -> None:
    while await _status(port, "/ready?wait=30s") != b"200":
        await asyncio.sleep(0.02)


async def probe(port: int, rate: int, until: asyncio.Task[None]) -> Probed:
    """*rate* probes a second, each on a connection of its own as kubelet's are, until *until* is done."""
    began = time.perf_counter() + 0.1
    numbers = itertools.count()
    ready_ms: list[float] = []
    failed = total = late = 0

    async def prober() -> None:
        nonlocal failed, total, late
        while not until.done():
            number = next(numbers)
            due, path = began + number / rate, _PATHS[number % len(_PATHS)]
            await asyncio.sleep(max(0, due - time.perf_counter()))
            late += time.perf_counter() > due + 0.1
            status = await _status(port, path)
            total += 1
            failed += status not in _WELL[path]
            if path == "/ready":
                ready_ms.append(1000 * (time.perf_counter() - due))

    await asyncio.gather(*(prober() for _ in range(_PROBERS)))
    return Probed(ready_ms, failed, total, late)


async def _status(port: int, path: str) -> bytes:
    """The status of the answer; empty where there is none in time."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(60 if "wait" in path else _PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return (await reader.read(-1))[9:12]
            finally:
                writer.close()
    return b""


@asynccontextmanager
async def listeners(port: int, reading: int, deaf: int) -> AsyncIterator[None]:
    """So many clients of `/events` that read, and so many that have stopped."""
    request = b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
    loop = asyncio.get_running_loop()
    held: list[socket.socket] = []

    async def read() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        with suppress(OSError):
            while await reader.read(65_536):
                pass
        writer.close()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read()) for _ in range(reading)]
        for _ in range(deaf):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, request)
            held.append(client)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for client in held:
                client.close()
