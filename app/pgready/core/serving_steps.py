"""What a daemon is asked to do between its runs, and what it may see: the vocabulary of `core.serving`."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from pgready.core.model import FileMark
from pgready.core.outstanding import Outstanding

FolderMark = tuple[FileMark, ...]


class Mode(Enum):
    RUNNING = "running"
    READY = "ready"
    SETTLING = "settling"  # was ready; a run is due, once the target is at rest
    RETRYING = "retrying"  # failed, and will try again by itself
    FAILED = "failed"  # failed, and waits for a person


# The pause between one command of a restore and the next may be a person's.
_SETTLING_SECONDS = 30.0
_SETTLING_INTERVALS = 6


class Habits(Struct, frozen=True):
    """*poll_seconds* is how often the target is glanced at (0: never); *watch_files* is `serve --watch`."""

    poll_seconds: float
    watch_files: bool = False

    @property
    def settle_seconds(self) -> float:
        """How long a target must be at rest to count as settled; whoever develops will not wait."""
        if self.watch_files:
            return self.poll_seconds
        return max(self.poll_seconds, min(_SETTLING_SECONDS, _SETTLING_INTERVALS * self.poll_seconds))


# Actions


class Act(Struct, frozen=True):
    """The base of all actions."""


class Run(Act, frozen=True):
    """Make the target ready. Answer: RunEnded."""


class Cause(Enum):
    """Why a look is taken."""

    RUN_ENDED = "a run ended"
    TARGET = "the target changed or came back"
    FILES = "files changed"


class Look(Act, frozen=True):
    """Read folder and history, change nothing. Answer: Looked, LookRefused, Unreached."""

    cause: Cause


class Glance(Act, frozen=True):
    """Wait for *after_seconds* (None: for ever), or until woken; then glance at what is asked for.

    *unrest* asks who is at work in the target. Answer: Glanced.
    """

    after_seconds: float | None
    target: bool
    folder: bool
    unrest: bool = False


# Observations


class Sighting(Struct, frozen=True):
    """The base of all observations; *now* is monotonic seconds."""

    now: float


class Started(Sighting, frozen=True):
    pass


class RunEnded(Sighting, frozen=True):
    """*folder* is as it was before the run read it; *outstanding* what the run left (None: unknown)."""

    exit_code: int
    folder: FolderMark
    outstanding: Outstanding | None = None


class Looked(Sighting, frozen=True):
    """*target* and *folder* are as they were before the look; *lacking* says that something declared is
    missing, *unwritten* are pending migrations without a statement."""

    target: str
    folder: FolderMark
    outstanding: Outstanding = frozenset()
    lacking: bool = False
    unwritten: tuple[str, ...] = ()


class LookRefused(Sighting, frozen=True):
    """The folder or the history cannot be used, and a run would say why; or the history is locked just
    now (*target* is None)."""

    target: str | None
    folder: FolderMark


class Unreached(Sighting, frozen=True):
    """The target could not be looked at; *missing_database*: the server is there and says so."""

    reason: str
    missing_database: bool = False


class Glanced(Sighting, frozen=True):
    """*target* is None where it was not glanced at or is locked just now; *folder* where it was not.

    *unrest* names who is at work in the target.
    """

    target: str | None = None
    folder: FolderMark | None = None
    requested: bool = False
    unreached: Unreached | None = None
    unrest: str | None = None
