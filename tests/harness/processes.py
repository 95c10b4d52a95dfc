"""The installed command, run as people run it: a process with an environment of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
from msgspec import Struct

COMMAND = Path(sys.executable).with_name("pgready")


class Result(Struct, frozen=True):
    """How a process ended; *exit_code* is minus the signal's number where a signal ended it."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float


class Running:
    """A process that is running. What it writes goes to files, so it never waits for us to read."""

    def __init__(
        self, command: list[str | Path], home: Path, env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        home.mkdir(parents=True)
        self._stdout = home / "stdout"
        self._stderr = home / "stderr"
        self._started = time.monotonic()
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=dict(env),
                cwd=cwd or home, start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid

    @property
    def stdout(self) -> str:
        """All that it has written to stdout so far."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """All that it has written to stderr so far."""
        return self._stderr.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def signal(self, which: signal.Signals) -> None:
        """Send a signal to the process itself."""
        self._process.send_signal(which)

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until *holds* is true; fails, showing all it wrote, when it ends or *seconds* pass first."""
        deadline = time.monotonic() + seconds
        while not holds():
            ended = self.exit_code is not None and not holds()
            if ended or time.monotonic() > deadline:
                why = f"it ended with {self.exit_code}" if ended else f"{seconds} s passed"
                raise AssertionError(f"waited for {what}, but {why}\n{self._written()}")
            await anyio.sleep(0.01)

    async def wait_for(self, text: str, seconds: float = 30) -> None:
        """Wait until *text* stands in what it wrote to stdout or stderr."""
        await self.until(lambda: text in self.stdout or text in self.stderr, repr(text), seconds)

    async def wait(self, seconds: float = 60) -> Result:
        """Wait for its end; it is killed, and the test fails, when *seconds* pass first."""
        deadline = time.monotonic() + seconds
        while self.exit_code is None:
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"still running after {seconds} s\n{self._written()}")
            await anyio.sleep(0.005)
        assert self.exit_code is not None
        return Result(self.exit_code, self.stdout, self.stderr, time.monotonic() - self._started)

    def kill(self) -> None:
        """kill -9, of its children too, and wait for its end; no-op once it ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _written(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Pgready:
    """Runs `pgready` in a clean environment: no PG*, DATABASE_URL or POSTGRES_* of this machine."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC"}
        self._running: list[Running] = []

    async def __call__(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        cwd: Path | None = None,
    ) -> Result:
        """Run it to its end."""
        return await self.start(*arguments, env=env, cwd=cwd).wait(timeout)

    def start(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        shell: str | None = None,
    ) -> Running:
        """Start it, by *shell* where one is given, and let it run; killed when the test ends."""
        place = self.home / f"process-{len(self._running) + 1}"
        by = ["bash", "-c", shell, "bash"] if shell else []
        running = Running([*by, COMMAND, *arguments], place, {**self.environment, **(env or {})}, cwd)
        self._running.append(running)
        return running

    def close(self) -> None:
        """Kill what still runs."""
        for running in self._running:
            running.kill()
