"""Events and a plan that the tests of the service publish."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from starlette.types import ASGIApp

from pgready.core import events
from pgready.core.errors import ExitCode
from pgready.core.model import Applied, Kind, Migration, Script
from pgready.core.planning import Entry, Plan, State

Serving = Callable[[ASGIApp], AbstractAsyncContextManager[int]]
"""`async with serving(app) as port`: a real server on a free port of 127.0.0.1."""

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

READY = events.ReadyReached(applied=1, duration_ms=20)
FAILED = events.RunFailed(message="a secret-free reason", hint=None, exit_code=ExitCode.FAILED)


def entered(phase: str) -> events.PhaseEntered:
    return events.PhaseEntered(phase=phase)


def entry(version: str, state: State) -> Entry:
    script = Script(path=f"migrations/{version}_x.sql", text="SELECT 1")
    return Entry(
        version=version,
        name="x",
        kind=Kind.VERSIONED,
        state=state,
        applied=Applied(version=version, name="x", applied_at=NOW) if state is State.APPLIED else None,
        migration=Migration(version=version, name="x", script=script, checksum="c0ffee"),
    )


PLANNED = events.Planned(
    plan=Plan(entries=(entry("0001", State.APPLIED), entry("0002", State.PENDING))), under_lock=False
)
