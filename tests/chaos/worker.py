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
import anyio.abc
import anyio.to_thread
import msgspec

from .place import Place
from .schedule import from_json
from .simulation import Simulator
from .verdict import Finding, Verdict

_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 4 << 30


async def _live(place: Place) -> None:
    """Work until the input ends, a signal comes, or the simulator itself fails."""
    async with anyio.create_task_group() as group:
        await group.start(_listen, group.cancel_scope)
        await anyio.to_thread.run_sync(place.start)
        await _work(Simulator(place))
        group.cancel_scope.cancel()


async def _listen(
    scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


async def _work(simulator: Simulator) -> None:
    while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        schedule = from_json(line)
        try:
            verdict = await simulator.judge(schedule)
        except Exception:  # its servers may be anything now: another worker goes on
            trouble = Finding("wrong", "the simulator itself failed")
            _answer(Verdict(schedule.seed, trouble, 0, log=traceback.format_exc()))
            return
        _answer(verdict)


def _answer(verdict: Verdict) -> None:
    sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")
    sys.stdout.flush()


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
        anyio.run(_live, place)
    finally:
        place.close()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
