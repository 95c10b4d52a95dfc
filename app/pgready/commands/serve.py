"""`pgready serve`: make the target ready, and answer /ready and /migrations meanwhile and afterwards."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import anyio
import click
from msgspec.structs import replace

from pgready.commands.console import Console
from pgready.commands.options import load_settings, reload_settings, settings_options
from pgready.commands.process import finish, show
from pgready.commands.reports import Reports
from pgready.core.errors import ExitCode
from pgready.core.events import EmbeddedStarted, Event, PhaseEntered
from pgready.core.run import Phase
from pgready.core.status import Status, text_table
from pgready.running import assemble, serving
from pgready.settings import Settings


@click.command("serve")
@settings_options
def command(**flags: object) -> int:
    """Make the target ready and serve /live, /ready, /startup and /migrations.

    The port is bound before the database is touched. SIGTERM ends it: 0 when ready, 143 in mid-run, and
    after a failure that only a person can cure with that failure's own code.
    """
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC))
    reports = Reports(console, settings)
    daemon = _Daemon(settings, flags, console)
    return reports.ended(finish(daemon.work, console.fail, on_signal=daemon.on_signal))


class _Daemon:
    def __init__(self, settings: Settings, flags: dict[str, object], console: Console) -> None:
        self._settings = settings
        self._flags = flags
        self._console = console
        self._idle_code: int | None = None
        self._psql: str | None = None
        console.listen(self._note)

    def on_signal(self) -> int | None:
        """What a daemon that has nothing in hand ends with; None in mid-run, for the signal's own code."""
        return self._idle_code

    def _note(self, event: Event) -> None:
        if isinstance(event, EmbeddedStarted):
            self._psql = event.psql

    async def work(self) -> int:
        from pgready.service import server, web  # the HTTP side is loaded by this command alone
        from pgready.service.access import AccessLog
        from pgready.service.feed import Feed

        sockets = server.listen(self._settings.host, self._settings.port)
        feed = Feed(self._console.status)
        self._console.listen(feed.publish)
        application = web.application(feed)
        if self._settings.show_sql:
            self._console.listen(application.state.pages.note)
        addresses = [server.url(socket) for socket in sockets]
        async with anyio.create_task_group() as group:
            await group.start(server.serve, AccessLog(application, lambda: self._console.log), sockets)
            self._console.say(f"listening on {addresses[0]}")
            try:
                await self._make_ready(addresses[0])
            finally:
                feed.publish(PhaseEntered(Phase.DRAINING.value))
                group.cancel_scope.cancel()
        return ExitCode.DONE

    async def _make_ready(self, address: str) -> None:
        async with self._console.following(), assemble.located(self._settings, self._console.emit) as located:
            embedded = located if located is not self._settings else None

            def reload() -> Settings:
                fresh = reload_settings(self._flags)
                return (
                    fresh if embedded is None else replace(fresh, target=located.target, admin=located.admin)
                )

            ready = await serving.until_ready(reload, self._console.emit, self._console.fail)
            failure = self._console.status.failure
            self._idle_code = ExitCode.DONE if ready or failure is None else failure.exit_code
            if ready:
                self._console.stop_following()
                _tell(self._console.status, address, self._psql)
            await anyio.sleep_forever()


def _tell(status: Status, address: str, psql: str | None) -> None:
    """What was done, and what there is to open, for the person who started this."""
    lines = [text_table(status), "", f"ready:      {address}/ready", f"page:       {address}/"]
    if psql is not None:
        lines.append(f"psql:       {psql}")
    show("\n".join([*lines, "stop with Ctrl-C"]))
    sys.stdout.flush()
