"""The action's first step, which needs the network: what it installs runs the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.test_github_action import STEPS, Runner
from pgready import __version__

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]


def test_the_first_step_installs_the_action_s_own_commit(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runner", {"python": sys.executable}, installed=False)
    installed = runner.run(next(iter(STEPS)))
    command: list[str | Path] = [tmp_path / "runner" / "pgready" / "bin" / "pgready", "--version"]

    assert installed.returncode == 0, installed.stderr
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == __version__
