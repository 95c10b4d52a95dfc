"""How far the segment is that runs, what it waits for, and why it is tried again; events folded in."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import events
from pgready.core.model import Kind, LockHolder, Operation


class Retry(Struct, frozen=True):
    """The segment was rolled back for *reason* at try *attempt*; the next begins *delay_seconds* later."""

    reason: str
    attempt: int
    delay_seconds: float


class Progress(Struct, frozen=True):
    """The segment that runs: *statements* of *total* are done; *blockers* hold what it waits for.

    *since* is when it first began, *blocked_since* when it began to wait. *operation* is what the server
    tells of a command that takes long, *retry* why it is tried again.
    """

    version: str
    segment: int
    segments: int
    statements: int
    total: int
    blockers: tuple[LockHolder, ...] = ()
    name: str = ""
    kind: str = Kind.VERSIONED.value
    since: datetime | None = None
    blocked_since: datetime | None = None
    operation: Operation | None = None
    retry: Retry | None = None


def begun(before: Progress | None, event: events.MigrationStarted, now: datetime) -> Progress:
    """A try that follows another one goes on with its time and its blockers."""
    again = (before.version, before.segment) == (event.version, event.segment) if before else False
    return Progress(
        event.version,
        event.segment,
        event.segments,
        0,
        event.statements,
        blockers=before.blockers if before and again else (),
        name=event.name,
        kind=event.kind,
        since=before.since if before and again else now,
        blocked_since=before.blocked_since if before and again else None,
        retry=before.retry if before and again else None,
    )


def progressed(progress: Progress, event: events.Event, now: datetime) -> Progress | None:
    """*progress* after an event that tells of it; None for every other event."""
    match event:
        case events.StatementsRan(statements=statements):
            # Blockers stay: another try of what is blocked runs the statements before it again.
            return replace(progress, statements=statements, operation=None)
        case events.Blocked(waited_seconds=waited, holders=holders):
            since = progress.blocked_since or now - timedelta(seconds=waited)
            return replace(progress, blockers=holders, blocked_since=since)
        case events.Unblocked():
            return replace(progress, blockers=(), blocked_since=None)
        case events.OperationProgressed(operation=operation):
            return replace(progress, operation=operation)
        case events.MigrationRetried():
            return replace(progress, retry=Retry(event.reason, event.attempt, event.delay_seconds))
    return None
