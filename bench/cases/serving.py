"""`pgready serve` among many clients."""

from __future__ import annotations

import asyncio
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crowds
import folders
from harness.server import free_port
from report import Row
from rig import PGREADY, Rig

_SECONDS, _RATE = 60, 1000
_COUNT, _EACH = 2000, 100


def probes(rig: Rig) -> list[Row]:
    """Probes through a migration, of which none may fail."""
    folder = folders.native(rig.work / "probes", folders.sleeping(_SECONDS, 1.0))
    rig.fresh("probes")
    probed, peak = _probed(rig, folder)
    return [
        Row(
            f"/ready, {_RATE} probes a second for {_SECONDS} s",
            PGREADY,
            probed.percentile(50) / 1000,
            low=min(probed.ready_ms) / 1000,
            high=max(probed.ready_ms) / 1000,
            peak_mib=peak,
            wanted="none fails, p99 < 50 ms",
            note=f"p99 {probed.percentile(99):.1f} ms; {probed.failed} of {probed.total} failed, "
            f"{probed.late} sent late",
        )
    ]


def _probed(rig: Rig, folder: Path) -> tuple[crowds.Probed, float]:
    serve, port, done = rig.pgready("serve", folder, "probes"), free_port(), threading.Event()
    with (
        crowds.daemon(serve.arguments, serve.environ, port) as daemon,
        ThreadPoolExecutor(1) as pool,
    ):
        probing = pool.submit(crowds.probe, port, _RATE, done)
        try:
            crowds.until_ready(port)
        finally:
            done.set()
        return probing.result(), crowds.peak_mib(daemon)


def listeners(rig: Rig) -> list[Row]:
    """A run of small migrations alone, and before as many deaf listeners as reading ones."""
    folder = folders.native(rig.work / "listened", folders.steps(_COUNT, small=True))
    folders.pause(folder, 5)
    found: dict[int, list[tuple[float, float]]] = {0: [], _EACH: []}
    for number in range(max(3, rig.rounds)):
        for listening in found if number % 2 else reversed(found):
            found[listening].append(asyncio.run(_listened(rig, folder, listening)))
    alone = statistics.median(seconds for seconds, _ in found[0])
    return [_row(listening, runs, alone) for listening, runs in found.items()]


def _row(listening: int, runs: list[tuple[float, float]], alone_seconds: float) -> Row:
    seconds = sorted(seconds for seconds, _ in runs)
    median = statistics.median(seconds)
    return Row(
        f"Apply {_COUNT:,} small before listeners of /events",
        f"{2 * listening} listeners",
        median,
        low=seconds[0],
        high=seconds[-1],
        peak_mib=max(peak for _, peak in runs),
        wanted="≤ 1.1 of alone, + 64 MiB" if listening else "",
        note=f"{median / alone_seconds:.2f} of alone",
    )


async def _listened(rig: Rig, folder: Path, listening: int) -> tuple[float, float]:
    """How long the run took after its first pause, and the daemon's peak of memory."""
    rig.fresh("listened")
    serve, port = rig.pgready("serve", folder, "listened"), free_port()
    with crowds.daemon(serve.arguments, serve.environ, port) as daemon:
        async with crowds.listeners(port, listening, listening):
            await asyncio.to_thread(crowds.until_ready, port)
            peak = crowds.peak_mib(daemon)
    took = "SELECT extract(epoch FROM max(applied_at) - min(applied_at)) FROM pgready.history"
    return float(rig.server.psql(took, database="listened")), peak
