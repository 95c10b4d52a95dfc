"""`pgready serve`: make the target ready and keep it so, and answer /ready and /migrations all the while."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import click
from anyio.abc import TaskStatus
from msgspec.structs import replace

from pgready.commands import hangups
from pgready.commands.console import Console
from pgready.commands.hints import completed_status
from pgready.commands.options import load_settings, reload_settings, settings_options
from pgready.commands.process import finish, show
from pgready.commands.reports import Reports
from pgready.core.errors import ExitCode, PgreadyError
from pgready.core.events import EmbeddedStarted, Event, PhaseEntered
from pgready.core.phases import Phase
from pgready.core.renderings import text_table
from pgready.core.serving_steps import Habits
from pgready.core.status import Status
from pgready.settings import Settings

if TYPE_CHECKING:
    from pgready.running.serving import Keeper
    from pgready.service.inspector import Inspector
    from pgready.service.retry import Retrying

_HEAVY = (
    "pgready.running.serving",
    "pgready.running.inspection",
    "pgready.running.apply",
    "pgready.running.bootstrapper",
    "pgready.core.compile",
)
"""The driver and all that a run needs. They are loaded in a thread, once the port is served:
a quarter of a second in which no probe is answered would be one that a probe notices."""


@click.command("serve")
@click.option("--watch", is_flag=True, help="apply new files as they appear: the development loop")
@settings_options
def command(watch: bool, **flags: object) -> int:
    """Make the target ready, serve /live, /ready, /startup and /migrations, and keep it ready.

    The port is bound before the database is touched. SIGHUP asks for another try. SIGTERM ends it: 0 when
    ready, 143 in mid-run, and after a failure that only a person can cure with that failure's own code.
    """
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC))
    reports = Reports(console, settings)
    daemon = _Daemon(settings, flags, console, Habits(settings.poll_interval_seconds, watch))
    return reports.ended(finish(daemon.work, console.fail, on_signal=daemon.on_signal))


class _Daemon:
    def __init__(
        self, settings: Settings, flags: dict[str, object], console: Console, habits: Habits
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._console = console
        self._habits = habits
        self._keeper: Keeper | None = None
        self._address = ""
        self._psql: str | None = None
        self._told = False
        console.listen(self._note)

    def on_signal(self) -> int | None:
        """What a daemon that has nothing in hand ends with; None in mid-run, for the signal's own code."""
        return self._keeper.idle_code if self._keeper else None

    def _note(self, event: Event) -> None:
        if isinstance(event, EmbeddedStarted):
            self._psql = event.psql

    def _ready(self) -> None:
        """The first time, say what was done; after that the log does."""
        if not self._told:
            self._told = True
            self._console.stop_following()
            try:
                _tell(completed_status(self._console.status, self._settings), self._address, self._psql)
            except PgreadyError as error:
                self._console.log.warning("output.unwritten", message=error.what)

    async def work(self) -> int:
        from pgready.service import server, web  # the HTTP side is loaded by this command alone
        from pgready.service.access import AccessLog
        from pgready.service.discretion import discreet
        from pgready.service.feed import Feed

        retrying = self._retrying()
        sockets = server.listen(self._settings.host, self._settings.port)
        feed = Feed(self._console.status)
        shows_data = self._settings.show_sql
        self._console.listen(feed.publish if shows_data else lambda event: feed.publish(discreet(event)))
        application = web.application(feed, retrying=retrying, shows_schema=self._settings.show_schema)
        if self._settings.show_sql:
            self._console.listen(application.state.pages.note)
        self._address = server.url(sockets[0])
        async with anyio.create_task_group() as group:
            logged = AccessLog(application, lambda: self._console.log)
            await group.start(server.serve, logged, sockets, application.state.probes)
            await group.start(self._heed_hangups)
            addresses = dict.fromkeys(server.url(socket) for socket in sockets)
            self._console.say(f"listening on {' and '.join(addresses)}")
            try:
                await self._keep_ready(application.state.inspector)
            finally:
                feed.publish(PhaseEntered(Phase.DRAINING.value))
                group.cancel_scope.cancel()
        return ExitCode.DONE

    async def _keep_ready(self, inspector: Inspector) -> None:
        for name in _HEAVY:
            await anyio.to_thread.run_sync(import_module, name)
        from pgready.running import assemble, inspection, serving

        async with self._console.following(), assemble.located(self._settings, self._console.emit) as located:
            embedded = located if located is not self._settings else None

            def reload() -> Settings:
                fresh = reload_settings(self._flags)
                if embedded is None:
                    return fresh
                return replace(fresh, target=embedded.target, admin=embedded.admin)

            def moved(to: Settings) -> None:
                nonlocal embedded
                embedded = to

            inspector.look = inspection.looking(reload)
            self._keeper = serving.Keeper(
                reload,
                self._console.emit,
                self._console.fail,
                self._ready,
                directory=self._settings.dir,
                habits=self._habits,
            )
            async with anyio.create_task_group() as group:  # which ends before the server is stopped
                if embedded is not None:
                    group.start_soon(assemble.keep_embedded, self._settings, self._console.emit, moved)
                await self._keeper.keep_ready()

    def _retrying(self) -> Retrying | None:
        """Who may ask for another try over HTTP. Raises SettingsError where that could be anybody."""
        from pgready.service.retry import Retrying, read_token

        path = self._settings.token_file
        if path is None:
            return None
        read_token(path)
        return Retrying(path, lambda: self._request_retry("POST /retry"))

    def _request_retry(self, by: str) -> None:
        if self._keeper is not None:  # before that, the first try is still to come
            self._keeper.request_retry(by)

    async def _heed_hangups(self, *, task_status: TaskStatus[None]) -> None:
        can_be_left = hangups.can_be_left()
        try:
            with anyio.open_signal_receiver(signal.SIGHUP) as signals:
                task_status.started()
                async for _ in signals:
                    if can_be_left and not hangups.has_terminal():
                        signal.raise_signal(signal.SIGTERM)
                    else:
                        self._request_retry("SIGHUP")
        finally:  # it is ending: a shell passes on what we had already
            signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _tell(status: Status, address: str, psql: str | None) -> None:
    """What was done, and what there is to open, for the person who started this."""
    lines = [text_table(status), "", f"ready:      {address}/ready", f"page:       {address}/"]
    if psql is not None:
        lines.append(f"psql:       {psql}")
    show("\n".join([*lines, "stop with Ctrl-C"]))
