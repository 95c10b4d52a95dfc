"""`pgready wait`: block until the target has every migration of this folder, or a daemon says ready."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import click

from pgready.commands.console import Console
from pgready.commands.options import load_settings, settings_options
from pgready.commands.process import finish
from pgready.core.errors import Diverged, ExitCode, NotReady
from pgready.running import assemble
from pgready.running.look import Sight
from pgready.settings import Settings
from pgready.settings.values import duration

_POLL_SECONDS = 1.0


@click.command("wait")
@settings_options
@click.option("--url", help="ask this daemon's /ready instead of the database", metavar="URL")
@click.option("--timeout", default="10m", show_default=True, help="how long to wait", metavar="DURATION")
def command(url: str | None, timeout: str, **flags: object) -> int:
    """Wait for the schema; exit 0 when it is there, 7 when it is not in time.

    Needs no more than to read the history, and is right as well when the database is ahead.
    """
    try:
        seconds = duration(timeout)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--timeout") from None
    if url is not None:
        return finish(lambda: _wait_for_daemon(url, seconds))
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC), quiet=True)
    return finish(lambda: _wait(settings, console, seconds))


async def _wait_for_daemon(url: str, seconds: float) -> int:
    from pgready.commands.wait_url import wait_for_url

    click.echo(await wait_for_url(url, seconds))
    return ExitCode.DONE


async def _wait(settings: Settings, console: Console, seconds: float) -> int:
    missing = "the database was not reached"
    with anyio.move_on_after(seconds):
        async with console.following():
            while True:
                run = await assemble.prepare(settings, console.emit, read_only=True)
                sight = await run.look_only()
                if sight.plan.errors:
                    raise Diverged("\n".join(finding.message for finding in sight.plan.errors))
                if not sight.work:
                    return ExitCode.DONE
                missing = _missing(sight)
                await anyio.sleep(_POLL_SECONDS)
    raise NotReady(
        f"not ready after {seconds:g} s: {missing}", hint="is `pgready up` or `pgready serve` running?"
    )


def _missing(sight: Sight) -> str:
    versions = [work.version for work in sight.work]
    shown = ", ".join(versions[:3]) + (", …" if len(versions) > 3 else "")
    return f"{len(versions)} pending ({shown})"
