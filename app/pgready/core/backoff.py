"""Waits between attempts: exponential, jittered, and pure, because chance comes in as a value.

`random` keeps hidden state. Here a seed is handed on instead, so that a run can be replayed exactly.
"""

from __future__ import annotations

from msgspec import Struct

# Knuth's MMIX generator. Its high bits spread replicas apart well enough; nothing secret depends on them.
_MULTIPLIER = 6364136223846793005
_INCREMENT = 1442695040888963407
_MODULUS = 2**64

# Far more doublings than any cap needs, and still a finite float.
_MOST_DOUBLINGS = 64


def draw(seed: int) -> tuple[float, int]:
    """A number from 0 up to but not including 1, and the seed for the next draw."""
    following = (seed * _MULTIPLIER + _INCREMENT) % _MODULUS
    return (following >> 11) / 2**53, following


class Backoff(Struct, frozen=True):
    """Waits that double from *base_seconds* to *cap_seconds*."""

    base_seconds: float
    cap_seconds: float

    def delay_seconds(self, attempt: int, chance: float) -> float:
        """The wait after failed attempt *attempt* (from 0), *chance* of the way through its range.

        Equal jitter: at least half of the doubled wait, so that nobody hammers, and never under the base
        or over the cap.
        """
        doubled = self.base_seconds * 2.0 ** (min(attempt, _MOST_DOUBLINGS) + 1)
        most = min(self.cap_seconds, doubled)
        least = max(min(self.base_seconds, most), most / 2)
        return least + (most - least) * chance


CONNECT = Backoff(base_seconds=0.1, cap_seconds=5.0)
LOCK_POLL = Backoff(base_seconds=0.1, cap_seconds=1.0)
RELATION_LOCK = Backoff(base_seconds=0.1, cap_seconds=30.0)
