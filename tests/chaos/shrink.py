"""Makes a failing schedule smaller: fewer faults, fewer replicas, less of everything, as long as it fails.

Timing is real, so a candidate gets a few tries to fail before it is given up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from msgspec.structs import replace

from .schedule import Fault, Replica, Schedule

Fails = Callable[[Schedule], Awaitable[bool]]

TRIES = 3


def candidates(schedule: Schedule) -> Iterator[Schedule]:
    """Schedules with one thing less, those that lose the most first."""
    faults, replicas = schedule.faults, schedule.replicas
    for index in range(len(faults)):
        yield replace(schedule, faults=(*faults[:index], *faults[index + 1 :]))
    for index in range(len(replicas) - 1, 0, -1):
        yield replace(schedule, replicas=(*replicas[:index], *replicas[index + 1 :]))
    if schedule.folder != "native":
        yield replace(schedule, folder="native")
    if schedule.route != "direct":
        yield replace(schedule, route="direct")
    if schedule.missing:
        yield replace(schedule, missing=False)
    for index, replica in enumerate(replicas):
        if simpler := _simpler(replica):
            yield replace(schedule, replicas=(*replicas[:index], simpler, *replicas[index + 1 :]))
    for index, fault in enumerate(faults):
        if prompt := _at_once(fault):
            yield replace(schedule, faults=(*faults[:index], prompt, *faults[index + 1 :]))


def _simpler(replica: Replica) -> Replica | None:
    plain = Replica(start=replica.start)
    return None if replica == plain else plain


def _at_once(fault: Fault) -> Fault | None:
    if not fault.moment.delay_ms and not fault.other:
        return None
    return replace(fault, moment=replace(fault.moment, delay_ms=0), other=False)


async def smallest(schedule: Schedule, fails: Fails) -> Schedule:
    """The smallest schedule that was found to fail; *schedule* itself where nothing smaller does."""
    while True:
        for candidate in candidates(schedule):
            if await _fails_once(candidate, fails):
                schedule = candidate
                break
        else:
            return schedule


async def _fails_once(schedule: Schedule, fails: Fails) -> bool:
    for _ in range(TRIES):
        if await fails(schedule):
            return True
    return False
