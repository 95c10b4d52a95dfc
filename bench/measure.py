"""Running commands side by side: interleaved, in alternating order, medians and spread."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """What is measured: *prepare* runs before each round, unmeasured."""

    name: str
    arguments: Sequence[str | Path]
    environ: Mapping[str, str] = {}
    folder: Path | None = None
    prepare: Callable[[], None] | None = None


class Run(NamedTuple):
    seconds: float
    peak_mib: float


class Measurement(NamedTuple):
    """All rounds of one command."""

    name: str
    runs: tuple[Run, ...]

    @property
    def median_seconds(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    @property
    def spread(self) -> str:
        seconds = sorted(run.seconds for run in self.runs)
        return f"{_shown(seconds[0])} to {_shown(seconds[-1])}"

    @property
    def median(self) -> str:
        return _shown(self.median_seconds)

    @property
    def peak_mib(self) -> float:
        return max(run.peak_mib for run in self.runs)


def side_by_side(commands: Sequence[Command], rounds: int) -> dict[str, Measurement]:
    """Run all *commands* *rounds* times, each round in the other direction; one warm-up round before."""
    for command in commands:
        once(command)
    runs: dict[str, list[Run]] = {command.name: [] for command in commands}
    for number in range(rounds):
        for command in commands if number % 2 else reversed(commands):
            runs[command.name].append(once(command))
    return {name: Measurement(name, tuple(found)) for name, found in runs.items()}


def once(command: Command) -> Run:
    """Run *command*; raises RuntimeError with its output where it fails."""
    if command.prepare:
        command.prepare()
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(argument) for argument in command.arguments],
        env={**_environ(), **command.environ},
        cwd=command.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{command.name} ended with {process.returncode}: {said.decode()[-800:]}")
    return Run(seconds, usage.ru_maxrss / 1024)


def _environ() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _shown(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
