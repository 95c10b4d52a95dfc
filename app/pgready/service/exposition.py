"""Status and Tally → Prometheus. docs/metrics.md holds the same table for readers; a test compares them.

1. Everything is read from memory when it is asked for: there are no counters to keep in step, and a
   process that nobody scrapes pays nothing.
2. No label has more values than its line in the table can list: no version, no file, no message.
3. Nothing of an address but the database's name is in `/metrics`; `--metrics-file` has the masked URL too,
   because there the files of several targets are read as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import accumulate
from typing import Any

from msgspec import Struct
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from pgready import __version__
from pgready.core.phases import Phase
from pgready.core.planning import Flag, State
from pgready.core.status import Status
from pgready.core.tally import BOUNDS_SECONDS, FAILURES, RETRY_REASONS, Histogram, Tally

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""What is added to the family's name, the labels, the value."""


class Picture(Struct, frozen=True):
    """What is rendered; *now* is when. *labels* stand at every sample."""

    status: Status
    tally: Tally
    now: datetime
    labels: Labels = {}


class Metric(Struct, frozen=True):
    """One metric under the name that queries use (with `_total`, `_info`). *read* gives its value (None:
    there is none yet), or the values by *labels*' only one, or an info's labels."""

    name: str
    kind: str
    meaning: str
    read: Callable[[Picture], Any]
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        return self.name.removesuffix("_total").removesuffix("_info")

    @property
    def unit(self) -> str:
        return "seconds" if self.family.endswith("_seconds") else ""


def _states(picture: Picture) -> Mapping[str, float]:
    counts = picture.status.counts
    return {name: getattr(counts, name) for name in (state.name.lower() for state in State)}


def _flags(picture: Picture) -> Mapping[str, float]:
    seen = Counter(flag for each in picture.status.roster for flag in each.flags)
    return {flag.name.lower(): seen[flag.value] for flag in Flag}


def _findings(picture: Picture) -> Mapping[str, float]:
    return {"error": len(picture.status.errors), "warning": len(picture.status.warnings)}


def _phases(picture: Picture) -> Mapping[str, float]:
    return {phase.value: phase.value == picture.status.phase for phase in Phase}


def _lock_wait(picture: Picture) -> float:
    wait = picture.tally.lock_wait
    return wait.seconds(picture.now) if wait else 0


def _relation_lock_wait(picture: Picture) -> float:
    progress = picture.status.progress
    since = progress.blocked_since if progress else None
    return max(0.0, (picture.now - since).total_seconds()) if since else 0


def _retries(picture: Picture) -> Mapping[str, float]:
    return {reason: picture.tally.retries.get(reason, 0) for reason in RETRY_REASONS}


def _failures(picture: Picture) -> Mapping[str, float]:
    return {str(code.value): picture.tally.run_failures.get(code, 0) for code in FAILURES}


def _timestamp(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


_TARGET = ("database", "server_version", "dialect", "namespace", "environment")


def _target(picture: Picture) -> Labels:
    return {name: getattr(picture.status, name) or "" for name in _TARGET}


METRICS: tuple[Metric, ...] = (
    Metric("pgready_ready", "gauge", "1 when the target is ready, else 0", lambda p: p.status.ready),
    Metric("pgready_phase", "stateset", "1 for the phase of the run, else 0", _phases, ("pgready_phase",)),
    Metric(
        "pgready_phase_entered_timestamp_seconds",
        "gauge",
        "when that phase was entered",
        lambda p: _timestamp(p.status.since),
    ),
    Metric(
        "pgready_database_reachable",
        "gauge",
        "1 when the last attempt to reach the database did, else 0",
        lambda p: p.tally.reachable,
    ),
    Metric(
        "pgready_database_outages_total",
        "counter",
        "times that the connection was lost on which a ready target is watched",
        lambda p: p.tally.outages,
    ),
    Metric(
        "pgready_history_changes_total",
        "counter",
        "times that somebody else changed the history: a replica, a tool, the restore of a backup",
        lambda p: p.tally.history_changes,
    ),
    Metric("pgready_migrations", "gauge", "migrations by where they stand", _states, ("state",)),
    Metric(
        "pgready_migrations_flagged",
        "gauge",
        "migrations by what is unusual about them, whatever their state",
        _flags,
        ("flag",),
    ),
    Metric(
        "pgready_plan_findings", "gauge", "what the last plan refused and warned of", _findings, ("severity",)
    ),
    Metric(
        "pgready_drift",
        "gauge",
        "things that exist and differ from what is declared",
        lambda p: len(p.status.drift),
    ),
    Metric(
        "pgready_migration_duration_seconds",
        "histogram",
        "how long the migrations took that this process applied",
        lambda p: p.tally.migrations,
    ),
    Metric(
        "pgready_lock_wait_seconds",
        "gauge",
        "how long it has been waiting for the migration lock; 0 when it does not wait",
        _lock_wait,
    ),
    Metric(
        "pgready_lock_waited_seconds_total",
        "counter",
        "all its waiting for the migration lock that is over",
        lambda p: p.tally.lock_waited_seconds,
    ),
    Metric(
        "pgready_relation_lock_wait_seconds",
        "gauge",
        "how long the migration has been waiting for a lock on a table; 0 when it does not wait",
        _relation_lock_wait,
    ),
    Metric(
        "pgready_connect_attempts_total", "counter", "attempts to connect", lambda p: p.tally.connect_attempts
    ),
    Metric(
        "pgready_connect_failures_total",
        "counter",
        "attempts to connect that failed",
        lambda p: p.tally.connect_failures,
    ),
    Metric("pgready_retries_total", "counter", "what was tried again, by why", _retries, ("reason",)),
    Metric("pgready_runs_total", "counter", "runs that ended", lambda p: p.tally.runs),
    Metric(
        "pgready_run_failures_total",
        "counter",
        "runs that ended without being ready, by exit code",
        _failures,
        ("exit_code",),
    ),
    Metric(
        "pgready_run_duration_seconds",
        "gauge",
        "how long the last run took that ended",
        lambda p: p.tally.run_seconds,
    ),
    Metric("pgready_run_exit_code", "gauge", "the exit code of that run", lambda p: p.tally.exit_code),
    Metric(
        "pgready_run_ended_timestamp_seconds",
        "gauge",
        "when that run ended",
        lambda p: _timestamp(p.tally.run_ended_at),
    ),
    Metric(
        "pgready_last_success_timestamp_seconds",
        "gauge",
        "when a run last ended with the target ready",
        lambda p: _timestamp(p.tally.ready_at),
    ),
    Metric("pgready_target_info", "info", "what it makes ready", _target, _TARGET),
    Metric("pgready_build_info", "info", "what runs", lambda _: {"version": __version__}, ("version",)),
)


def exposition(picture: Picture, media_type: str = TEXT, *, with_process: bool = False) -> bytes:
    """*picture* in the format *media_type* (TEXT or OPENMETRICS); *with_process* adds this process's CPU
    time, memory and open files."""
    registry = CollectorRegistry()
    registry.register(_Collector(picture))
    if with_process:
        registry.register(_process())
    if media_type == TEXT:
        return as_text(registry)
    text: bytes = as_openmetrics(registry)  # type: ignore[no-untyped-call]
    return text


@cache
def _process() -> ProcessCollector:
    return ProcessCollector(registry=None)


class _Collector(Collector):
    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            value = metric.read(self._picture)
            if value is not None:
                yield self._family(metric, value)

    def _family(self, metric: Metric, value: Any) -> Family:
        family = Family(metric.family, metric.meaning, metric.kind, metric.unit)
        for suffix, labels, number in _samples(metric, value):
            family.add_sample(metric.family + suffix, {**self._picture.labels, **labels}, number)
        return family


def _samples(metric: Metric, value: Any) -> Iterable[Sample]:
    match metric.kind, value:
        case "info", _:
            return [("_info", value, 1)]
        case _, Histogram():
            return _buckets(value)
        case _, Mapping():
            suffix = "_total" if metric.kind == "counter" else ""
            return [(suffix, {metric.labels[0]: key}, float(number)) for key, number in value.items()]
        case "counter", _:
            return [("_total", {}, value)]
    return [("", {}, float(value))]


def _buckets(histogram: Histogram) -> Iterator[Sample]:
    totals = tuple(accumulate(histogram.counts))
    bounds = (*map(str, BOUNDS_SECONDS), "+Inf")
    for bound, total in zip(bounds, totals, strict=True):
        yield "_bucket", {"le": bound}, total
    yield "_count", {}, totals[-1]
    yield "_sum", {}, histogram.sum_seconds
