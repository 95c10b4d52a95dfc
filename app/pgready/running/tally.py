"""How many migrations a run applied, over every time that it took the lock."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from pgready.core.events import Event, MigrationApplied
from pgready.core.model import Kind
from pgready.core.planning import Plan, State

if TYPE_CHECKING:
    from pgready.running.apply import Applier


class Tally:
    """*applied* is how many there are so far; *applied_by* is what their rows say. *begun* is the last
    migration that the run ran something of.
    """

    def __init__(self, applied_by: str, emit: Callable[[Event], None]) -> None:
        self._applied_by = applied_by
        self._emit = emit
        self._unanswered: Set[tuple[Kind, str]] = frozenset()
        self.applied = 0
        self.begun: tuple[Kind, str] | None = None

    def add(self, applier: Applier) -> None:
        """Count what *applier*, which is done, applied: each time that the lock was taken has its own."""
        self.applied += applier.applied
        self.begun = applier.begun or self.begun
        self._unanswered = applier.unanswered

    def tell_unanswered(self, plan: Plan, *, under_lock: bool) -> None:
        """Tell of what was committed although the answer was lost with the connection: its row names us.

        Until the lock is ours again, the backend that we lost may still be at work. A peer's history names
        nobody, and then another may have applied it meanwhile.
        """
        if not self._unanswered:
            return
        unanswered, ours = self._unanswered, self._applied_by
        applied = [entry for entry in plan.entries if entry.state is State.APPLIED]
        seen = {(entry.kind, entry.version) for entry in applied}
        self._unanswered = frozenset() if under_lock else unanswered - seen
        for entry in applied:
            row = entry.applied
            if (entry.kind, entry.version) in unanswered and row is not None and row.applied_by == ours:
                self.applied += 1
                kind, took_ms = entry.kind.value, row.duration_ms
                self._emit(MigrationApplied(entry.version, entry.name, kind, took_ms, ours))
