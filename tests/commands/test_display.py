"""The line that is drawn again, on terminals of any width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

import anyio
import pytest
from msgspec.structs import replace

from pgready.commands import display
from pgready.core import status as statuses

STARTED = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LONG = replace(statuses.initial(started_at=STARTED, target=None, namespace="default"), reason="x" * 300)


class Screen:
    """A pseudo-terminal: what is written to *stream* is read back with `written`."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream: TextIO = os.fdopen(theirs, "w")
        os.set_blocking(self._ours, False)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    async def drawn(self) -> str:
        """The next line that is drawn."""
        while True:
            await anyio.wait_readable(self._ours)
            if text := os.read(self._ours, 65536).decode().replace("\r\x1b[K", ""):
                return text

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setattr(display, "_QUIET_SECONDS", 0)
    made = Screen()
    yield made
    made.close()


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
async def test_the_drawn_line_never_wraps(screen: Screen, columns: int) -> None:
    screen.resize(columns)
    async with anyio.create_task_group() as group:
        group.start_soon(display.Line(screen.stream, lambda: LONG).keep_drawing)
        drawn = await screen.drawn()
        group.cancel_scope.cancel()

    assert len(drawn) == columns - 1
    assert drawn.startswith("connecting: 0 applied; xxx") and drawn.endswith("x…")


async def test_the_drawn_line_follows_a_resize(screen: Screen) -> None:
    screen.resize(100)
    widths = set()
    async with anyio.create_task_group() as group:
        group.start_soon(display.Line(screen.stream, lambda: LONG).keep_drawing)
        widths.add(len(await screen.drawn()))
        screen.resize(50)
        while 49 not in widths:
            widths.add(len(await screen.drawn()))
        group.cancel_scope.cancel()

    assert widths == {99, 49}


async def test_a_terminal_that_tells_no_width_is_taken_for_a_usual_one(screen: Screen) -> None:
    screen.resize(0)
    async with anyio.create_task_group() as group:
        group.start_soon(display.Line(screen.stream, lambda: LONG).keep_drawing)
        drawn = await screen.drawn()
        group.cancel_scope.cancel()

    assert len(drawn) == 79
