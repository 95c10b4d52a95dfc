"""A run as this process shows it: the folded status, log lines, a drawn line or a heartbeat."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import anyio
import anyio.to_thread

from pgready import logs
from pgready.commands import display, eventlog
from pgready.core import renderings
from pgready.core import status as statuses
from pgready.core.errors import PgreadyError, render
from pgready.core.events import (
    Event,
    Located,
    MigrationApplied,
    MigrationStarted,
    PhaseEntered,
    Planned,
    RunFailed,
)
from pgready.core.status import Status
from pgready.settings import Settings

_CAN_WAIT = (Planned, MigrationStarted, MigrationApplied)
_IN_NO_HURRY = (Located, PhaseEntered)
_SOON_SECONDS = 0.1


class Console:
    """Takes a run's events (`emit`) and shows them on standard error, which drops what cannot be written.

    A plan, and those of which there is one for every migration, are told while the server works on what
    comes next: telling them takes a tenth of a millisecond, a plan of a thousand five, in which it would have
    nothing to do. Any other event, and whoever asks for the status, finds all before it told: folded into the
    status, and heard by the listeners.

    The log is written as events are told, but for the beginning: structlog, which that takes, is loaded while
    the server is asked what is applied. That is when the first thing has come of the run, or a moment later.
    """

    def __init__(self, settings: Settings, *, started_at: datetime, quiet: bool = False) -> None:
        """*quiet* is for commands that only look: of events, they log warnings and errors."""
        self._settings = settings
        self._quiet = quiet
        self._structlog_loaded = False
        self._people = settings.log_format == "console"
        self._line: display.Line | None = None
        self._following: anyio.CancelScope | None = None
        self._listeners: list[Callable[[Event], None]] = []
        self._untold: deque[tuple[datetime, Event]] = deque()
        self._unwritten: deque[tuple[datetime, Event]] = deque()
        self._notices = deque(settings.notices)
        self._waits = anyio.Event()
        self._status = statuses.initial(
            started_at=started_at,
            target=settings.target.masked if settings.target else None,
            namespace=settings.namespace,
            environment=settings.environment,
        )
        logs.take_over_logging(lambda: self.log)

    @cached_property
    def _log(self) -> Any:
        settings = self._settings
        bound = {"environment": settings.environment} if settings.environment else {}
        return _logger(settings.log_format, settings.log_level, **bound)

    @cached_property
    def _write(self) -> Callable[[Event, datetime], None]:
        settings = self._settings
        level = "warning" if self._quiet and settings.log_level == "info" else settings.log_level
        return eventlog.log_events(self._log, level, self._completed)

    def _completed(self, text: str) -> str:
        from pgready.commands.hints import completed  # loaded where there is something to complete

        return completed(text, self._settings)

    @property
    def status(self) -> Status:
        self._tell_untold()
        return self._status

    @property
    def log(self) -> Any:
        """For what is no event of a run, and stands behind all that was one. Ask anew for each line: a drawn
        one makes room."""
        self._tell_untold()
        self._write_untold()
        self._make_room()
        return self._log

    def say(self, text: str) -> None:
        """A line for people; programs have the events."""
        if self._people:
            print(text, file=sys.stderr)  # noqa: T201
        else:
            self.log.info("service.listening", message=text)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Hand every event to *listener* too."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        self._untold.append((datetime.now(UTC), event))
        if self._following is None or not isinstance(event, _CAN_WAIT):
            self._tell_untold()
        elif len(self._untold) == 1:
            self._waits.set()

    def _tell_untold(self) -> None:
        while self._untold:
            happened_at, event = self._untold.popleft()
            self._status = statuses.advance(self._status, event, happened_at)
            self._unwritten.append((happened_at, event))
            for listener in self._listeners:
                listener(event)
        if self._following is None or self._structlog_loaded:
            self._write_untold()
        elif not all(isinstance(event, _IN_NO_HURRY) for _, event in self._unwritten):
            self._waits.set()

    def _write_untold(self) -> None:
        while self._notices or self._unwritten:
            self._make_room()
            if self._notices:
                self._log.warning("settings.noticed", message=self._notices.popleft())
            else:
                happened_at, event = self._unwritten.popleft()
                self._write(event, happened_at)

    def _make_room(self) -> None:
        if self._line is not None:
            self._line.clear()

    async def _keep_telling(self, when_loaded: Callable[[], None]) -> None:
        with anyio.move_on_after(_SOON_SECONDS):
            await self._waits.wait()
        await anyio.to_thread.run_sync(logs.load_structlog)
        self._structlog_loaded = True
        when_loaded()
        self._tell_untold()
        while True:
            await self._waits.wait()
            self._waits = anyio.Event()
            self._tell_untold()

    def fail(self, error: PgreadyError, retry_seconds: float | None = None) -> None:
        """Tell how a run ended: as text for people, as one event for programs."""
        if error.hint:
            error.hint = self._completed(error.hint)
        event = eventlog.failed(error, retry_seconds)
        self._status = statuses.advance(self.status, event, datetime.now(UTC))
        for listener in self._listeners:  # first: standard error may be a pipe that is full
            listener(event)
        _tell(error, event, self.log, self._people)

    @asynccontextmanager
    async def following(
        self,
        heartbeat_seconds: float = display.HEARTBEAT_SECONDS,
        when_loaded: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[None]:
        """Draw or beat, and tell what can wait, while the block runs; *when_loaded* is called once structlog,
        the last that a run needs, is there."""
        failure: PgreadyError | None = None
        self._waits = anyio.Event()  # an event belongs to the loop that waits for it
        self._following = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            if self._people and display.drawable(sys.stderr, os.environ):
                self._line = display.Line(sys.stderr, lambda: self.status)
                group.start_soon(self._follow, self._following, self._line.keep_drawing)
            else:
                group.start_soon(
                    self._follow, self._following, display.keep_beating, self._beat, heartbeat_seconds
                )
            group.start_soon(self._keep_telling, when_loaded)
            try:
                yield
            except PgreadyError as error:  # kept out of the task group, which would wrap it
                failure = error
            finally:
                self._following = None
                self._tell_untold()
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _follow(
        self, scope: anyio.CancelScope, show: Callable[..., Awaitable[None]], *arguments: object
    ) -> None:
        with scope:
            await show(*arguments)

    def stop_following(self) -> None:
        """Nothing more is under way: draw and beat no longer."""
        if self._following is not None:
            self._following.cancel()

    def _beat(self) -> None:
        self.log.info("run.waiting", phase=self.status.phase, status=renderings.headline(self.status))


def tell(error: PgreadyError, log_format: str) -> None:
    """Say how a command ended that has no Console: its settings, say, could not be read."""
    if "KUBERNETES_SERVICE_HOST" in os.environ or "PGREADY_TERMINATION_LOG" in os.environ:
        from pgready.commands import termination

        termination.tell(error, os.environ)
    _tell(error, eventlog.failed(error), _logger(log_format, "error"), log_format == "console")


def _tell(error: PgreadyError, event: RunFailed, log: Any, people: bool) -> None:
    if people:
        print(render(error), file=sys.stderr)  # noqa: T201
    else:
        eventlog.log_events(log, "error")(event, datetime.now(UTC))


def _logger(log_format: str, level: str, **bound: str) -> Any:
    run_id = os.urandom(4).hex()
    return logs.configure(log_format, level, sys.stderr, environ=os.environ, run_id=run_id, **bound)
