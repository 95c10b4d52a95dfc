from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgready.core.backoff import CONNECT, LOCK_POLL, RELATION_LOCK, Backoff, draw

CHANCES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize("waits", [CONNECT, LOCK_POLL, RELATION_LOCK])
@given(attempt=st.integers(0, 10_000), chance=CHANCES)
def test_a_wait_is_never_under_the_base_or_over_the_cap(waits: Backoff, attempt: int, chance: float) -> None:
    wait = waits.delay_seconds(attempt, chance)

    assert waits.base_seconds <= wait <= waits.cap_seconds


def test_waits_double_until_the_cap() -> None:
    waits = [Backoff(0.1, 1.0).delay_seconds(attempt, 0.0) for attempt in range(6)]

    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5, 0.5])


def test_chance_spreads_a_wait_over_the_upper_half() -> None:
    waits = [Backoff(0.1, 1.0).delay_seconds(9, chance) for chance in (0.0, 0.5, 0.999)]

    assert waits == pytest.approx([0.5, 0.75, 0.9995])


@given(st.integers(0, 2**64))
def test_a_draw_depends_on_its_seed_alone(seed: int) -> None:
    assert draw(seed) == draw(seed)


def test_draws_are_spread_evenly() -> None:
    seed, tenths = 1, [0] * 10
    for _ in range(10_000):
        chance, seed = draw(seed)
        tenths[int(chance * 10)] += 1

    assert min(tenths) > 850
    assert max(tenths) < 1150
