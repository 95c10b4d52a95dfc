"""`pgready wait`: block until the target has every migration of this folder, or a daemon says ready."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import anyio
import click
from msgspec.structs import replace

from pgready.commands.console import Console, tell
from pgready.commands.options import load_settings, log_format, settings_options
from pgready.commands.process import finish, show
from pgready.commands.reports import keep_termination_log
from pgready.core.errors import (
    DatabaseMissing,
    ExitCode,
    LockNotObtained,
    NotReady,
    RoleMissing,
    Unreachable,
)
from pgready.core.events import Connected, ConnectFailed, Event
from pgready.running import assemble, reasons
from pgready.running.look import Sight
from pgready.settings import Settings
from pgready.settings.values import duration

_POLL_SECONDS = 1.0
_LOOK_SECONDS = 2.0
"""How long the last look may outlast the timeout before it is given up."""

_HINT = "is `pgready up` or `pgready serve` running? --timeout sets the patience"


@click.command("wait")
@settings_options
@click.option("--url", help="ask this daemon's /ready instead of the database", metavar="URL")
@click.option("--timeout", default="10m", show_default=True, help="how long to wait", metavar="DURATION")
def command(url: str | None, timeout: str, **flags: object) -> int:
    """Wait for the schema; exit 0 when it is there, 7 when it is not in time, 3 without a server.

    Needs no more than to read the history, and is right as well when the database is ahead.
    """
    try:
        seconds = duration(timeout)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--timeout") from None
    if url is not None:
        return finish(lambda: _wait_for_daemon(url, seconds), lambda error: tell(error, log_format(flags)))
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC), quiet=True)
    keep_termination_log(console, settings)
    return finish(lambda: _wait(settings, console, seconds), console.fail)


async def _wait_for_daemon(url: str, seconds: float) -> int:
    from pgready.commands.wait_url import wait_for_url

    show(await wait_for_url(url, seconds))
    return ExitCode.DONE


class _Attempts:
    """The attempts to connect of one look after another, told as those of one run.

    The last of a look is kept back until it is known whether another look follows.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._before = 0
        self._last: ConnectFailed | None = None

    def emit(self, event: Event) -> None:
        match event:
            case ConnectFailed():
                event = replace(event, attempt=self._before + event.attempt)
                if event.retry_seconds is None:
                    self._last = event
                    return
            case Connected():
                event = replace(event, attempt=self._before + event.attempt)
                self._before = 0
        self._emit(event)

    def tell_last(self, retry_seconds: float | None) -> None:
        """Another look follows in *retry_seconds*; None: there is none."""
        last, self._last = self._last, None
        if last is not None:
            self._before = last.attempt
            self._emit(replace(last, retry_seconds=retry_seconds))


async def _wait(settings: Settings, console: Console, seconds: float) -> int:
    deadline = anyio.current_time() + seconds
    lack: Unreachable | str = "the database did not answer"
    attempts = _Attempts(console.emit)
    async with console.following(), assemble.located(settings, console.emit) as located:
        with anyio.move_on_after(seconds + _LOOK_SECONDS):
            while True:
                try:
                    lack = await _look(located, attempts.emit, max(0.0, deadline - anyio.current_time()))
                except BaseException:
                    attempts.tell_last(None)
                    raise
                if not lack:
                    return ExitCode.DONE
                pause = min(_POLL_SECONDS, deadline - anyio.current_time())
                attempts.tell_last(pause if pause > 0 else None)
                if pause <= 0:
                    break
                await anyio.sleep(pause)
    if isinstance(lack, Unreachable):
        raise Unreachable(lack.what, sqlstate=lack.sqlstate, hint=_HINT)
    raise NotReady(f"not ready after {seconds:g} s: {lack}", hint=_HINT)


async def _look(
    settings: Settings, emit: Callable[[Event], None], patience_seconds: float
) -> Unreachable | str:
    """What is lacking, which is nothing when the target has all of the folder.

    A server that is not there, or a history that is locked, is waited for, for *patience_seconds*;
    whatever time does not cure is raised. The folder is read each time: it may be a volume that something
    else fills.
    """
    patience_seconds = round(patience_seconds, 1)
    settings = replace(
        settings, connect_timeout_seconds=patience_seconds, relation_lock_timeout_seconds=patience_seconds
    )
    run = await assemble.prepare(settings, emit, read_only=True)
    try:
        sight = await run.look_only()
    except (DatabaseMissing, RoleMissing) as error:
        emit(ConnectFailed(1, error.what, None))
        return error.what
    except Unreachable as error:
        return error
    except LockNotObtained as error:
        return error.what
    if sight.plan.errors:
        raise reasons.refused(sight.plan)
    return _missing(sight)


def _missing(sight: Sight) -> str:
    versions = [work.version for work in sight.work]
    if not versions:
        return ""
    shown = ", ".join(versions[:3]) + (", …" if len(versions) > 3 else "")
    return f"{len(versions)} pending ({shown})"
