"""The parts of being ready, in the line format of Kubernetes' API server (`/readyz?verbose`)."""

from __future__ import annotations

from collections.abc import Set

from msgspec import Struct

from pgready.core.phases import Phase
from pgready.core.status import Status
from pgready.service.feed import Feed

_STAGES = {
    Phase.CONNECTING: "connect",
    Phase.WAITING: "lock",
    Phase.BOOTSTRAPPING: "bootstrap",
    Phase.PLANNING: "plan",
    Phase.MIGRATING: "migrations",
    Phase.CHECKING: "checks",
}
_SHUTDOWN = "shutdown"

_DATABASE, _AHEAD = "database", "ahead"

OPTIONAL: tuple[str, ...] = (_DATABASE, _AHEAD)
"""What `include=` takes: told by readiness, and no part of it unless asked (DESIGN 6)."""

NAMES: tuple[str, ...] = (*_STAGES.values(), _SHUTDOWN, *OPTIONAL)
"""What `exclude=` takes, in the order in which a run gets there."""


class Check(Struct, frozen=True):
    """*reason* is None where the check passed."""

    name: str
    reason: str | None


def checks(feed: Feed) -> tuple[Check, ...]:
    """A check for each stage of a run: those behind passed, the one that is worked on and those after
    it did not yet."""
    phase = Phase(feed.status.phase)
    last = (Check(_SHUTDOWN, "draining" if phase is Phase.DRAINING else None), *_optional(feed.status))
    if feed.status.ready or (phase is Phase.DRAINING and feed.started):
        return (*(Check(name, None) for name in _STAGES.values()), *last)
    stages = list(_STAGES)
    reached = stages.index(feed.working_phase)
    return (
        *(Check(_STAGES[stage], _reason(feed, at - reached)) for at, stage in enumerate(stages)),
        *last,
    )


def _optional(status: Status) -> tuple[Check, Check]:
    since, ahead = status.unreachable_since, status.counts.ahead
    lost = f"cannot be reached since {since:%Y-%m-%dT%H:%M:%SZ}" if since else None
    return Check(_DATABASE, lost), Check(_AHEAD, f"{ahead} newer than the folder" if ahead else None)


def _reason(feed: Feed, distance: int) -> str | None:
    if distance < 0:
        return None
    return (feed.status.reason or feed.status.phase) if distance == 0 else "not reached"


def passed(checked: tuple[Check, ...], excluded: Set[str]) -> bool:
    return all(check.reason is None or check.name in excluded for check in checked)


def lines(checked: tuple[Check, ...], excluded: Set[str], name: str) -> str:
    """One line a check, then the verdict on the check called *name* (`readyz`)."""
    told = [_line(check, check.name in excluded) for check in checked]
    verdict = "passed" if passed(checked, excluded) else "failed"
    return "\n".join([*told, f"{name} check {verdict}", ""])


def _line(check: Check, excluded: bool) -> str:
    if excluded:
        return f"[+]{check.name} excluded: ok"
    if check.reason is None:
        return f"[+]{check.name} ok"
    return f"[-]{check.name} failed: {' '.join(check.reason.split())}"
