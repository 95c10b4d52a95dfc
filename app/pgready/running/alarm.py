"""What wakes the daemon before its time: somebody asks for another try, or files change."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path

import anyio

_DEBOUNCE_MS = 50
_STEP_MS = 20
_LOOK_AGAIN_MS = 2000  # how soon a folder that was replaced, or came into being, is watched
_Identity = tuple[str, int, int]


class Waking(Enum):
    """What ended a wait."""

    TIME = "the time was over"
    RUNG = "it rang"
    REQUEST = "another try was asked for"


class Alarm:
    """Rung on the event loop's thread; what rings while nobody waits is kept."""

    def __init__(self) -> None:
        self._rung = anyio.Event()
        self._requested = False

    def ring(self) -> None:
        """End the wait."""
        self._rung.set()

    def request(self) -> None:
        """End the wait, as a request."""
        self._requested = True
        self._rung.set()

    async def wait(self, seconds: float | None) -> Waking:
        """Wait until it rings or *seconds* (None: for ever) have passed; say which of them."""
        with anyio.move_on_after(seconds):
            await self._rung.wait()
        rung, requested = self._rung.is_set(), self._requested
        self._rung, self._requested = anyio.Event(), False
        return Waking.REQUEST if requested else Waking.RUNG if rung else Waking.TIME


async def ring_on_changes(
    directory: Callable[[], str], ring: Callable[[], None], unwatched: Callable[[str], None]
) -> None:
    """Call *ring* whenever something below *directory* changes, until cancelled.

    It is a convenience: where the system does not tell (a network mount, a folder that was replaced a
    moment ago), the daemon's own glances do, seconds later. The first time that it refuses to, *unwatched*
    is told why.
    """
    stop, told = anyio.Event(), False
    async with anyio.create_task_group() as group:
        group.start_soon(_set_when_cancelled, stop)
        while True:
            why = await _ring_while_the_same(directory, ring, stop)
            if why and not told:
                unwatched(why)
                told = True
            await anyio.sleep(_LOOK_AGAIN_MS / 1000)


async def _set_when_cancelled(stop: anyio.Event) -> None:
    """The watching thread knows nothing of cancellation; without this it would hold it up for seconds."""
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()


async def _ring_while_the_same(
    directory: Callable[[], str], ring: Callable[[], None], stop: anyio.Event
) -> str | None:
    """Return when the folder is another one, or is not there; or why it cannot be watched."""
    from watchfiles import awatch  # loaded by `serve --watch` alone

    path = directory()
    identity = _identity(path)
    if identity is None:
        return None
    changes = awatch(
        path,
        watch_filter=None,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        stop_event=stop,
        rust_timeout=_LOOK_AGAIN_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        async for found in changes:
            if found:
                ring()
            if _identity(directory()) != identity:
                ring()
                break
    except (OSError, RuntimeError, ExceptionGroup) as error:
        return _why(error)
    return None


def _why(error: Exception) -> str | None:
    """No more inotify watches, a name that is not UTF-8; None where the folder went while it was listed."""
    while isinstance(error, ExceptionGroup):  # of the library's own task group
        error = error.exceptions[0]
    if not isinstance(error, OSError | RuntimeError):
        raise error
    return None if isinstance(error, FileNotFoundError) else str(error)


def _identity(directory: str) -> _Identity | None:
    try:
        status = Path(directory).stat()
    except OSError:
        return None
    return directory, status.st_dev, status.st_ino
