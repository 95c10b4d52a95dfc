"""`pgready up`: bootstrap, migrate, exit."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from pgready.commands.console import Console
from pgready.commands.options import load_settings, output_option, settings_options
from pgready.commands.process import finish, show
from pgready.commands.reports import Reports
from pgready.core.errors import ExitCode, PgreadyError
from pgready.core.status import text_table, to_json
from pgready.running import assemble


@click.command("up")
@settings_options
@output_option
def command(output: str, **flags: object) -> int:
    """Make the target ready: create what is missing, apply what is pending, exit."""
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC))
    reports = Reports(console, settings)

    async def work() -> int:
        try:
            async with console.following(), assemble.located(settings, console.emit) as located:
                run = await assemble.prepare(located, console.emit)
                await run.to_end()
        except PgreadyError as error:
            console.fail(error)
            return error.exit_code
        finally:
            if output == "json":
                show(to_json(console.status).decode())
        if output == "table":
            show(text_table(console.status))
        return ExitCode.DONE

    return reports.ended(finish(work, console.fail))
