"""The alerts ask for metrics and labels that there are, and each has a chapter that says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from pgready.service.exposition import METRICS

CHECKOUT = Path(__file__).parents[2]
FILE = CHECKOUT / "deploy" / "prometheus" / "alerts.yaml"
CHAPTERS = (CHECKOUT / "docs" / "alerts.md").read_text()
LABELS = (CHECKOUT / "docs" / "metrics.md").read_text()
PROCESS = {"process_start_time_seconds"}
ADDED_BY_PROMETHEUS = {"job", "instance", "target"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]


def named() -> list[Any]:
    return [pytest.param(rule, id=rule["alert"]) for rule in rules()]


def sample_names() -> Iterator[str]:
    for metric in METRICS:
        endings = ("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",)
        yield from (metric.name + ending for ending in endings)


def asked(expression: str) -> set[str]:
    """The metrics that *expression* asks for."""
    bare = re.sub(r"\{[^}]*\}|\((job|instance|pgready_phase)[^)]*\)", "", expression)
    return set(re.findall(r"\b(?:pgready|process)_\w+", bare))


@pytest.mark.parametrize("rule", named())
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    assert asked(rule["expr"])
    assert asked(rule["expr"]) <= {*sample_names(), *PROCESS}


@pytest.mark.parametrize("rule", named())
def test_an_alert_asks_for_values_that_the_label_can_have(rule: dict[str, Any]) -> None:
    known = {
        label: set(re.findall("`(.*?)`", values))
        for label, values in re.findall(r"^\| `(\w+)` \| (`[^|]*`) \|$", LABELS, re.MULTILINE)
    }
    wanted = {
        (label, value)
        for label, values in re.findall(r'(\w+)=~?"([^"]+)"', rule["expr"])
        for value in values.split("|")
    }

    assert {(label, value) for label, value in wanted if value not in known[label]} == set()


@pytest.mark.parametrize("rule", named())
def test_an_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    anchor = f"see docs/alerts.md#{rule['alert'].lower()}"

    assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"].endswith(anchor)


def test_every_alert_has_a_chapter_and_every_chapter_an_alert() -> None:
    assert re.findall(r"^## (\w+)$", CHAPTERS, re.MULTILINE) == [rule["alert"] for rule in rules()]


def test_the_severity_in_a_chapter_is_the_alert_s() -> None:
    told = re.findall(r"^## (\w+)\n\n(\w+)\. ", CHAPTERS, re.MULTILINE)

    assert dict(told) == {rule["alert"]: rule["labels"]["severity"].capitalize() for rule in rules()}


@pytest.mark.promtool
@pytest.mark.parametrize(
    "command", [("check", "rules", FILE), ("test", "rules", Path(__file__).with_name("alerts.promtool.yaml"))]
)
def test_prometheus_reads_the_rules_and_fires_as_it_should(command: tuple[str | Path, ...]) -> None:
    tool = shutil.which("promtool")
    assert tool, "promtool is in Debian's package prometheus"
    ended = subprocess.run([tool, *command], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
