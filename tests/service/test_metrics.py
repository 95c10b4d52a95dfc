"""What Prometheus scrapes: read by its own client's parsers, in both formats."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from time import perf_counter

import httpx
import pytest
from msgspec.structs import replace
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pgready.core import events, status, tally
from pgready.core.model import LockHolder
from pgready.core.planning import Flag, Plan, State
from pgready.service.exposition import METRICS, OPENMETRICS, TEXT, Metric, Picture, exposition
from pgready.service.feed import Feed
from service.samples import FAILED, NOW, PLANNED, READY, entered, entry

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 sends as Accept."""

RUN: tuple[events.Event, ...] = (
    entered("connecting"),
    events.ConnectFailed(1, "refused", 0.1),
    events.Connected(2, "18.1", 'odd "name"\\', "app", False),
    PLANNED,
    events.LockWaited(None, 3.0),
    events.LockTaken(3.0),
    events.MigrationRetried("0002", "a table was locked by pid 7", 1, 0.1),
    events.MigrationApplied("0002", "x", "versioned", 1200),
    READY,
    events.DatabaseLost("reset"),
    events.DatabaseBack(4.0),
    events.HistoryChanged(),
    FAILED,
)


def picture(*happened: events.Event, now: datetime = NOW) -> Picture:
    folded, counted = status.initial(started_at=NOW, target="postgresql://app:***@db/app"), tally.Tally()
    for event in happened:
        folded, counted = status.advance(folded, event, NOW), tally.advance(counted, event, NOW)
    return Picture(folded, counted, now)


def parse_openmetrics(text: str) -> Iterable[Family]:
    families: Iterable[Family] = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return families


def samples(families: Iterable[Family]) -> dict[str, float]:
    """Each sample's value by its name and labels, as a query would write it."""
    found = {}
    for sample in (sample for family in families for sample in family.samples):
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
        found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def read(*happened: events.Event, now: datetime = NOW) -> dict[str, float]:
    return samples(parse_openmetrics(exposition(picture(*happened, now=now), OPENMETRICS).decode()))


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        ("pgready_ready", 0),
        ('pgready_phase{pgready_phase="failed"}', 1),
        ('pgready_phase{pgready_phase="ready"}', 0),
        ("pgready_phase_entered_timestamp_seconds", NOW.timestamp()),
        ("pgready_database_reachable", 1),
        ("pgready_database_outages_total", 1),
        ("pgready_history_changes_total", 1),
        ('pgready_migrations{state="applied"}', 2),
        ('pgready_migrations{state="pending"}', 0),
        ('pgready_migration_duration_seconds_bucket{le="1.0"}', 0),
        ('pgready_migration_duration_seconds_bucket{le="5.0"}', 1),
        ('pgready_migration_duration_seconds_bucket{le="+Inf"}', 1),
        ("pgready_migration_duration_seconds_count", 1),
        ("pgready_migration_duration_seconds_sum", 1.2),
        ("pgready_lock_waited_seconds_total", 3),
        ("pgready_connect_attempts_total", 3),
        ("pgready_connect_failures_total", 1),
        ('pgready_retries_total{reason="connect"}', 1),
        ('pgready_retries_total{reason="relation_lock"}', 1),
        ('pgready_retries_total{reason="run"}', 0),
        ("pgready_runs_total", 2),
        ('pgready_run_failures_total{exit_code="1"}', 1),
        ('pgready_run_failures_total{exit_code="6"}', 0),
        ("pgready_run_exit_code", 1),
        ("pgready_run_ended_timestamp_seconds", NOW.timestamp()),
        ("pgready_last_success_timestamp_seconds", NOW.timestamp()),
    ],
)
def test_a_run_is_told_in_figures(sample: str, value: float) -> None:
    assert read(*RUN)[sample] == value


def test_flags_and_findings_are_counted_apart_from_the_states() -> None:
    entries = (entry("0001", State.APPLIED), entry("0002", State.PENDING))
    flagged = tuple(replace(each, flags=(Flag.OUT_OF_ORDER,)) for each in entries)
    found = read(events.Planned(Plan(flagged), under_lock=False))

    assert found['pgready_migrations_flagged{flag="out_of_order"}'] == 2
    assert found['pgready_migrations_flagged{flag="changed"}'] == 0


def test_a_wait_for_the_lock_is_as_long_as_it_is_when_scraped() -> None:
    found = read(events.LockWaited(None, 20.0), now=NOW + timedelta(seconds=4))

    assert found["pgready_lock_wait_seconds"] == 24


def test_a_wait_for_a_table_spans_the_tries_of_its_transaction() -> None:
    started = events.MigrationStarted("0002", "x", "versioned", 0, 1, 5)
    blocked = events.Blocked("0002", 1.0, (LockHolder(7),))
    retried = events.MigrationRetried("0002", "a table was locked by pid 7", 1, 0.1)
    found = read(started, blocked, retried, started, now=NOW + timedelta(seconds=30))

    assert found["pgready_relation_lock_wait_seconds"] == 31


def test_the_target_is_described_without_its_address() -> None:
    text = exposition(picture(*RUN)).decode()

    assert 'database="odd \\"name\\"\\\\"' in text
    assert "postgresql://" not in text


def test_nothing_but_what_did_not_happen_yet_is_missing_at_the_start() -> None:
    named = {family.name for family in parse_openmetrics(exposition(picture(), OPENMETRICS).decode())}

    assert {metric.family for metric in METRICS} - named == {
        "pgready_database_reachable",
        "pgready_run_duration_seconds",
        "pgready_run_exit_code",
        "pgready_run_ended_timestamp_seconds",
        "pgready_last_success_timestamp_seconds",
    }


@pytest.mark.parametrize("happened", [(), RUN])
def test_both_formats_say_the_same(happened: tuple[events.Event, ...]) -> None:
    text = samples(parse_text(exposition(picture(*happened), TEXT).decode()))

    assert text == read(*happened)


def test_constant_labels_stand_at_every_sample() -> None:
    labelled = replace(picture(*RUN), labels={"target": "a"})
    families = parse_text(exposition(labelled).decode())

    assert {sample.labels.get("target") for family in families for sample in family.samples} == {"a"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_prometheus_rules(metric: Metric) -> None:
    """prometheus.io/docs/practices/naming: a prefix, base units, `_total` on counters alone."""
    assert metric.name.startswith("pgready_")
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert metric.name.endswith("_info") is (metric.kind == "info")
    assert not any(unit in metric.name for unit in ("_ms", "_minutes", "_milliseconds"))


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text;version=<script>", OPENMETRICS),
    ],
)
async def test_openmetrics_is_for_who_likes_it_better(
    client: httpx.AsyncClient, accept: str | None, media_type: str
) -> None:
    headers = {"Accept": accept} if accept else {}
    answer = await client.get("/metrics", headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.text.endswith("# EOF\n") is (media_type == OPENMETRICS)


async def test_a_scrape_tells_what_the_feed_tells(client: httpx.AsyncClient, feed: Feed) -> None:
    for event in RUN:
        feed.publish(event)
    found = samples(parse_text((await client.get("/metrics")).text))

    assert found['pgready_run_failures_total{exit_code="1"}'] == 1
    assert found["process_resident_memory_bytes"] > 0


async def test_ten_thousand_migrations_are_scraped_while_they_are_applied(
    client: httpx.AsyncClient, feed: Feed
) -> None:
    entries = tuple(entry(f"{number:05}", State.PENDING) for number in range(10_000))
    feed.publish(events.Planned(Plan(entries), under_lock=True))
    began = perf_counter()
    for each in entries[:100]:
        feed.publish(events.MigrationApplied(each.version, "x", "versioned", 3))
        body = (await client.get("/metrics")).text
    mean_seconds = (perf_counter() - began) / 100

    assert samples(parse_text(body))['pgready_migrations{state="applied"}'] == 100
    assert mean_seconds < 0.05, "about 3 ms here; the event loop must not stand still for a scrape"


def test_times_are_seconds_since_the_epoch_in_utc() -> None:
    moment = datetime.fromtimestamp(read(*RUN)["pgready_last_success_timestamp_seconds"], UTC)

    assert moment == NOW
