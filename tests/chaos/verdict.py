"""What a schedule left behind, compared with what an undisturbed run leaves, in three words.

*lost*: something that was to happen did not. *twice*: something happened that was not to, or not again.
*stuck*: somebody did not come to an end, or left a lock, a backend or an invalid index. And *wrong*, where
a process ended in a way, or printed something, that the documentation excludes.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from harness.oracle import NOTHING, Leftovers, Outcome

_MOST_LINES = 20


class Finding(Struct, frozen=True):
    """What is wrong: one of the words, and the particulars."""

    word: str
    text: str


class Dealt(Struct, frozen=True):
    """A fault that was dealt; *inside* a run, or after all were done."""

    kind: str
    inside: bool


class Verdict(Struct, frozen=True):
    """How a schedule ended; None was found where all is well. *missed* moments never came."""

    seed: int
    finding: Finding | None
    seconds: float
    dealt: tuple[Dealt, ...] = ()
    missed: int = 0
    log: str = ""


def compare(expected: Outcome, found: Outcome) -> Finding | None:
    """The first difference, the gravest first."""
    again = Counter(found.ledger) - Counter(expected.ledger)
    if again:
        return Finding("twice", f"the ledger has too much: {dict(again)}")
    more = [
        f"{table}: {count} rows, not {expected.data[table][0]}"
        for table, (count, _) in found.data.items()
        if table in expected.data and count > expected.data[table][0]
    ]
    if more:
        return Finding("twice", "; ".join(more))
    for name in ("ledger", "history", "journal", "schema"):
        if differing := _difference(getattr(expected, name), getattr(found, name)):
            return Finding("lost", f"{name} differs:\n{differing}")
    if expected.data != found.data:
        return Finding("lost", f"data differ:\n{_difference(expected.data.items(), found.data.items())}")
    if found.dump and expected.dump != found.dump:
        lines = _difference(expected.dump.splitlines(), found.dump.splitlines())
        return Finding("lost", f"pg_dump differs:\n{lines}")
    return None


def left_behind(left: Leftovers) -> Finding | None:
    return None if left == NOTHING else Finding("stuck", f"left behind: {left}")


def _difference(expected: Iterable[object], found: Iterable[object]) -> str:
    lines = difflib.unified_diff(
        [*map(str, expected)], [*map(str, found)], "undisturbed", "found", n=0, lineterm=""
    )
    return "\n".join([*lines][:_MOST_LINES])
