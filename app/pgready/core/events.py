"""What happens in a run, as values. The names (tags) are public: logs, `/events` and tests use them.

`running` emits them, `core.status` folds them into the one Status that every output renders.
"""

from __future__ import annotations

from msgspec import Struct

from pgready.core.errors import Place
from pgready.core.model import LockHolder, Operation
from pgready.core.planning import Plan, Work


class Event(Struct, frozen=True, tag_field="event"):
    """The base of all events."""


class PhaseEntered(Event, frozen=True, tag="phase.entered"):
    phase: str


class Located(Event, frozen=True, tag="target.located"):
    """Where the target is, as a URL without its password."""

    target: str


class EmbeddedStarted(Event, frozen=True, tag="embedded.started"):
    """An embedded PostgreSQL serves; *psql* is the command that opens it, *adopted* if it ran already."""

    version: str
    directory: str
    psql: str
    created: bool
    adopted: bool


class ConnectFailed(Event, frozen=True, tag="connect.failed"):
    """An attempt to connect failed; the next one follows in *retry_seconds* (None: there is none).

    So are those of a daemon told that has lost its target; their number counts since the loss.
    """

    attempt: int
    reason: str
    retry_seconds: float | None


class Connected(Event, frozen=True, tag="connect.succeeded"):
    attempt: int
    server_version: str
    database: str
    user: str
    pooler: bool


class Bootstrapped(Event, frozen=True, tag="bootstrap.changed"):
    """One thing was created or changed: *what* is `database`, `role`, `extension`, …"""

    what: str
    name: str
    action: str


class DriftFound(Event, frozen=True, tag="bootstrap.drifted"):
    """Something exists and differs from what is declared; it was left alone."""

    what: str
    name: str
    difference: str


class Planned(Event, frozen=True, tag="plan.made"):
    """*work* is the plan's pending part, compiled where it is to run next."""

    plan: Plan
    under_lock: bool
    dialect: str = "native"
    work: tuple[Work, ...] = ()


class LockWaited(Event, frozen=True, tag="lock.waited"):
    holder: LockHolder | None
    waited_seconds: float


class LockTaken(Event, frozen=True, tag="lock.taken"):
    waited_seconds: float


class LockReleased(Event, frozen=True, tag="lock.released"):
    pass


class HistoryLocked(Event, frozen=True, tag="history.locked"):
    """Nobody can look at what is applied, for a lock that *holders* have; it is tried again."""

    waited_seconds: float
    holders: tuple[LockHolder, ...]


class MigrationStarted(Event, frozen=True, tag="migration.started"):
    version: str
    name: str
    kind: str
    segment: int
    segments: int
    statements: int


class StatementsRan(Event, frozen=True, tag="migration.progressed"):
    """*statements* of *total* of the segment that runs have completed."""

    version: str
    statements: int
    total: int


class Blocked(Event, frozen=True, tag="migration.blocked"):
    """A statement waits for a relation lock that *holders* have."""

    version: str
    waited_seconds: float
    holders: tuple[LockHolder, ...]


class Unblocked(Event, frozen=True, tag="migration.unblocked"):
    """The wait of which a Blocked told is over."""

    version: str


class OperationProgressed(Event, frozen=True, tag="operation.progressed"):
    """How far the command is that runs; told at each new phase and percent."""

    version: str
    operation: Operation


class MigrationRetried(Event, frozen=True, tag="migration.retried"):
    """*sqlstate*, *place* and *detail* are those of what was refused, and rolled back."""

    version: str
    reason: str
    attempt: int
    delay_seconds: float
    sqlstate: str | None = None
    place: Place | None = None
    detail: str | None = None


class ServerNotice(Event, frozen=True, tag="server.noticed"):
    severity: str
    message: str
    version: str | None


class MigrationApplied(Event, frozen=True, tag="migration.applied"):
    """*duration_ms* is of all its segments; None where a process died in one, and nobody knows."""

    version: str
    name: str
    kind: str
    duration_ms: int | None
    applied_by: str = ""


class MigrationReverted(Event, frozen=True, tag="migration.reverted"):
    """It was taken back, and its record is gone (`pgready down`)."""

    version: str
    name: str
    duration_ms: int


class MigrationFailed(Event, frozen=True, tag="migration.failed"):
    version: str
    message: str
    sqlstate: str | None
    place: Place | None


class ConnectionLost(Event, frozen=True, tag="connection.lost"):
    reason: str


class CheckFailed(Event, frozen=True, tag="check.failed"):
    path: str
    rows: int


class ReadyReached(Event, frozen=True, tag="run.ready"):
    applied: int
    duration_ms: int


class RunFailed(Event, frozen=True, tag="run.failed"):
    """The run ended without being ready; *retry_seconds* is set where the daemon will try again."""

    message: str
    hint: str | None
    exit_code: int
    place: Place | None = None
    sqlstate: str | None = None
    detail: str | None = None
    done: str | None = None
    retry_seconds: float | None = None


class DatabaseLost(Event, frozen=True, tag="database.lost"):
    """The daemon's connection to a target that it watches ended; it is tried again until it is back."""

    reason: str


class DatabaseBack(Event, frozen=True, tag="database.back"):
    outage_seconds: float


class HistoryChanged(Event, frozen=True, tag="history.changed"):
    """Somebody else changed what the history says: a replica, a tool, a restored backup."""


class FolderChanged(Event, frozen=True, tag="folder.changed"):
    """These files were added, changed or removed, and have come to rest (the first of them)."""

    paths: tuple[str, ...]


class FolderUnsettled(Event, frozen=True, tag="folder.unsettled"):
    """These files are waited for: they still change, or hold no statement yet."""

    paths: tuple[str, ...]
    reason: str


class FolderUnwatched(Event, frozen=True, tag="folder.unwatched"):
    """The system does not tell of changes to the files; they are looked at every 2 s."""

    reason: str


class TargetUnsettled(Event, frozen=True, tag="target.unsettled"):
    """The history went back, as a restore makes it; nothing is applied before the target is at rest."""

    reason: str


class RetryRequested(Event, frozen=True, tag="retry.requested"):
    """Somebody asked for another try; *by* is `SIGHUP` or `POST /retry`."""

    by: str
