"""docs/http.md and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

from pgready.core.planning import State
from pgready.core.status import Status
from pgready.core.tally import Tally
from pgready.service import checks, exposition, inspector, problems, protocol, schema, server, stream, web
from service.samples import NOW

DOCUMENT = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
METRICS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def _rows(heading: str) -> list[list[str]]:
    """The cells of the first table after the line that starts with *heading*, without its head."""
    table = DOCUMENT[DOCUMENT.index(heading) :]
    rows = re.search(r"^\|[- |]+\|\n((?:\|.*\n)+)", table, re.MULTILINE)
    assert rows is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1].splitlines()]


def _quoted(text: str) -> list[str]:
    return re.findall("`([^`]*)`", text)


def test_the_table_of_paths_is_the_route_table() -> None:
    documented = [tuple(_quoted(path) + _quoted(also)) for path, also, _ in _rows("| path |")]
    routed = [resource.shown for resource in web.RESOURCES]

    assert documented == routed


def test_every_route_has_a_chapter_and_every_chapter_a_route() -> None:
    chapters = re.findall("^## (/.*)$", DOCUMENT, re.MULTILINE)

    assert chapters == [resource.shown[0] for resource in web.RESOURCES]


def test_the_table_of_headers_is_what_is_sent() -> None:
    documented = {
        _quoted(name)[0]: _quoted(value)[0] for name, value in _rows("Every answer has these headers")
    }

    assert documented == problems.HEADERS


def test_the_checks_and_states_are_listed() -> None:
    ready = DOCUMENT[DOCUMENT.index("## /ready") : DOCUMENT.index("## /startup")]
    migrations = DOCUMENT[DOCUMENT.index("## /migrations") :]

    assert set(checks.NAMES) <= set(_quoted(ready))
    assert {state.value for state in State} <= set(_quoted(migrations))


def test_the_limits_are_those_of_the_code() -> None:
    assert f"at most {web.LONGEST_WAIT_SECONDS:g} s" in DOCUMENT
    assert f"more than {web.WAITER_LIMIT} requests" in DOCUMENT
    assert f"how many tables, {schema.ROWS} unless told, at most {schema.MOST_ROWS}" in DOCUMENT
    assert f"kept for {inspector.KEPT_SECONDS:g} s" in DOCUMENT
    assert f"{inspector.WAITER_LIMIT} are let wait, for at most {inspector.PATIENCE_SECONDS:g} s" in DOCUMENT
    assert f"hung up on after {protocol.STALL_SECONDS} s" in DOCUMENT
    assert f"at most {protocol.HEAD_LIMIT_BYTES // 1024} KiB" in DOCUMENT
    assert f"at most {protocol.BODY_LIMIT_BYTES // 1024} KiB" in DOCUMENT
    assert f"Of {server.CONNECTION_LIMIT} connections" in DOCUMENT
    assert f"the newest {stream.RING_EVENTS} events" in DOCUMENT
    assert f"Nothing for {stream.HEARTBEAT_SECONDS} s" in DOCUMENT
    assert f"more than {stream.LISTENER_LIMIT} listeners" in DOCUMENT
    assert f"closed after {protocol.IDLE_SECONDS} s" in DOCUMENT


def test_every_metric_is_documented_as_it_is() -> None:
    documented = re.findall(
        r"^\| `(pgready_\w+)` \| (\w+) \| (.*?) \| (\S+) \| (.*?) \|$", METRICS, re.MULTILINE
    )

    assert [
        (name, kind, tuple(_quoted(labels)), unit, meaning)
        for name, kind, labels, unit, meaning in documented
    ] == [
        (metric.name, metric.kind, metric.labels, metric.unit or "-", metric.meaning)
        for metric in exposition.METRICS
    ]


def test_every_value_of_a_label_is_documented() -> None:
    documented = {
        label: set(_quoted(values))
        for label, values in re.findall(r"^\| `(\w+)` \| (`[^|]*`) \|$", METRICS, re.MULTILINE)
    }
    picture = exposition.Picture(Status(), Tally(), NOW)
    by_label = {
        metric.labels[0]: set(metric.read(picture))
        for metric in exposition.METRICS
        if len(metric.labels) == 1 and metric.kind != "info"
    }

    assert documented == by_label
