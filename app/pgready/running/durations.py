"""How long migrations took, a segment after the other."""

from __future__ import annotations

from collections.abc import Sequence

from pgready.core.model import Kind, Migration
from pgready.core.planning import Work


class Durations:
    """What the segments of *work*'s migrations took so far: of each the sum."""

    def __init__(self, work: Sequence[Work]) -> None:
        self._ms: dict[tuple[Kind, str], float | None] = {
            (one.kind, one.version): one.done_ms for one in work
        }

    def add(self, migration: Migration, seconds: float | None) -> None:
        """None where that went with the process that ran it, and the sum with it."""
        key = migration.kind, migration.version
        before_ms = self._ms[key]
        self._ms[key] = None if before_ms is None or seconds is None else before_ms + 1000 * seconds

    def begin_anew(self, migration: Migration) -> None:
        self._ms[migration.kind, migration.version] = 0

    def so_far_ms(self, migration: Migration) -> int | None:
        """None where nobody knows."""
        duration_ms = self._ms[migration.kind, migration.version]
        return None if duration_ms is None else round(duration_ms)
