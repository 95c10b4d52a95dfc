"""`pgready status`: what is applied, pending, wrong. Creates and changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from pgready.commands.console import Console
from pgready.commands.hints import completed_status
from pgready.commands.options import load_settings, output_option, settings_options
from pgready.commands.process import finish, show
from pgready.core.errors import ExitCode
from pgready.core.renderings import text_table, to_json, verdict
from pgready.core.status import looked
from pgready.running import assemble


@click.command("status")
@settings_options
@output_option
@click.option("--exit-code", is_flag=True, help="exit 7 when anything is pending, 6 when the plan is refused")
def command(output: str, exit_code: bool, **flags: object) -> int:
    """Show where each migration stands; works with a read-only role."""
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC), quiet=True)

    async def work() -> int:
        async with assemble.located(settings, console.emit) as located:
            run = await assemble.prepare(located, console.emit, read_only=True)
            sight = await run.look_only(unmade=True)
        status = looked(completed_status(console.status, settings), datetime.now(UTC), sight.needs)
        show(to_json(status).decode() if output == "json" else text_table(status, verdict(status)))
        if status.ready or not exit_code:
            return ExitCode.DONE
        return ExitCode.DIVERGED if status.errors else ExitCode.PENDING

    return finish(work, console.fail)
