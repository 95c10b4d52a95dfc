"""`make chaos` from the outside: what it prints, what it ends with, what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.schedule import Fault, Moment, Replica, Schedule, to_json
from chaos.tally import Tally
from chaos.verdict import Dealt, Finding, Verdict
from harness.server import wait_until

TESTS = Path(__file__).resolve().parents[1]


class Campaign:
    """A run of the program; its servers keep their files below *home*."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._out = home / "out"
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "chaos", "--workers", "1", *arguments],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
            )  # fmt: skip

    @property
    def told(self) -> str:
        return self._out.read_text()

    def end(self) -> int:
        return self.process.wait(100)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pgready-test-") as made:
        yield Path(made)


def test_a_campaign_without_a_failure_ends_with_0_and_says_what_it_did(home: Path) -> None:
    campaign = Campaign(home, "--schedules", "2", "--from-seed", "4")

    assert campaign.end() == 0, campaign.told
    assert "2 schedules: 0 lost, 0 twice, 0 stuck, 0 wrong" in campaign.told
    assert "fell inside a run" in campaign.told


def test_a_failure_is_printed_with_how_to_replay_it_and_shrunk(home: Path) -> None:
    never = Fault("kill", Moment("migration.applied", 1000))
    failing = to_json(Schedule(7, (Replica("no such command"), Replica()), (never,), missing=True))
    campaign = Campaign(home, "--schedule", failing)

    assert campaign.end() == 1
    assert "wrong: replica-1 ended with 2" in campaign.told
    assert f"make chaos SCHEDULE='{failing}'" in campaign.told
    assert "1 schedules: 0 lost, 0 twice, 0 stuck, 1 wrong" in campaign.told
    smallest = to_json(Schedule(7, (Replica("no such command"),)))
    assert f"make chaos SCHEDULE='{smallest}'" in campaign.told


def test_an_interrupted_campaign_leaves_no_process_behind(home: Path) -> None:
    campaign = Campaign(home, "--schedules", "1000")
    wait_until(lambda: len(_family(campaign.process.pid)) > 3, "the worker's servers")
    family = _family(campaign.process.pid)

    campaign.process.send_signal(signal.SIGINT)

    assert campaign.end() == 130, campaign.told
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), "their ends", 10)


def _family(pid: int) -> list[int]:
    """*pid*'s descendants."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # ended meanwhile
        return []
    return [*children, *(each for child in children for each in _family(child))]


def test_a_tally_adds_up_what_was_found_and_what_was_dealt() -> None:
    tally = Tally()
    schedule = Schedule(1, (Replica(), Replica("serve", executed=True)), missing=True)
    tally.add(schedule, Verdict(1, None, 0.5, (Dealt("kill", True), Dealt("cut", False)), missed=2))
    tally.add(schedule, Verdict(2, Finding("twice", "too much"), 1.5))

    assert tally.verdict == "2 schedules: 0 lost, 1 twice, 0 stuck, 0 wrong"
    assert "4 drawn: 1 fell inside a run, 1 after it, 2 never came" in tally.text()
    assert "2 serve, executed" in tally.text()
    assert "slowest    1.5 s, seed 2" in tally.text()
