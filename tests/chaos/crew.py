"""Worker processes, from the side of who gives them work."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from .schedule import Schedule, to_json
from .verdict import Verdict

_TESTS = Path(__file__).resolve().parents[1]
_LONGEST_LINE = 1 << 24


class WorkerEnded(Exception):
    """It has ended, after *judged* schedules; whoever has work left needs another."""

    def __init__(self, judged: int) -> None:
        super().__init__(f"the worker ended after {judged} schedules")
        self.judged = judged


class Worker:
    """One worker process, which carries out a schedule at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._input = process.stdin
        self._output = BufferedByteReceiveStream(process.stdout)
        self._judged = 0

    @classmethod
    @asynccontextmanager
    async def started(cls) -> AsyncIterator[Worker]:
        """A worker; at the end, or when this is cancelled, it takes its servers down and ends."""
        environment = {**os.environ, "PYTHONPATH": str(_TESTS)}
        process = await anyio.open_process(
            [sys.executable, "-m", "chaos.worker"], env=environment, stderr=None
        )
        try:
            yield cls(process)
        except BaseException:
            process.terminate()
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await process.aclose()  # which ends its input, and so its work

    async def judge(self, schedule: Schedule) -> Verdict:
        """Raises WorkerEnded."""
        try:
            await self._input.send(f"{to_json(schedule)}\n".encode())
            line = await self._output.receive_until(b"\n", _LONGEST_LINE)
        except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead):
            raise WorkerEnded(self._judged) from None
        self._judged += 1
        return msgspec.json.decode(line, type=Verdict)

    async def fails(self, schedule: Schedule) -> bool:
        return (await self.judge(schedule)).finding is not None
