"""What happened since the process began, counted: the events folded into numbers that only grow.

The Status says how things stand; this says how often and how long. `/metrics` and `--metrics-file` render
both. Nothing here is kept per migration, so a tally has the same size whatever the folder holds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import events
from pgready.core.errors import ExitCode
from pgready.core.phases import Phase

BOUNDS_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 7200.0)
"""Of the histogram of durations: from an empty table's DDL to the rewrite of a large one."""

RETRY_REASONS = ("connect", "connection_lost", "relation_lock", "run")
"""What is tried again: an attempt to connect, a run whose connection was lost, a transaction that waited
too long for a table's lock, a run of the daemon that failed as a whole."""

STALE_SECONDS = 15.0
"""A wait that is not told again for as long is over: whoever waits tells so every 5 s."""

FAILURES = tuple(code for code in ExitCode if code not in (ExitCode.DONE, ExitCode.PENDING))
"""The exit codes with which a run can fail."""

_Key = TypeVar("_Key")
_WAITING_PHASES = (Phase.WAITING.value, Phase.PLANNING.value)
_IDLE_PHASES = (Phase.READY.value, Phase.FAILED.value, Phase.DRAINING.value)


class Histogram(Struct, frozen=True):
    """Durations: `counts[i]` of them are at most `BOUNDS_SECONDS[i]` and above the bound before; the last
    are above them all."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_SECONDS) + 1)
    sum_seconds: float = 0.0

    def observe(self, seconds: float) -> Histogram:
        at = bisect_left(BOUNDS_SECONDS, seconds)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Histogram(counts, self.sum_seconds + seconds)


class Wait(Struct, frozen=True):
    """A wait that is going on: since when, and when that was last told."""

    since: datetime
    told_at: datetime

    def seconds(self, now: datetime) -> float:
        """How long it has lasted; 0 where it must be over."""
        if (now - self.told_at).total_seconds() > STALE_SECONDS:
            return 0.0
        return max(0.0, (now - self.since).total_seconds())


class Tally(Struct, frozen=True):
    """*reachable* is None until the first attempt to connect has ended. *retries* are by `RETRY_REASONS`,
    *run_failures* by exit code; what never happened is not in them. *run_since* is set while a run is under
    way, *lost* while it has lost its connection and makes no other yet; *run_seconds*, *run_ended_at* and
    *exit_code* are of the last one that ended."""

    connect_attempts: int = 0
    connect_failures: int = 0
    reachable: bool | None = None
    outages: int = 0
    history_changes: int = 0
    retries: Mapping[str, int] = {}
    lock_wait: Wait | None = None
    lock_waited_seconds: float = 0.0
    migrations: Histogram = Histogram()
    runs: int = 0
    run_failures: Mapping[int, int] = {}
    run_since: datetime | None = None
    lost: bool = False
    run_seconds: float | None = None
    run_ended_at: datetime | None = None
    exit_code: int | None = None
    ready_at: datetime | None = None


def advance(tally: Tally, event: events.Event, now: datetime) -> Tally:
    """*tally* after *event*. An event that is not counted leaves it as it is."""
    fold = _FOLDS.get(type(event))
    return tally if fold is None else fold(tally, event, now)


def _entered(tally: Tally, event: events.PhaseEntered, now: datetime) -> Tally:
    # A run that reconnects enters `connecting` again; it is still the same run.
    if tally.run_since is None and event.phase not in _IDLE_PHASES:
        tally = replace(tally, run_since=now)
    if tally.lost and event.phase == Phase.CONNECTING.value:
        tally = _retried(replace(tally, lost=False), "connection_lost")
    return tally if event.phase in _WAITING_PHASES else _waited(tally, now)


def _connect_failed(tally: Tally, event: events.ConnectFailed, _: datetime) -> Tally:
    failed = replace(
        tally,
        connect_attempts=tally.connect_attempts + 1,
        connect_failures=tally.connect_failures + 1,
        reachable=False,
    )
    return failed if event.retry_seconds is None else _retried(failed, "connect")


def _connected(tally: Tally, _: events.Connected, __: datetime) -> Tally:
    return replace(tally, connect_attempts=tally.connect_attempts + 1, reachable=True)


def _connection_lost(tally: Tally, _: events.ConnectionLost, now: datetime) -> Tally:
    return _waited(replace(tally, reachable=False, lost=True), now)  # not every one is tried again


def _lost(tally: Tally, _: events.DatabaseLost, __: datetime) -> Tally:
    return replace(tally, reachable=False, outages=tally.outages + 1)


def _back(tally: Tally, _: events.DatabaseBack, __: datetime) -> Tally:
    return replace(tally, connect_attempts=tally.connect_attempts + 1, reachable=True)


def _history_changed(tally: Tally, _: events.HistoryChanged, __: datetime) -> Tally:
    return replace(tally, history_changes=tally.history_changes + 1)


def _lock_waited(tally: Tally, event: events.LockWaited, now: datetime) -> Tally:
    since = now - timedelta(seconds=event.waited_seconds)
    return replace(tally, lock_wait=Wait(since, told_at=now))


def _lock_taken(tally: Tally, _: events.LockTaken, now: datetime) -> Tally:
    return _waited(tally, now)


def _waited(tally: Tally, now: datetime) -> Tally:
    """A wait for the lock is over, whether it was taken or another left nothing to do."""
    if tally.lock_wait is None:
        return tally
    seconds = tally.lock_waited_seconds + max(0.0, (now - tally.lock_wait.since).total_seconds())
    return replace(tally, lock_wait=None, lock_waited_seconds=seconds)


def _migration_retried(tally: Tally, _: events.MigrationRetried, __: datetime) -> Tally:
    return _retried(tally, "relation_lock")


def _migration_applied(tally: Tally, event: events.MigrationApplied, _: datetime) -> Tally:
    if event.duration_ms is None:
        return tally
    return replace(tally, migrations=tally.migrations.observe(event.duration_ms / 1000))


def _ready(tally: Tally, event: events.ReadyReached, now: datetime) -> Tally:
    ended = _ended(tally, ExitCode.DONE, now)
    return replace(ended, run_seconds=event.duration_ms / 1000, ready_at=now)


def _failed(tally: Tally, event: events.RunFailed, now: datetime) -> Tally:
    ended = _ended(tally, event.exit_code, now)
    failed = replace(ended, run_failures=_one_more(tally.run_failures, int(event.exit_code)))
    return failed if event.retry_seconds is None else _retried(failed, "run")


def _ended(tally: Tally, exit_code: int, now: datetime) -> Tally:
    began = tally.run_since or now  # what cannot even begin, for want of its folder, took no time
    return replace(
        _waited(tally, now),
        runs=tally.runs + 1,
        run_since=None,
        lost=False,
        run_seconds=max(0.0, (now - began).total_seconds()),
        run_ended_at=now,
        exit_code=int(exit_code),
    )


def _retried(tally: Tally, reason: str) -> Tally:
    return replace(tally, retries=_one_more(tally.retries, reason))


def _one_more(counts: Mapping[_Key, int], key: _Key) -> Mapping[_Key, int]:
    return {**counts, key: counts.get(key, 0) + 1}


_FOLDS: Mapping[type[events.Event], Callable[[Tally, Any, datetime], Tally]] = {
    events.PhaseEntered: _entered,
    events.ConnectFailed: _connect_failed,
    events.Connected: _connected,
    events.ConnectionLost: _connection_lost,
    events.DatabaseLost: _lost,
    events.DatabaseBack: _back,
    events.HistoryChanged: _history_changed,
    events.LockWaited: _lock_waited,
    events.LockTaken: _lock_taken,
    events.MigrationApplied: _migration_applied,
    events.MigrationRetried: _migration_retried,
    events.ReadyReached: _ready,
    events.RunFailed: _failed,
}
