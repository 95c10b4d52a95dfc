"""The one picture that every output renders: `/ready`, `/migrations`, the log, the command line.

Events go in, one at a time; a new frozen Status comes out. The migrations are a roster, so that ten
thousand events on ten thousand migrations do not copy the list ten thousand times.

`ready` latches (DESIGN 6): that the database cannot be reached, or is ahead of this folder, is told and
changes nothing about it; nor does a password that was rotated. Whatever is pending, refused or failed after
it does, and so does draining.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import events
from pgready.core.errors import ExitCode, Place
from pgready.core.model import Kind, LockHolder
from pgready.core.needs import Needs
from pgready.core.planning import Counts, Entry, Plan, Severity, State, Work, summary
from pgready.core.progress import Progress, begun, progressed
from pgready.core.roster import Roster, roster

_NOTICES = 20
_NAMED = 3


class MigrationStatus(Struct, frozen=True):
    """Where one migration stands; *state* and *flags* are the words of `core.planning`.

    *hazards* are what is known, before it runs, to be worth a thought.
    """

    version: str
    name: str
    kind: str
    state: str
    flags: tuple[str, ...] = ()
    checksum: str | None = None
    applied_at: datetime | None = None
    applied_by: str | None = None
    duration_ms: int | None = None
    hazards: tuple[str, ...] = ()


class Failure(Struct, frozen=True):
    """How the last run failed; *retry_seconds* where the daemon tries again by itself."""

    message: str
    exit_code: int
    hint: str | None = None
    place: Place | None = None
    sqlstate: str | None = None
    detail: str | None = None
    done: str | None = None
    retry_seconds: float | None = None


class Attempts(Struct, frozen=True):
    """Attempts to connect: how many, and why the last one failed (None: it did not)."""

    count: int = 0
    last_reason: str | None = None


class LockWait(Struct, frozen=True):
    """The migration lock that another holds."""

    holder: LockHolder | None
    waited_seconds: float


class Status(Struct, frozen=True):
    """One target at one moment. Times are UTC. *since* is when the phase was entered.

    *errors* and *warnings* are what the last plan refused and warned of, with what to do; *drift* is what
    exists and differs from what is declared, as the last run found it; *applied_this_run* counts since that
    began; *unreachable_since* is set while the target cannot be reached, whether it is ready or not.
    """

    schema: int = 1
    phase: str = "connecting"
    ready: bool = False
    started_at: datetime | None = None
    since: datetime | None = None
    reason: str | None = None
    unreachable_since: datetime | None = None
    failure: Failure | None = None
    target: str | None = None
    database: str | None = None
    user: str | None = None
    server_version: str | None = None
    dialect: str = "native"
    namespace: str = "default"
    environment: str | None = None
    attempts: Attempts = Attempts()
    counts: Counts = Counts()
    lock: LockWait | None = None
    progress: Progress | None = None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    applied_this_run: int = 0
    duration_ms: int | None = None
    roster: Roster[MigrationStatus] = Roster()

    @property
    def migrations(self) -> tuple[MigrationStatus, ...]:
        """Every migration as it stands now, in the order in which they run."""
        return tuple(self.roster)


def initial(
    *,
    started_at: datetime,
    target: str | None = None,
    namespace: str = "default",
    environment: str | None = None,
) -> Status:
    """The status of a run that has not begun."""
    return Status(
        started_at=started_at, since=started_at, target=target, namespace=namespace, environment=environment
    )


def advance(status: Status, event: events.Event, now: datetime) -> Status:
    """*status* after *event*. An event that says nothing new about it leaves it as it is."""
    match event:
        case events.PhaseEntered(phase):
            return _entered(status, phase, now)
        case events.ConnectFailed(attempt=attempt, reason=reason):
            since = status.unreachable_since or now
            attempts, why = Attempts(attempt, reason), _lost(reason) if status.ready else reason
            return replace(status, attempts=attempts, reason=why, unreachable_since=since)
        case events.Connected():
            return replace(
                status,
                attempts=Attempts(event.attempt),
                database=event.database,
                user=event.user,
                server_version=event.server_version,
                reason=None,
                unreachable_since=None,
            )
        case events.DriftFound(what, name, difference):
            return _drifted(status, f"{what} {name}: {difference}")
        case events.Located(target):
            return replace(status, target=target)
        case events.Planned():
            return _planned(status, event, now)
        case events.LockWaited(holder, waited_seconds):
            return replace(status, lock=LockWait(holder, waited_seconds))
        case events.LockTaken():
            return replace(status, lock=None)
        case events.MigrationStarted():
            return replace(status, progress=begun(status.progress, event, now))
        case events.MigrationApplied():
            return _applied(status, event, now)
        case events.MigrationReverted(version):
            return _reverted(status, version)
        case events.MigrationFailed(version):
            return _stopped(status, version)
        case events.ServerNotice():
            text = f"{event.severity}: {event.message}"
            return replace(status, notices=(*status.notices[1 - _NOTICES :], text))
        case events.ConnectionLost(reason):
            return replace(status, reason=f"connection lost: {reason}", lock=None, progress=None)
        case events.ReadyReached():
            done = replace(status, ready=True, reason=None, failure=None, duration_ms=event.duration_ms)
            return _entered(done, "ready", now)
        case events.RunFailed():
            return _failed(status, event, now)
        case events.DatabaseLost(reason):
            return replace(status, attempts=Attempts(), reason=_lost(reason), unreachable_since=now)
        case events.DatabaseBack():
            attempts = Attempts(status.attempts.count + 1)
            return replace(status, attempts=attempts, reason=None, unreachable_since=None)
        case events.TargetUnsettled(reason):
            return replace(status, reason=reason)
        case events.FolderUnsettled(paths, reason) if not status.ready:
            return replace(status, reason=f"{', '.join(paths)}: {reason}")
    progress = progressed(status.progress, event, now) if status.progress else None
    return replace(status, progress=progress) if progress else status


def _lost(reason: str) -> str:
    return f"the database is lost: {reason}"


def looked(status: Status, now: datetime, needs: Needs) -> Status:
    """The *status* of who only looked: ready where `up` would change nothing and refuse nothing, and if not,
    why. The phase is `ready`, or stays `planning`.
    """
    errors = (*status.errors, *(lack.finding.with_hint for lack in needs.lacking))
    pending = status.counts.pending + status.counts.partly_applied
    left = (*errors[:1], *((f"{pending} pending",) if pending else ()), *_missing(needs))
    if left:
        return replace(status, ready=False, reason="; ".join(left), errors=errors)
    return _entered(replace(status, ready=True, reason=None), "ready", now)


def _missing(needs: Needs) -> tuple[str, ...]:
    """What is declared and missing, of much the first; without the database nothing else is known."""
    if any(task.what == "database" for task in needs.tasks):
        return ("the database is missing",)
    first = ", ".join(f"{task.what} {task.name}" for task in needs.tasks[:_NAMED])
    more = ", …" if len(needs.tasks) > _NAMED else ""
    return (f"something declared is missing ({first}{more})",) if first else ()


_BETWEEN_RUNS = frozenset({"ready", "failed", "draining"})


def _entered(status: Status, phase: str, now: datetime) -> Status:
    if phase == status.phase:
        return status
    waiting = phase in ("waiting", "planning")  # it looks again while another holds the lock
    begins = status.phase in _BETWEEN_RUNS and phase not in _BETWEEN_RUNS
    return replace(
        status,
        phase=phase,
        since=now,
        applied_this_run=0 if begins else status.applied_this_run,
        drift=() if begins else status.drift,  # a run finds it in two parts: the cluster's, the database's
        ready=status.ready and phase != "draining",
        progress=status.progress if phase in ("migrating", "bootstrapping") else None,
        lock=status.lock if waiting else None,
    )


def _drifted(status: Status, text: str) -> Status:
    # Every look tells of the same drift.
    return status if text in status.drift else replace(status, drift=(*status.drift, text))


def _planned(status: Status, event: events.Planned, now: datetime) -> Status:
    plan = event.plan
    work = {(each.kind, each.version): each for each in event.work}
    warnings = (finding for finding in plan.findings if finding.severity is Severity.WARNING)
    planned = replace(
        status,
        dialect=event.dialect,
        roster=roster(((entry.kind.value, entry.version), _standing(entry, work)) for entry in plan.entries),
        counts=summary(plan),
        errors=tuple(finding.with_hint for finding in plan.errors),
        warnings=tuple(finding.with_hint for finding in warnings),
    )
    unready = _unready(plan) if status.ready else None
    if unready is None:
        return planned
    return _entered(replace(planned, ready=False, reason=unready), "planning", now)


def _unready(plan: Plan) -> str | None:
    """Why a target with this *plan* is not ready, if so."""
    if plan.errors:
        return plan.errors[0].message
    return f"{len(plan.pending)} pending" if plan.pending else None


def _standing(entry: Entry, pending: Mapping[tuple[Kind, str], Work]) -> MigrationStatus:
    row = entry.applied
    work = pending.get((entry.kind, entry.version)) if pending else None
    return MigrationStatus(
        version=entry.version,
        name=entry.name,
        kind=entry.kind.value,
        state=entry.state.value,
        flags=tuple(flag.value for flag in entry.flags),
        checksum=entry.migration.checksum if entry.migration else row.checksum if row else None,
        applied_at=row.applied_at if row else None,
        applied_by=row.applied_by if row else None,
        duration_ms=row.duration_ms if row else None,
        hazards=work.hazards if work else (),
    )


def _applied(status: Status, event: events.MigrationApplied, now: datetime) -> Status:
    applied = replace(status, applied_this_run=status.applied_this_run + 1, progress=None)
    key = event.kind, event.version
    before = status.roster.find(key)
    if before is None:
        return applied
    after = replace(
        before,
        state=State.APPLIED.value,
        flags=(),
        hazards=(),
        applied_at=before.applied_at if before.state == State.APPLIED.value else now,  # as its row says
        applied_by=event.applied_by or None,
        duration_ms=event.duration_ms,
    )
    return _moved(applied, key, before, after)


def _reverted(status: Status, version: str) -> Status:
    key = Kind.VERSIONED.value, version
    before = status.roster.find(key)
    if before is None:
        return status
    after = replace(before, state=State.PENDING.value, applied_at=None, applied_by=None, duration_ms=None)
    return _moved(status, key, before, after)


def _stopped(status: Status, version: str) -> Status:
    """A failed migration is shown as failed until the next plan, though a transaction left nothing."""
    for kind in Kind:
        key = kind.value, version
        before = status.roster.find(key)
        if before is not None and before.state != State.APPLIED.value:
            return _moved(status, key, before, replace(before, state=State.FAILED.value))
    return status


def _moved(status: Status, key: _Key, before: MigrationStatus, after: MigrationStatus) -> Status:
    """*status* with one migration in another place; the counts follow."""
    counts = status.counts
    for state, change in ((before.state, -1), (after.state, 1)):
        field = state.replace(" ", "_")
        counts = replace(counts, **{field: getattr(counts, field) + change})
    return replace(status, roster=status.roster.with_item(key, after), counts=counts)


_Key = tuple[str, str]


def _failed(status: Status, event: events.RunFailed, now: datetime) -> Status:
    values = {field: getattr(event, field) for field in Failure.__struct_fields__}
    why = f"{event.place}: {event.message}" if event.place else event.message
    failed = replace(status, failure=Failure(**values), reason=why, progress=None, lock=None)
    if status.ready and event.exit_code in _CANNOT_LOOK:
        return _entered(failed, "ready", now)
    return _entered(replace(failed, ready=False), "failed", now)


# That nobody lets us look says nothing about the schema, which was ready when we looked last.
_CANNOT_LOOK = frozenset({ExitCode.UNREACHABLE, ExitCode.DENIED})
