"""Running commands side by side: interleaved, in another order each round, medians and spread."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """What is measured: *prepare* runs before each round, unmeasured."""

    name: str
    arguments: Sequence[str | Path]
    environ: Mapping[str, str]
    folder: Path | None = None
    prepare: Callable[[], None] | None = None


class Run(NamedTuple):
    """*peak_mib* is None where nobody looked."""

    seconds: float
    peak_mib: float | None = None


class Measurement(NamedTuple):
    """All rounds of one command."""

    name: str
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> list[float]:
        return sorted(run.seconds for run in self.runs)

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)

    @property
    def peak_mib(self) -> float | None:
        return max((run.peak_mib for run in self.runs if run.peak_mib is not None), default=None)


class Failed(Exception):
    """A command ended with an error; the message is the end of what it wrote."""


def side_by_side(commands: Sequence[Command], rounds: int, *, warm_up: bool = True) -> list[Measurement]:
    """Run all *commands* *rounds* times; one round to warm up before.

    Each round begins with another command and goes in the other direction, so that none always comes behind
    the same neighbour, whose pages the disk may still be at. One that fails is left out, and said so: its
    tool cannot do what the others can.
    """
    runs: dict[str, list[Run]] = {command.name: [] for command in commands}
    for number in range(-1 if warm_up else 0, rounds):
        for command in _in_turn(commands, number, rounds):
            if command.name not in runs:
                continue
            try:
                run = once(command)
            except Failed as failure:
                del runs[command.name]
                print(f"left out: {failure}", flush=True)
            else:
                runs[command.name] += [run] if number >= 0 else []
    return [
        Measurement(command.name, tuple(runs[command.name])) for command in commands if command.name in runs
    ]


def _in_turn(commands: Sequence[Command], number: int, rounds: int) -> Sequence[Command]:
    first = max(number, 0) * len(commands) // rounds
    turned = [*commands[first:], *commands[:first]]
    return turned if number % 2 else turned[::-1]


def once(command: Command) -> Run:
    """Run *command*. Raises Failed."""
    if command.prepare:
        command.prepare()
    os.sync()
    arguments = [str(argument) for argument in (*_LAUNCH, *command.arguments)]
    ended = subprocess.run(
        arguments, env=dict(command.environ), cwd=command.folder or "/", capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    seconds, peak_mib, exit_code = map(float, ended.stdout.split() or (0, 0, ended.returncode))
    if exit_code:
        raise Failed(f"{command.name} ended with {exit_code:.0f}: {ended.stderr[-400:]}")
    return Run(seconds, peak_mib)


_LAUNCH = (sys.executable, "-I", "-S", Path(__file__).parent / "programs" / "launch.py")


def at_once(command: Command, copies: int) -> Run:
    """Start *copies* of *command* and wait until all have ended well; their memory is not looked at.
    Raises Failed."""
    if command.prepare:
        command.prepare()
    began = time.perf_counter()
    processes = [
        subprocess.Popen(
            [str(argument) for argument in command.arguments],
            env=dict(command.environ),
            cwd=command.folder or "/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for _ in range(copies)
    ]
    with ThreadPoolExecutor(copies) as pool:
        said = [text.decode() for _, text in pool.map(subprocess.Popen.communicate, processes)]
    took = time.perf_counter() - began
    failed = [text for process, text in zip(processes, said, strict=True) if process.returncode]
    if failed:
        raise Failed(f"{len(failed)} of {copies} of {command.name} failed: {failed[0][-400:]}")
    return Run(took)
