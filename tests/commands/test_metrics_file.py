"""The file for node_exporter: whole at any moment, told apart by target, and never at the run's cost."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import CapturingLogger

from pgready.commands import metrics_file
from pgready.commands.metrics_file import MetricsFile
from pgready.core.events import PhaseEntered, ReadyReached, RunFailed
from pgready.core.status import Status
from pgready.core.tally import Tally

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
STATUS = Status(target="postgresql://app:***@db/app", namespace="billing")
GOOD = Tally(runs=1, exit_code=0, ready_at=NOW)
BAD = Tally(runs=1, exit_code=6, run_failures={6: 1})


def values(path: Path) -> dict[str, float]:
    families = text_string_to_metric_families(path.read_text())
    return {sample.name: sample.value for family in families for sample in family.samples}


def labels(path: Path) -> set[tuple[str | None, str | None]]:
    families = text_string_to_metric_families(path.read_text())
    samples = (sample for family in families for sample in family.samples)
    return {(sample.labels.get("target"), sample.labels.get("namespace")) for sample in samples}


def test_every_sample_says_of_which_target_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pgready.prom"
    metrics_file.write(path, STATUS, GOOD, NOW)

    assert labels(path) == {("postgresql://app:***@db/app", "billing")}


def test_a_failure_keeps_the_last_success_that_the_file_told_of(tmp_path: Path) -> None:
    path = tmp_path / "pgready.prom"
    metrics_file.write(path, STATUS, GOOD, NOW)
    metrics_file.write(path, STATUS, BAD, LATER)

    assert values(path)["pgready_run_exit_code"] == 6
    assert values(path)["pgready_last_success_timestamp_seconds"] == NOW.timestamp()


def test_the_success_of_another_target_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "pgready.prom"
    metrics_file.write(path, replace(STATUS, namespace="other"), GOOD, NOW)
    metrics_file.write(path, STATUS, BAD, LATER)

    assert "pgready_last_success_timestamp_seconds" not in values(path)


@pytest.mark.parametrize(
    "before",
    [b"", b"\xff\xfe", b"{{{", b"pgready_last_success_timestamp_seconds 1e300\n", b"x" * 1_000_001],
)
def test_whatever_stood_in_the_file_is_replaced(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "pgready.prom"
    path.write_bytes(before)
    metrics_file.write(path, STATUS, BAD, LATER)

    assert values(path)["pgready_run_exit_code"] == 6
    assert [each.name for each in tmp_path.iterdir()] == ["pgready.prom"]


def test_who_reads_while_it_is_replaced_reads_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "pgready.prom"
    metrics_file.write(path, STATUS, GOOD, NOW)
    with path.open() as reading:
        metrics_file.write(path, STATUS, BAD, LATER)
        text = reading.read()

    assert 'pgready_run_exit_code{namespace="billing",target="postgresql://app:***@db/app"} 0.0' in text
    assert text.endswith("\n")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link.prom"
    link.symlink_to(tmp_path / "pgready.prom")
    metrics_file.write(link, STATUS, GOOD, NOW)

    assert link.is_symlink()
    assert values(tmp_path / "pgready.prom")["pgready_run_exit_code"] == 0


@pytest.mark.parametrize("kind", ["circle", "folder", "pipe", "nowhere", "nul"])
def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    path = {"nowhere": tmp_path / "no" / "a.prom", "nul": Path("a\0b")}.get(kind, tmp_path / kind)
    captured = CapturingLogger()
    MetricsFile(path, lambda: STATUS, lambda: captured).note(ReadyReached(applied=0, duration_ms=20))

    assert [call.args for call in captured.calls] == [("metrics.unwritten",)]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["circle", "folder", "pipe"]


@pytest.mark.parametrize(
    ("ending", "exit_code"), [(ReadyReached(0, 20), 0), (RunFailed("it did not work", None, 4), 4)]
)
def test_it_is_written_when_a_run_ends_and_not_before(
    tmp_path: Path, ending: ReadyReached | RunFailed, exit_code: int
) -> None:
    path = tmp_path / "pgready.prom"
    listener = MetricsFile(path, lambda: STATUS, CapturingLogger)
    listener.note(PhaseEntered("connecting"))
    assert not path.exists()

    listener.note(ending)

    assert values(path)["pgready_run_exit_code"] == exit_code
