"""A failing schedule loses all that its failure does not need."""

from __future__ import annotations

from chaos.schedule import Fault, Moment, Replica, Schedule
from chaos.shrink import TRIES, smallest

LARGE = Schedule(
    seed=1,
    replicas=(Replica("serve", executed=True), Replica(), Replica(start=Moment("replica.settled"))),
    faults=tuple(
        Fault(kind, Moment("wire.commit", 3, 5), other=True) for kind in ("kill", "cut", "pause", "reset")
    ),
    folder="drizzle",
    route="session",
    missing=True,
)


async def test_only_what_a_failure_needs_is_left() -> None:
    async def fails(schedule: Schedule) -> bool:
        return "pause" in {fault.kind for fault in schedule.faults} and len(schedule.replicas) > 1

    found = await smallest(LARGE, fails)

    assert found == Schedule(1, (Replica(), Replica()), (Fault("pause", Moment("wire.commit", 3)),))


async def test_a_failure_that_comes_seldom_is_tried_for_a_few_times() -> None:
    calls = 0

    async def fails(schedule: Schedule) -> bool:
        nonlocal calls
        calls += 1
        return calls % TRIES == 0

    found = await smallest(LARGE, fails)

    assert found == Schedule(1, (Replica(),))


async def test_what_never_fails_again_stays_as_it_was() -> None:
    async def fails(schedule: Schedule) -> bool:
        return False

    assert await smallest(LARGE, fails) == LARGE
