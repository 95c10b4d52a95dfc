"""`make chaos`: many schedules, by several workers; the exit code is 1 where one failed."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator

import anyio
from msgspec import Struct
from msgspec.structs import replace

from harness.pgbouncer import MISSING, program

from .crew import Worker, WorkerEnded
from .schedule import Schedule, draw, from_json, to_json
from .shrink import smallest
from .tally import Tally
from .verdict import Verdict

_TELL_EVERY_SECONDS = 10.0
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
        schedule = next(self._left, None)
        while schedule is not None:
            async with Worker.started() as worker:
                schedule = await self._employ(worker, schedule)

    async def _employ(self, worker: Worker, schedule: Schedule | None) -> Schedule | None:
        """Have *schedule* and those after it carried out; what is still to do when *worker* has ended."""
        while schedule is not None:
            try:
                verdict = await worker.judge(schedule)
            except WorkerEnded as ended:
                if not ended.judged:
                    raise
                return schedule
            self.tally.add(schedule, verdict)
            if verdict.finding is not None:
                await self._tell_failure(worker, schedule, verdict)
            schedule = next(self._left, None)
        return None

    async def _tell_failure(self, worker: Worker, schedule: Schedule, verdict: Verdict) -> None:
        assert verdict.finding is not None
        what = f"{verdict.finding.word}: {verdict.finding.text}"
        _say(f"\n{verdict.log}\n\n{what}\n{schedule}\n{_replay(schedule)}")
        self._shrunk += 1
        if not self._options.shrink or self._shrunk > _MOST_SHRUNK:
            return
        found = schedule
        until = time.monotonic() + _SHRINKING_SECONDS

        async def fails(candidate: Schedule) -> bool:
            nonlocal found
            failed = time.monotonic() < until and await worker.fails(candidate)
            found = candidate if failed else found
            return failed

        with contextlib.suppress(WorkerEnded):
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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job lacks
    campaign = Campaign(_options(arguments))
    interrupted = False
    try:
        anyio.run(campaign.run)
    except KeyboardInterrupt:
        interrupted = True
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    _say(f"{campaign.seconds:.0f} s, {busy:.0f} s of CPU\n{campaign.tally.text()}")
    return 130 if interrupted else int(bool(campaign.tally.failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
