"""Folder and history → plan: what is applied, pending, wrong. Set membership, never a high-water mark."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from pgready.core.errors import ExitCode
from pgready.core.model import Applied, Folder, History, Kind, Migration
from pgready.core.segments import SegmentKind


class Policy(Enum):
    REFUSE = "refuse"
    WARN = "warn"
    ALLOW = "allow"


class Policies(Struct, frozen=True):
    """What to do about each sort of divergence (DESIGN 3 "Plan")."""

    out_of_order: Policy = Policy.WARN
    ahead: Policy = Policy.WARN
    changed: Policy = Policy.REFUSE
    cosmetic: Policy = Policy.WARN


class State(Enum):
    """Where a migration stands."""

    APPLIED = "applied"
    PENDING = "pending"
    PARTLY_APPLIED = "partly applied"
    FAILED = "failed"


class Flag(Enum):
    """What is unusual about it, apart from its state."""

    OUT_OF_ORDER = "out of order"
    MISSING = "missing"  # recorded, but the folder has no such file
    AHEAD = "ahead"  # missing, and newer than everything in the folder: an older image
    CHANGED = "changed"
    COSMETIC = "changed cosmetically"


class Entry(Struct, frozen=True):
    """One version as the plan sees it; *migration* is None where it is missing."""

    version: str
    name: str
    kind: Kind
    state: State
    flags: tuple[Flag, ...] = ()
    applied: Applied | None = None
    migration: Migration | None = None
    segments_done: int = 0
    segment_started: bool = False


class Severity(Enum):
    WARNING = "warning"
    ERROR = "error"


class Finding(Struct, frozen=True):
    """Something that the plan warns of or refuses; an ERROR stops the run with *exit_code*."""

    severity: Severity
    version: str
    flag: Flag | None
    message: str
    hint: str | None = None
    exit_code: ExitCode = ExitCode.DIVERGED


class Plan(Struct, frozen=True):
    """*entries* in the order in which they run; *pending* are those of them that will be applied."""

    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def pending(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.state in (State.PENDING, State.PARTLY_APPLIED))

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)


class Work(Struct, frozen=True):
    """What is left to do of one migration: its segments' kinds, how many are journaled done, and
    whether the next one has a durable `started` mark."""

    kind: Kind
    version: str
    segments: tuple[SegmentKind, ...]
    done: int = 0
    started: bool = False


def plan(folder: Folder, history: History, policies: Policies) -> Plan:
    """Compare *folder* with *history*."""
    raise NotImplementedError
