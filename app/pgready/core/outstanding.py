"""What a look leaves for a run to do, compared between looks: the daemon's eyes on somebody else's work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from pgready.core.events import Event, MigrationApplied, Planned
from pgready.core.model import Kind
from pgready.core.planning import Entry, Finding, Flag, Plan, Severity, State

Outstanding = frozenset[tuple[str, str]]
"""What is pending, as kind and version, and what is refused, as `refused` and its message."""

Times = Mapping[tuple[Kind, str], datetime]
"""When each repeatable and bootstrap script was applied last, by the server's clock."""


def outstanding(plan: Plan) -> Outstanding:
    pending = ((entry.kind.value, entry.version) for entry in plan.pending)
    return frozenset((*pending, *(("refused", finding.message) for finding in plan.errors)))


class LeftBehind:
    """Listens to a run, and so knows what it leaves outstanding; None before it has planned."""

    def __init__(self) -> None:
        self.outstanding: Outstanding | None = None

    def listen(self, event: Event) -> None:
        match event:
            case Planned(plan):
                self.outstanding = outstanding(plan)
            case MigrationApplied(version=version, kind=kind) if self.outstanding is not None:
                self.outstanding -= {(kind, version)}


def times(plan: Plan, before: Times) -> Times:
    """The times of *plan*; of what is superseded as they were *before*."""
    return {
        key: before[key] if Flag.AHEAD in entry.flags and key in before else entry.applied.applied_at
        for entry in plan.entries
        if (key := (entry.kind, entry.version))[0] is not Kind.VERSIONED
        and entry.applied
        and entry.applied.applied_at
    }


def without_superseded(plan: Plan, known: Times) -> Plan:
    """*plan*, in which a script that somebody has applied in another form since *known* counts as applied.

    In a rolling deployment the newer replica replaces a view. The older one would put its own back, the
    newer one its own again, and so on: what is later than what we know is ahead of us. In a restored
    backup such a row is older, and its script pending.
    """
    late = [entry for entry in plan.entries if _is_superseded(entry, known)]
    if not late:
        return plan
    versions = {(entry.kind, entry.version) for entry in late}
    entries = (
        replace(entry, state=State.APPLIED, flags=(Flag.AHEAD,))
        if (entry.kind, entry.version) in versions
        else entry
        for entry in plan.entries
    )
    return Plan(tuple(entries), (*plan.findings, *map(_ahead, late)))


def _is_superseded(entry: Entry, known: Times) -> bool:
    since = known.get((entry.kind, entry.version))
    at = entry.applied.applied_at if entry.applied else None
    return entry.state is State.PENDING and since is not None and at is not None and at > since


def _ahead(entry: Entry) -> Finding:
    message = f"{entry.version}: applied by another run in another form; it is left alone"
    hint = "use the folder of the release that has it"
    return Finding(Severity.WARNING, entry.version, Flag.AHEAD, message, hint)
