"""What people see of a run: on a terminal one line that is drawn again, elsewhere a heartbeat.

Log lines go to standard error by themselves; this only adds what they leave silent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TextIO

import anyio

from pgready.core.cells import fitting
from pgready.core.renderings import headline
from pgready.core.status import Status

HEARTBEAT_SECONDS = 10.0
_REDRAW_SECONDS = 0.2
_QUIET_SECONDS = 1.0
_USUAL_COLUMNS = 80
_CLEAR = "\r\x1b[K"


def drawable(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a line can be drawn again on *stream*."""
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb" and "CI" not in environ


class Line:
    """One line at the bottom of a terminal."""

    def __init__(self, stream: TextIO, status: Callable[[], Status]) -> None:
        self._stream = stream
        self._status = status
        self._drawn = False

    def clear(self) -> None:
        """Make room for a log line."""
        if self._drawn:
            self._stream.write(_CLEAR)
            self._stream.flush()
            self._drawn = False

    async def keep_drawing(self) -> None:
        await anyio.sleep(_QUIET_SECONDS)
        try:
            while True:
                # A line that wraps cannot be cleared; on some terminals one does that fills the last column.
                shown = fitting(headline(self._status()), max(1, _columns(self._stream) - 1))
                self._stream.write(_CLEAR + shown)
                self._stream.flush()
                self._drawn = True
                await anyio.sleep(_REDRAW_SECONDS)
        finally:
            self.clear()


def _columns(stream: TextIO) -> int:
    """How wide the terminal is now: it may have been resized, which `COLUMNS` does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


async def keep_beating(beat: Callable[[], None], every_seconds: float) -> None:
    """Call *beat* every *every_seconds*, until cancelled."""
    while True:
        await anyio.sleep(every_seconds)
        beat()
