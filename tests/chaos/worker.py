"""A worker process: schedules come in, verdicts go out, as JSON lines, until the end of input."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from .place import Place
from .schedule import Schedule, from_json
from .simulation import Simulator
from .verdict import Finding, Verdict

_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 4 << 30


async def _work(place: Place) -> None:
    simulator = Simulator(place)
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        verdict = await _judge(simulator, from_json(line))
        sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")
        sys.stdout.flush()


async def _judge(simulator: Simulator, schedule: Schedule) -> Verdict:
    try:
        return await simulator.judge(schedule)
    except Exception:
        return Verdict(
            schedule.seed, Finding("wrong", "the simulator itself failed"), 0, log=traceback.format_exc()
        )


def _in_memory() -> None:
    """Keep the servers' files in memory where there is room: a database is made and dropped every second."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES:
        tempfile.tempdir = str(_MEMORY)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gives the work, and ends the input
    _in_memory()
    home = Path(tempfile.mkdtemp(prefix="pgready-chaos-"))
    place = Place(home)
    try:
        place.start()
        anyio.run(_work, place)
    finally:
        place.close()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
