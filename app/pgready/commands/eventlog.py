"""Events as log lines: which level, and which of their values. The event's name is the message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from pgready import logs
from pgready.core import events
from pgready.core.errors import PgreadyError, Place
from pgready.core.model import LockHolder, Operation
from pgready.core.planning import Finding, Flag, Severity, summary

_LEVELS: Mapping[type[events.Event], str] = {
    events.ConnectFailed: "warning",
    events.DriftFound: "warning",
    events.LockWaited: "info",
    events.Blocked: "warning",
    events.HistoryLocked: "warning",
    events.MigrationRetried: "warning",
    events.ConnectionLost: "warning",
    events.DatabaseLost: "warning",
    events.FolderUnwatched: "warning",
    events.TargetUnsettled: "warning",
    events.CheckFailed: "error",
    events.MigrationFailed: "error",
    events.RunFailed: "error",
    events.MigrationStarted: "debug",
    events.StatementsRan: "debug",
    events.OperationProgressed: "debug",
    events.LockReleased: "debug",
    events.PhaseEntered: "debug",
}

_TELL_AGAIN_SECONDS = 60.0
"""How often an attempt to connect is told that failed as the one before it; the others are debug."""

_SHOWN_OF_A_KIND = 10

_ORDER = ("debug", "info", "warning", "error")
_NOTICE_LEVELS = {"WARNING": "warning", "NOTICE": "info", "INFO": "info"}


def tag(event: events.Event) -> str:
    """The event's public name, such as `migration.applied`."""
    return str(event.__struct_config__.tag)


def level(event: events.Event) -> str:
    if isinstance(event, events.ServerNotice):
        return _NOTICE_LEVELS.get(event.severity, "debug")
    return level_of(type(event))


def level_of(event: type[events.Event]) -> str:
    """The level of every event of this type; a server's notice has its own."""
    return _LEVELS.get(event, "info")


def fields(event: events.Event) -> dict[str, Any]:
    """The event's values, those that are set, flat enough for a log line."""
    if isinstance(event, events.Planned):
        counts = msgspec.structs.asdict(summary(event.plan))
        return {name: count for name, count in counts.items() if count} | {"under_lock": event.under_lock}
    values = msgspec.structs.asdict(event)
    return {name: _plain(value) for name, value in values.items() if value not in (None, "", ())}


def log_events(
    log: Any, least: str, completed: Callable[[str], str] = str
) -> Callable[[events.Event, datetime], None]:
    """What writes each event of level *least* or above, with its moment, to the structlog logger *log*; the
    commands in what a plan's findings say are *completed*."""
    shown = _ORDER[_ORDER.index(least) :]
    is_repeated = _repetitions()
    before: frozenset[Finding] = frozenset()

    def write(event: events.Event, happened_at: datetime) -> None:
        named = "debug" if is_repeated(event, happened_at) else level(event)
        if named not in shown:
            return
        timestamp = logs.timestamp(happened_at)
        getattr(log, named)(tag(event), timestamp=timestamp, **fields(event))
        if isinstance(event, events.Planned):
            nonlocal before
            known = before if event.under_lock else ()  # there, only what the look before left to this one
            for said in _said_of([finding for finding in event.plan.findings if finding not in known]):
                whole = {name: completed(value) for name, value in said.items()}
                log.warning("plan.finding", timestamp=timestamp, **whole)
            before = frozenset(event.plan.findings)

    return write


def _repetitions() -> Callable[[events.Event, datetime], bool]:
    """What tells whether an event, which happened then, says no more than one that was told lately."""
    reason, told_at = "", datetime.min.replace(tzinfo=UTC)

    def is_repeated(event: events.Event, happened_at: datetime) -> bool:
        nonlocal reason, told_at
        match event:
            case events.ConnectFailed() if event.reason == reason and event.retry_seconds is not None:
                if (happened_at - told_at).total_seconds() < _TELL_AGAIN_SECONDS:
                    return True
                told_at = happened_at
            case events.ConnectFailed():
                reason, told_at = event.reason, happened_at
            case events.Connected() | events.DatabaseBack():
                reason = ""
        return False

    return is_repeated


def _said_of(findings: Sequence[Finding]) -> Iterator[dict[str, str]]:
    """What is said of *findings*: of those of a kind the first few in full, of the others how many."""
    kinds = Counter((finding.severity, finding.flag) for finding in findings)
    told: Counter[tuple[Severity, Flag | None]] = Counter()
    for finding in findings:
        kind = finding.severity, finding.flag
        told[kind] += 1
        if told[kind] <= _SHOWN_OF_A_KIND:
            yield _said(finding)
        elif told[kind] == kinds[kind]:
            like = f" {finding.flag.value}" if finding.flag else ""
            yield {"message": f"and {kinds[kind] - _SHOWN_OF_A_KIND} more{like}; pgready status has them all"}


def _said(finding: Finding) -> dict[str, str]:
    """What *finding* says; of a folder as a whole it names no version."""
    values = {"version": finding.version, "message": finding.message, "hint": finding.hint}
    return {name: value for name, value in values.items() if value}


def failed(error: PgreadyError, retry_seconds: float | None = None) -> events.RunFailed:
    """The event that says how a run ended."""
    return events.RunFailed(
        message=error.what,
        hint=error.hint,
        exit_code=int(error.exit_code),
        place=error.place,
        sqlstate=error.sqlstate,
        detail=error.detail,
        done=error.done,
        retry_seconds=retry_seconds,
    )


def _plain(value: object) -> object:
    match value:
        case Place():
            return str(value)
        case Operation():
            return f"{value.command} {value.relation}: {value.phase} {value.done}/{value.total} {value.unit}"
        case LockHolder():
            return f"{value.label} {value.application_name if value.pid else ''}".strip()
        case tuple():
            return [_plain(each) for each in value]
        case float():
            return round(value, 3)
    return value
