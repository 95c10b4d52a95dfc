"""A schedule is a pure function of its seed, and no drawn one is hopeless."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos import faults
from chaos.schedule import DEADLY, draw, from_json, to_json

MANY = tuple(draw(seed) for seed in range(1, 2001))


def test_a_seed_is_always_the_same_schedule() -> None:
    assert [draw(seed) for seed in (1, 77, 5000)] == [draw(seed) for seed in (1, 77, 5000)]
    assert len({to_json(each) for each in MANY}) == len(MANY)


def test_a_schedule_is_read_back_from_what_is_printed() -> None:
    assert [from_json(to_json(each)) for each in MANY] == list(MANY)


def test_the_text_of_a_schedule_has_a_line_for_each_replica_and_fault() -> None:
    schedule = draw(3)

    assert len(str(schedule).splitlines()) == 1 + len(schedule.replicas) + len(schedule.faults)
    assert str(schedule).startswith("seed 3: ")


def test_somebody_outlives_every_fault() -> None:
    for schedule in MANY:
        assert sum(fault.kind in DEADLY for fault in schedule.faults) < len(schedule.replicas), schedule


def test_every_kind_of_fault_is_drawn_and_dealt() -> None:
    drawn = Counter(fault.kind for schedule in MANY for fault in schedule.faults)

    assert set(drawn) == faults.BLOWS.keys() | faults.AFTERMATHS.keys()


def test_what_costs_much_is_drawn_seldom() -> None:
    dear = Counter(
        fault.kind for each in MANY for fault in each.faults if fault.kind in ("crash", "promote", "restart")
    )

    assert 10 < dear["promote"] < 50
    assert dear.total() < 0.15 * len(MANY)


@pytest.mark.parametrize("share", ["session", "transaction", "drizzle", "golang-migrate"])
def test_poolers_and_peers_have_their_share(share: str) -> None:
    assert sum(share in (each.route, each.folder) for each in MANY) > 20
