"""`pgready serve` among many clients: probes by the thousand, listeners half of which do not read."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_PATHS = ("/ready", "/ready", "/live", "/startup")
_WELL = {"/ready": (b"200", b"503"), "/live": (b"200",), "/startup": (b"200", b"503")}
_PROBERS = 64  # a probe that takes longer than their number over the rate holds up its prober's next


class Probed(NamedTuple):
    """What became of the probes. Latencies count from the moment at which a probe was due."""

    ready_ms: Sequence[float]
    failed: int
    total: int
    late: int

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.ready_ms, n=100)[percent - 1]


@contextmanager
def daemon(
    arguments: Sequence[str | Path], environ: Mapping[str, str], port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """`pgready serve` on *port*, which answers."""
    process = subprocess.Popen(
        [*map(str, arguments), "--port", str(port)],
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while _status(port, "/live") != b"200":
            if process.poll() is not None:
                raise RuntimeError(f"pgready serve ended with {process.returncode}")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()


def peak_mib(process: subprocess.Popen[bytes]) -> float:
    """The most memory that *process*, which still runs, has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def until_ready(port: int) -> None:
    while _status(port, "/ready?wait=30s", 60) != b"200":
        time.sleep(0.02)


def probe(port: int, rate: int, done: threading.Event) -> Probed:
    """*rate* probes a second, each on a connection of its own as kubelet's are, until *done* is set."""
    began = time.perf_counter() + 0.1
    numbers = itertools.count()
    found: list[tuple[str, float, bool, bool]] = []

    def prober() -> None:
        while not done.is_set():
            number = next(numbers)
            due, path = began + number / rate, _PATHS[number % len(_PATHS)]
            time.sleep(max(0, due - time.perf_counter()))
            late = time.perf_counter() > due + 0.1
            well = _status(port, path) in _WELL[path]
            found.append((path, 1000 * (time.perf_counter() - due), well, late))

    with ThreadPoolExecutor(_PROBERS) as pool:
        for probing in [pool.submit(prober) for _ in range(_PROBERS)]:
            probing.result()
    ready_ms = [ms for path, ms, _, _ in found if path == "/ready"]
    return Probed(ready_ms, sum(not f[2] for f in found), len(found), sum(f[3] for f in found))


def _status(port: int, path: str, patience_seconds: float = 5) -> bytes:
    """The status of the answer; empty where there is none in time."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), patience_seconds) as client:
            client.sendall(request)
            answer = client.recv(65_536)
            while client.recv(65_536):
                pass
    except OSError:
        return b""
    return answer[9:12]


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
