"""`pgready repair`: accept a changed file, or say what became of a statement."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from pgready.commands.console import Console
from pgready.commands.options import load_settings, settings_options
from pgready.commands.process import finish
from pgready.core.errors import ExitCode
from pgready.running import assemble


@click.command("repair")
@click.argument("version")
@settings_options
@click.option("--done", "answer", flag_value="done", help="the started statement happened")
@click.option("--not-done", "answer", flag_value="not-done", help="it did not: run it again")
@click.option("--dry-run", is_flag=True, help="say what would be recorded, and record nothing")
def command(version: str, answer: str | None, dry_run: bool, **flags: object) -> int:
    """Accept VERSION's file as it is now; or, with --done or --not-done, resolve its started statement."""
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC), quiet=True)

    async def work() -> int:
        async with assemble.located(settings, console.emit) as located:
            source = await assemble.read_source(located)
            run = assemble.run_of(located, source, console.emit)
            repairer = assemble.repairer_of(source)
            async with run.looking() as (session, sight):
                if answer is None:
                    repair = await repairer.accept(sight, version)
                else:
                    repair = await repairer.resolve(sight, version, done=answer == "done")
                if not dry_run:
                    await assemble.record_repair(located, session, sight, repair)
        click.echo(f"{'would record: ' if dry_run else ''}{repair.what}")
        if not dry_run:
            click.echo(f"next: {repair.next}")
        return ExitCode.DONE

    return finish(work)
