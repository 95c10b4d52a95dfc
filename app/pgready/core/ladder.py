"""The ladder of lock timeouts that a transaction climbs while others keep its tables (SAFETY 2)."""

from __future__ import annotations

from msgspec import Struct

_RUNGS_MS = (100, 250, 500, 1000, 3000, 5000)


FIRST_MS, LAST_MS = _RUNGS_MS[0], _RUNGS_MS[-1]


def rungs_ms(deadlock_timeout_ms: int) -> tuple[int, ...]:
    """The lock timeouts in the order in which they are tried; the last is kept.

    One is above the server's deadlock_timeout: under it no autovacuum ever gives way. None is longer than
    it must be, however dear an attempt: while we wait in the queue, everybody else waits behind us.
    """
    return tuple(sorted((*_RUNGS_MS, deadlock_timeout_ms * 3 // 2)))


class Ladder(Struct, frozen=True):
    """Where a segment stands: *tries* timed out, the first of them begun at *since* (None: none has)."""

    rung: int = 0
    tries: int = 0
    since: float | None = None

    def timeout_ms(self, deadlock_timeout_ms: int) -> int:
        return rungs_ms(deadlock_timeout_ms)[self.rung]

    def climb(self, now: float, elapsed_seconds: float, deadlock_timeout_ms: int) -> Ladder:
        """After an attempt that took *elapsed_seconds* and timed out.

        Rungs that are under a tenth of that are passed over: what is dear to repeat waits longer.
        """
        rungs = rungs_ms(deadlock_timeout_ms)
        worthwhile_ms = elapsed_seconds * 1000 / 10
        last = len(rungs) - 1
        above = range(min(self.rung + 1, last), len(rungs))
        rung = next((rung for rung in above if rungs[rung] >= worthwhile_ms), last)
        return Ladder(rung, self.tries + 1, now - elapsed_seconds if self.since is None else self.since)

    def waited_seconds(self, now: float) -> float:
        """What of the budget is used."""
        return 0.0 if self.since is None else now - self.since
