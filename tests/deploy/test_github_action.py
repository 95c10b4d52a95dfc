"""The composite action: its steps' own scripts, run by bash against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.database import Database
from test_docs import table_rows

from .manifests import CHECKOUT, Document, load

ACTION = CHECKOUT / "deploy" / "github-action"
STEPS = {step["name"]: step for step in load(ACTION / "action.yml")["runs"]["steps"]}

Folder = Callable[[Mapping[str, str | bytes]], Path]

NOTES = {
    "0001_notes.sql": "CREATE TABLE notes (id bigint);\n",
    "0002_more.sql": "ALTER TABLE notes ADD body text;\n",
}
BROKEN = {
    "0001_notes.sql": "CREATE TABLE notes (id bigint);\n",
    "0002_more.sql": "SELECT 1;\nALTER TABLE notse ADD x int;\n",
}


class Runner:
    """What GitHub's runner gives a step: its script, its environment, the files it may write to."""

    def __init__(self, home: Path, inputs: Mapping[str, str], *, installed: bool = True) -> None:
        self._home = home
        self._inputs = inputs
        self.summary = home / "summary.md"
        self.outputs = home / "outputs"
        home.mkdir(parents=True)
        if installed:  # as after the first step, which needs the network: tests/containers runs it
            (home / "pgready").mkdir()
            (home / "pgready" / "bin").symlink_to(Path(sys.executable).parent)

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a step as `shell: bash` does."""
        step = STEPS[name]
        assert step["shell"] == "bash"
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(
            command, env=self._environment(step), cwd=self._home, capture_output=True, text=True, check=False
        )

    def _environment(self, step: Document) -> dict[str, str]:
        given = {key: self._expand(value) for key, value in step.get("env", {}).items()}
        return {
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(self._home),
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.outputs),
            **given,
        }

    def _expand(self, value: str) -> str:
        known = {
            "github.action_path": str(ACTION),
            **{f"inputs.{key}": text for key, text in self._inputs.items()},
        }
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda match: known[match[1]], value)


def steps(runner: Runner) -> list[int]:
    """The exit codes of the steps behind the installation, as the runner would go through them."""
    codes: list[int] = []
    for name in list(STEPS)[1:]:
        if any(codes) and STEPS[name].get("if") != "always()":
            continue
        codes.append(runner.run(name).returncode)
    return codes


async def test_migrations_are_applied_twice_and_shown(
    database: Database, sql_folder: Folder, tmp_path: Path
) -> None:
    runner = Runner(tmp_path / "runner", {"database-url": database.url, "dir": str(sql_folder(NOTES))})

    assert steps(runner) == [0, 0, 0]
    summary = runner.summary.read_text()
    assert summary.startswith("## Migrations: ready\n\n2 of 2 applied")
    assert "| 0002 | more | applied |" in summary


async def test_a_broken_migration_fails_the_job_and_is_shown_with_its_reason(
    database: Database, sql_folder: Folder, tmp_path: Path
) -> None:
    runner = Runner(tmp_path / "runner", {"database-url": database.url, "dir": str(sql_folder(BROKEN))})

    assert steps(runner) == [1, 0]
    summary = runner.summary.read_text()
    assert 'error: 0002_more.sql:2: relation "notse" does not exist' in summary
    assert "| 0001 | notes | applied |" in summary


async def test_a_broken_migration_is_marked_in_its_file(
    database: Database, sql_folder: Folder, tmp_path: Path
) -> None:
    folder = sql_folder(BROKEN)
    runner = Runner(tmp_path / "runner", {"database-url": database.url, "dir": str(folder)})
    runner.run("Apply the migrations")
    shown = runner.run("Show the status")

    assert shown.stderr == f'::error file={folder}/0002_more.sql,line=2::relation "notse" does not exist\n'


def test_a_run_without_a_status_is_said_to_have_none(sql_folder: Folder, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runner", {"database-url": "nonsense", "dir": str(sql_folder(NOTES))})

    assert steps(runner) == [2, 0]
    assert "its log says why" in runner.summary.read_text()


async def test_a_second_run_that_applies_something_fails_the_job(
    database: Database, sql_folder: Folder, tmp_path: Path
) -> None:
    runner = Runner(tmp_path / "runner", {"database-url": database.url, "dir": str(sql_folder(NOTES))})
    first = runner.run("Apply them again")  # on a database where nothing was applied before
    again = runner.run("Apply them again")

    assert (first.returncode, again.returncode) == (1, 0)
    assert "::error::the second run applied 2" in first.stderr


async def test_no_step_shows_the_password(database: Database, sql_folder: Folder, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runner", {"database-url": database.url, "dir": str(sql_folder(NOTES))})
    results = [runner.run(name) for name in list(STEPS)[1:]]
    written = "".join(path.read_text() for path in (tmp_path / "runner").iterdir() if path.is_file())

    assert [result.returncode for result in results] == [0, 0, 0]
    assert "secret" not in "".join(result.stdout + result.stderr for result in results) + written


def test_the_example_gives_the_inputs_that_the_action_takes() -> None:
    inputs = load(ACTION / "action.yml")["inputs"]
    used = load(ACTION / "example.yml")["jobs"]["apply"]["steps"][-1]["with"]

    assert set(used) <= set(inputs)
    assert {name for name, given in inputs.items() if given.get("required")} <= set(used)


def test_inputs_and_outputs_are_documented_as_they_are() -> None:
    action = load(ACTION / "action.yml")
    inputs = {f"`{name}`": given.get("default", "") for name, given in action["inputs"].items()}
    rows = table_rows(CHECKOUT / "docs" / "ci.md")

    assert {row[0]: row[1].strip("`") for row in rows if len(row) == 3} == inputs
    assert {row[0] for row in rows if len(row) == 2} == {f"`{name}`" for name in action["outputs"]}
