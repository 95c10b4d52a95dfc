"""`make chaos`: many schedules, by several workers; the exit code is 1 where one failed."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct
from msgspec.structs import replace

from harness.pgbouncer import MISSING, program

from .schedule import Schedule, draw, from_json, to_json
from .shrink import smallest
from .tally import Tally
from .verdict import Verdict

_TESTS = Path(__file__).resolve().parents[1]
_TELL_EVERY_SECONDS = 10.0
_LONGEST_LINE = 1 << 24
_MOST_SHRUNK = 3
_SHRINKING_SECONDS = 180.0


class Options(Struct, frozen=True):
    schedules: tuple[Schedule, ...]
    workers: int
    shrink: bool


def _options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--schedules", type=int, default=300, help="how many, from the seed on")
    parser.add_argument("--from-seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--schedule", type=from_json, help="one that was printed as JSON")
    parser.add_argument("--times", type=int, default=1, help="how often each is carried out")
    parser.add_argument("--workers", type=int, default=4 * (os.cpu_count() or 1), help="how many at a time")
    parser.add_argument("--no-shrink", action="store_true", help="print failures as they are")
    chosen = parser.parse_args(arguments)
    if chosen.schedule is not None:
        schedules = [chosen.schedule]
    elif chosen.seed is not None:
        schedules = [draw(chosen.seed)]
    else:
        schedules = [draw(chosen.from_seed + number) for number in range(chosen.schedules)]
    if program() is None and any(schedule.route != "direct" for schedule in schedules):
        _say(f"no schedule leads through a pooler: {MISSING}")
        schedules = [replace(schedule, route="direct") for schedule in schedules]
    schedules *= chosen.times
    return Options(tuple(schedules), min(chosen.workers, len(schedules)), not chosen.no_shrink)


class Worker:
    """One worker process, which carries out a schedule at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._input = process.stdin
        self._output = BufferedByteReceiveStream(process.stdout)

    @classmethod
    @asynccontextmanager
    async def started(cls) -> AsyncIterator[Worker]:
        environment = {**os.environ, "PYTHONPATH": str(_TESTS)}
        command = [sys.executable, "-m", "chaos.worker"]
        async with await anyio.open_process(command, env=environment, stderr=None) as process:
            yield cls(process)
            assert process.stdin is not None
            await process.stdin.aclose()  # the end of its work
            await process.wait()

    async def judge(self, schedule: Schedule) -> Verdict:
        await self._input.send(f"{to_json(schedule)}\n".encode())
        line = await self._output.receive_until(b"\n", _LONGEST_LINE)
        return msgspec.json.decode(line, type=Verdict)

    async def fails(self, schedule: Schedule) -> bool:
        return (await self.judge(schedule)).finding is not None


class Campaign:
    """Hands schedules out to workers, and says how far it is."""

    def __init__(self, options: Options) -> None:
        self.tally = Tally()
        self._options = options
        self._left: Iterator[Schedule] = iter(options.schedules)
        self._began = time.monotonic()
        self._shrunk = 0

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_telling)
            async with anyio.create_task_group() as workers:
                for _ in range(self._options.workers):
                    workers.start_soon(self._work)
            group.cancel_scope.cancel()

    async def _work(self) -> None:
        async with Worker.started() as worker:
            for schedule in self._left:
                verdict = await worker.judge(schedule)
                self.tally.add(schedule, verdict)
                if verdict.finding is not None:
                    await self._tell_failure(worker, schedule, verdict)

    async def _tell_failure(self, worker: Worker, schedule: Schedule, verdict: Verdict) -> None:
        assert verdict.finding is not None
        what = f"{verdict.finding.word}: {verdict.finding.text}"
        _say(f"\n{verdict.log}\n\n{what}\n{schedule}\n{_replay(schedule)}")
        self._shrunk += 1
        if not self._options.shrink or self._shrunk > _MOST_SHRUNK:
            return
        found = schedule

        async def fails(candidate: Schedule) -> bool:
            nonlocal found
            failed = await worker.fails(candidate)
            found = candidate if failed else found
            return failed

        with anyio.move_on_after(_SHRINKING_SECONDS):
            await smallest(schedule, fails)
        _say(f"the smallest that failed of seed {schedule.seed}: {found}\n{_replay(found)}\n")

    async def _keep_telling(self) -> None:
        while True:
            await anyio.sleep(_TELL_EVERY_SECONDS)
            _say(f"{self.seconds:.0f} s, of {len(self._options.schedules)}: {self.tally.verdict}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


def _replay(schedule: Schedule) -> str:
    if schedule == draw(schedule.seed):
        return f"replay: make chaos SEED={schedule.seed}"
    return f"replay: make chaos SCHEDULE='{to_json(schedule)}'"


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str]) -> int:
    campaign = Campaign(_options(arguments))
    anyio.run(campaign.run)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    _say(f"{campaign.seconds:.0f} s, {busy:.0f} s of CPU\n{campaign.tally.text()}")
    return 1 if campaign.tally.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
