"""The decisions of a run as a pure state machine: observation in, action out (h11's manner).

`running` carries the actions out and reports what it observed. The rules that this module keeps:

1. Nothing is locked where a lock-free look finds nothing missing and nothing pending.
2. After the lock is taken the history is read again; only that second look decides what is applied.
3. A transaction segment commits together with its record. A single commits `started` first, runs, then
   commits `done`; a `started` that is found on the way in is probed before anything runs.
4. After a lost connection nothing is assumed: reconnect, look again.
5. A refused statement ends the run; a lock timeout goes up the ladder until the budget ends.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from pgready.core.model import Kind, LockHolder
from pgready.core.planning import Work


class Phase(Enum):
    CONNECTING = "connecting"
    WAITING = "waiting"
    BOOTSTRAPPING = "bootstrapping"
    PLANNING = "planning"
    MIGRATING = "migrating"
    CHECKING = "checking"
    READY = "ready"
    FAILED = "failed"
    DRAINING = "draining"


# Actions: what the runner is to do next.


class Action(Struct, frozen=True):
    pass


class Connect(Action, frozen=True):
    """Sleep *delay_seconds*, then try once to connect. → Connected | ConnectRefused"""

    delay_seconds: float


class BootstrapCluster(Action, frozen=True):
    """Create the database and roles through the admin connection. → Bootstrapped | Failed"""


class Look(Action, frozen=True):
    """Read the history (and whether bootstrap has anything to do) and plan. → Looked | Lost | Failed"""

    under_lock: bool


class TakeLock(Action, frozen=True):
    """Sleep *delay_seconds*, then try once to take the lock. → LockTaken | LockBusy | Lost"""

    delay_seconds: float


class BootstrapTarget(Action, frozen=True):
    """Schemas, extensions, grants, bootstrap scripts, history table; under the lock.
    → Bootstrapped | Lost | Failed"""


class RunTransaction(Action, frozen=True):
    """Sleep *delay_seconds*, then run one transaction segment and its record in one commit.
    → SegmentDone | LockTimedOut | Lost | FenceLost | Failed"""

    kind: Kind
    version: str
    segment: int
    lock_timeout_ms: int
    delay_seconds: float = 0.0


class MarkStarted(Action, frozen=True):
    """Commit the `started` mark of a single, fenced. → Marked | Lost | FenceLost | Failed"""

    kind: Kind
    version: str
    segment: int


class RunSingle(Action, frozen=True):
    """Run one statement outside a transaction. → SegmentDone | Lost | FenceLost | Failed"""

    kind: Kind
    version: str
    segment: int


class Probe(Action, frozen=True):
    """Ask the catalogue whether a started single happened; heal what can be healed.
    → Probed | Lost | Failed"""

    kind: Kind
    version: str
    segment: int


class RecordDone(Action, frozen=True):
    """Commit `done` (or, for the last segment, the history row) of a single, fenced.
    → Marked | Lost | FenceLost | Failed"""

    kind: Kind
    version: str
    segment: int


class ReleaseLock(Action, frozen=True):
    """→ Released | Lost"""


class RunChecks(Action, frozen=True):
    """→ ChecksPassed | Lost | Failed"""


class Finish(Action, frozen=True):
    """The target is ready."""


class GiveUp(Action, frozen=True):
    """The run ends; the runner raises *reason*'s error (see GiveUpReason)."""

    reason: GiveUpReason
    version: str | None = None
    segment: int | None = None


class GiveUpReason(Enum):
    FAILED = "failed"  # the last observation carried the error
    UNREACHABLE = "unreachable"
    LOCK_NOT_OBTAINED = "lock not obtained"
    RELATION_LOCKED = "relation lock's budget ran out"
    FENCE_LOST = "fence lost"
    REFUSED = "plan refused"
    UNCERTAIN = "uncertain"


# Observations: what the runner saw.


class Observation(Struct, frozen=True):
    """*now* is a monotonic time in seconds."""

    now: float


class Started(Observation, frozen=True):
    pass


class Connected(Observation, frozen=True):
    pass


class ConnectRefused(Observation, frozen=True):
    """*transient*: worth trying again. *missing_database*: the server is up and lacks the database."""

    transient: bool
    missing_database: bool = False


class Looked(Observation, frozen=True):
    """*refused*: the plan has an error. *bootstrap*: something declared is missing. *work*: the pending."""

    refused: bool
    bootstrap: bool
    work: tuple[Work, ...]


class LockTaken(Observation, frozen=True):
    pass


class LockBusy(Observation, frozen=True):
    holder: LockHolder | None = None


class Bootstrapped(Observation, frozen=True):
    pass


class SegmentDone(Observation, frozen=True):
    pass


class Marked(Observation, frozen=True):
    pass


class LockTimedOut(Observation, frozen=True):
    """55P03 or 40P01: rolled back, nothing of it remains. *elapsed_seconds* is what the attempt took."""

    elapsed_seconds: float


class ProbeAnswer(Enum):
    HAPPENED = "happened"
    NOT_HAPPENED = "not happened"
    UNKNOWN = "unknown"


class Probed(Observation, frozen=True):
    answer: ProbeAnswer


class Released(Observation, frozen=True):
    pass


class ChecksPassed(Observation, frozen=True):
    pass


class Lost(Observation, frozen=True):
    """The connection is gone; nobody knows what of the last action happened."""


class FenceLost(Observation, frozen=True):
    """The fence refused: we do not hold the lock (any more). Nothing of the segment happened."""


class Failed(Observation, frozen=True):
    """Something that trying again does not cure; the runner keeps the error itself."""
