"""The phases of a run that people see."""

from __future__ import annotations

from enum import Enum

from pgready.core import steps
from pgready.core.run import RunState


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


def phase_of(state: RunState) -> Phase:
    """The phase that people see. `DRAINING` is the daemon's own: a run does not know of it."""
    match state.action:
        case steps.Look() if state.lock_since is not None:
            return Phase.WAITING
        case steps.ReleaseLock():
            return Phase.CHECKING if state.ending is None else Phase.FAILED
        case action:
            return _PHASES.get(type(action), Phase.MIGRATING)


_PHASES: dict[type[steps.Action] | type[None], Phase] = {
    type(None): Phase.CONNECTING,
    steps.Connect: Phase.CONNECTING,
    steps.BootstrapCluster: Phase.BOOTSTRAPPING,
    steps.Look: Phase.PLANNING,
    steps.TakeLock: Phase.WAITING,
    steps.BootstrapTarget: Phase.BOOTSTRAPPING,
    steps.RunChecks: Phase.CHECKING,
    steps.Finish: Phase.READY,
    steps.GiveUp: Phase.FAILED,
}
