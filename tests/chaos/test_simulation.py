"""The simulator itself: it finds nothing where nothing is wrong, and what is wrong it finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from chaos.place import Place
from chaos.schedule import Fault, Moment, Replica, Schedule
from chaos.simulation import Simulator

TWO = (Replica(), Replica("serve"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("place"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def simulator(place: Place) -> Simulator:
    return Simulator(place)


@pytest.mark.parametrize("kind", ["kill", "terminate", "freeze", "cut", "backend", "crash", "promote"])
async def test_a_fault_in_the_middle_of_a_run_is_survived(kind: str, simulator: Simulator) -> None:
    fault = Fault(kind, Moment("wire.commit", 9), for_ms=300)

    verdict = await simulator.judge(Schedule(10, TWO, (fault,)))

    assert verdict.finding is None, f"{verdict.finding}\n{verdict.log}"
    assert [(dealt.kind, dealt.inside) for dealt in verdict.dealt] == [(kind, True)]


@pytest.mark.parametrize("folder", ["native", "drizzle", "golang-migrate"])
async def test_a_fault_whose_moment_never_comes_is_counted(folder: str, simulator: Simulator) -> None:
    never = Fault("kill", Moment("migration.applied", 1000))

    verdict = await simulator.judge(Schedule(10, (Replica(),), (never,), folder=folder, missing=True))

    assert verdict.finding is None, f"{verdict.finding}\n{verdict.log}"
    assert (verdict.dealt, verdict.missed) == ((), 1)


async def test_what_is_missing_is_found(simulator: Simulator) -> None:
    folder, expected = await simulator.undisturbed("native")
    more = replace(expected, ledger=(*expected.ledger, "one that nobody wrote"))

    verdict = await simulator.judge(Schedule(1, (Replica(),)), against=(folder, more))

    assert verdict.finding is not None
    assert verdict.finding.word == "lost"
    assert "one that nobody wrote" in verdict.finding.text
    assert "run.ready" in verdict.log


async def test_who_ends_as_nobody_may_is_found(simulator: Simulator) -> None:
    verdict = await simulator.judge(Schedule(1, (Replica("no such command"),)))

    assert verdict.finding is not None
    assert (verdict.finding.word, verdict.finding.text) == ("wrong", "replica-1 ended with 2")
