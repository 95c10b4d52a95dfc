"""A replica's life: started by fork or as people start it, heard as it tells, ended, buried."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

from harness.processes import COMMAND

from .zygote import Zygote


class _Line(Struct):
    event: str


class Life:
    """A process whose log lines are handed to *hear*, event by event, as they come."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self.pid = 0
        self.exit_code: int | None = None
        self.told = ""
        self._hear = hear
        self._ended = anyio.Event()
        self._rest = b""
        self._bury: Callable[[], int]

    def begin(
        self, zygote: Zygote | None, arguments: list[str], environment: Mapping[str, str], home: Path
    ) -> None:
        """Start it: by *zygote*, or where that is None the installed command."""
        home.mkdir(parents=True)
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            if zygote is not None:
                self.pid = zygote.start(arguments, environment, home, home / "stdout", theirs)
                self._bury = lambda: zygote.bury(self.pid)
            else:
                self._execute([str(COMMAND), *arguments], environment, home, theirs)
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        self._watch(ours)

    def _execute(self, command: list[str], environment: Mapping[str, str], home: Path, stderr: int) -> None:
        with (home / "stdout").open("wb") as stdout:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=dict(environment),
                cwd=home, start_new_session=True,
            )  # fmt: skip
        self.pid = process.pid
        self._bury = process.wait

    def _watch(self, stderr: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(stderr, self._read, stderr)
        process = os.pidfd_open(self.pid)

        def ended() -> None:
            loop.remove_reader(process)
            os.close(process)
            self._read(stderr)
            loop.remove_reader(stderr)
            os.close(stderr)
            self.exit_code = self._bury()
            self._ended.set()
            self._hear("replica.settled")

        loop.add_reader(process, ended)

    def _read(self, stderr: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(stderr, 1 << 16):
                self._take(data)
            asyncio.get_running_loop().remove_reader(stderr)  # its end, which would be told for ever

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.told += line.decode(errors="replace") + "\n"
            with contextlib.suppress(msgspec.DecodeError):
                self._hear(msgspec.json.decode(line, type=_Line).event)

    @property
    def running(self) -> bool:
        return self.pid != 0 and self.exit_code is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; no-op once it ended."""
        if self.running:  # until it is buried its pid is its own
            os.kill(self.pid, number)

    async def over(self) -> None:
        """Wait for its end, if it has begun."""
        if self.running:
            await self._ended.wait()
