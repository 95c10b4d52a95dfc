"""The dashboard asks for metrics and labels that there are, and nothing of it covers anything else."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pgready.service.exposition import METRICS

BOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "deploy" / "grafana" / "pgready.json").read_text()
)
PANELS: list[dict[str, Any]] = BOARD["panels"]
PROCESS = {"process_resident_memory_bytes"}
ADDED_BY_PROMETHEUS = {"job", "instance", "le"}


def queries() -> list[Any]:
    asked = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
    asked += [(each["name"], each) for each in BOARD["annotations"]["list"]]
    return [pytest.param(query["expr"], query, id=title) for title, query in asked]


def known() -> dict[str, tuple[str, ...]]:
    """The labels of each sample by its name."""
    endings = {"histogram": ("_bucket", "_count", "_sum")}
    return {
        metric.name + ending: metric.labels
        for metric in METRICS
        for ending in endings.get(metric.kind, ("",))
    }


@pytest.mark.parametrize(("expression", "query"), queries())
def test_a_panel_asks_for_metrics_and_labels_that_there_are(expression: str, query: dict[str, Any]) -> None:
    bare = re.sub(r"\{[^}]*\}|by \([^)]*\)", "", expression)
    asked = set(re.findall(r"\b(?:pgready|process)_\w+", bare))
    labels = {label for name in asked - PROCESS for label in known()[name]} | ADDED_BY_PROMETHEUS
    legend = query.get("legendFormat", "") + query.get("titleFormat", "")
    used = {
        *re.findall(r'(\w+)=~?"', expression),
        *re.findall(r"by \((\w+)\)", expression),
        *re.findall(r"\{\{(\w+)\}\}", legend),
    }

    assert asked
    assert asked <= known().keys() | PROCESS
    assert used <= labels


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_the_chosen_data_source_and_instances_are_asked(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert panel["datasource"]["uid"] == target["datasource"]["uid"] == "${datasource}"
        assert 'job=~"$job",instance=~"$instance"' in target["expr"]


def test_panels_do_not_cover_each_other() -> None:
    places = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in PANELS)
    ]

    assert all(not one & other for one, other in itertools.combinations(places, 2))
    assert max(x for place in places for x, _ in place) < 24


def test_every_panel_has_an_id_of_its_own_a_title_and_a_meaning() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(panel["title"] and panel["description"].endswith(".") for panel in PANELS)


@pytest.mark.parametrize("metric", [metric.name for metric in METRICS])
def test_every_metric_is_shown_or_is_for_alerts_alone(metric: str) -> None:
    for_alerts = {
        "pgready_phase_entered_timestamp_seconds",
        "pgready_lock_waited_seconds_total",
        "pgready_run_exit_code",
        "pgready_run_ended_timestamp_seconds",
    }

    assert (metric in json.dumps(PANELS)) is (metric not in for_alerts)
