"""The alphabet of a run: the actions that `core.run` asks for and the observations that answer them.

Each action names the observations that may follow it; `core.run.decide` takes any of those. `Lost` and
`Unreached` may follow every action but `Connect`, whether it says so or not.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from pgready.core.ladder import FIRST_MS
from pgready.core.model import Kind, LockHolder
from pgready.core.planning import Work

# Actions: what the runner is to do next.


class Action(Struct, frozen=True):
    pass


class SegmentAction(Action, frozen=True):
    """The base of all actions on one segment (from 0) of a migration: each sleeps *delay_seconds* first, and
    waits for a relation no longer than *lock_timeout_ms*."""

    kind: Kind
    version: str
    segment: int
    lock_timeout_ms: int = FIRST_MS
    delay_seconds: float = 0.0


class Connect(Action, frozen=True):
    """Close what was connected before, sleep *delay_seconds*, then try once to connect.
    → Connected | ConnectRefused"""

    delay_seconds: float


class BootstrapCluster(Action, frozen=True):
    """Create the database and roles through the admin connection. → Bootstrapped | Lost | Failed"""


class Look(Action, frozen=True):
    """Sleep *delay_seconds*, then read the history (and whether bootstrap has anything to do) and plan.
    → Looked | LockTimedOut | Lost | Failed"""

    under_lock: bool
    delay_seconds: float = 0.0


class TakeLock(Action, frozen=True):
    """Sleep *delay_seconds*, then try once to take the lock. → LockTaken | LockBusy | Lost"""

    delay_seconds: float


class BootstrapTarget(Action, frozen=True):
    """Schemas, extensions, grants, bootstrap scripts, history table; under the lock.
    → Bootstrapped | Lost | Failed"""


class RunTransaction(SegmentAction, frozen=True):
    """Run one transaction segment and its record in one commit.
    → SegmentDone | LockTimedOut | Lost | FenceLost | Failed"""


class BeginAnew(SegmentAction, frozen=True):
    """Forget what was done of a script whose file was edited behind it, and may run again; fenced.
    → Marked | LockTimedOut | Lost | FenceLost | Failed"""


class MarkStarted(SegmentAction, frozen=True):
    """Commit the `started` mark of a single, fenced. → Marked | LockTimedOut | Lost | FenceLost | Failed"""


class RunSingle(SegmentAction, frozen=True):
    """Run one statement outside a transaction. → SegmentDone | LockTimedOut | Lost | FenceLost | Failed

    Of what timed out nothing is left, nor its mark.
    """


class Probe(SegmentAction, frozen=True):
    """Ask the catalogue whether a started single happened; heal what can be healed. Fenced: whoever lost
    the lock would judge what another is doing just now. → Probed | Lost | FenceLost | Failed"""


class RecordDone(SegmentAction, frozen=True):
    """Commit `done` (or, for the last segment, the history row) of a single, fenced.
    → Marked | LockTimedOut | Lost | FenceLost | Failed

    Of what no probe can tell of it waits for the history as long as that takes.

    Also asked for the last segment, of whatever kind, where all of them are journaled done and only the
    history row lacks: somebody cut the failing end off a partly applied script.
    """


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
    kind: Kind | None = None


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
    """*deadlock_timeout_ms* is the server's setting, where it was read: the ladder has a rung above it."""

    deadlock_timeout_ms: int | None = None


class ConnectRefused(Observation, frozen=True):
    """*transient*: worth trying again. *missing_database*: the server is up and lacks the database."""

    transient: bool
    missing_database: bool = False


class Looked(Observation, frozen=True):
    """*refused*: the plan has an error. *bootstrap*: something declared is missing. *work*: the pending,
    which under the lock is compiled."""

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


class Unreached(Observation, frozen=True):
    """Another connection that the action needs (an administrator's, a probe's) is not to be had for now."""


class FenceLost(Observation, frozen=True):
    """The fence refused: we do not hold the lock (any more). Nothing of the segment happened."""


class Failed(Observation, frozen=True):
    """Something that trying again does not cure; the runner keeps the error itself."""
