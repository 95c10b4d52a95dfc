"""Each word of a verdict means what it says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chaos.verdict import compare, left_behind
from harness.oracle import NOTHING, Leftovers, Outcome

EXPECTED = Outcome(
    ledger=("0001", "0002"),
    history=(("versioned", "0001"), ("versioned", "0002")),
    journal=(),
    data={"public.titles": (2, "digest")},
    schema=("relation titles",),
    dump="CREATE TABLE titles",
)


def test_what_an_undisturbed_run_leaves_is_no_finding() -> None:
    assert compare(EXPECTED, EXPECTED) is None
    assert compare(EXPECTED, replace(EXPECTED, dump="")) is None  # not asked for


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        ("lost", {"ledger": ("0001",)}),
        ("twice", {"ledger": ("0001", "0001", "0002")}),
        ("twice", {"ledger": ("0001", "0001")}),
        ("lost", {"history": (("versioned", "0001"),)}),
        ("lost", {"journal": (("versioned", "0001", 1, "started"),)}),
        ("twice", {"data": {"public.titles": (3, "other")}}),
        ("lost", {"data": {"public.titles": (1, "other")}}),
        ("lost", {"data": {"public.titles": (2, "other")}}),
        ("lost", {"data": {}}),
        ("lost", {"schema": ()}),
        ("lost", {"dump": "CREATE TABLE others"}),
    ],
)
def test_a_difference_has_its_word(word: str, changes: dict[str, object]) -> None:
    finding = compare(EXPECTED, replace(EXPECTED, **changes))

    assert finding is not None
    assert finding.word == word


def test_what_is_left_behind_is_stuck() -> None:
    finding = left_behind(Leftovers(locks=((1, 2, 3, "ExclusiveLock"),), backends=()))

    assert left_behind(NOTHING) is None
    assert finding is not None
    assert finding.word == "stuck"
