"""`pgready repair`: accept a changed file, or say what became of a statement."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from pgready.commands.console import Console
from pgready.commands.options import load_settings, settings_options
from pgready.commands.process import finish, show
from pgready.core.errors import ExitCode
from pgready.running import assemble
from pgready.running.repair import Answer


@click.command("repair")
@click.argument("version")
@settings_options
@click.option("--done", "answer", flag_value="done", help="the started statement happened")
@click.option("--not-done", "answer", flag_value="not-done", help="it did not: run it again")
@click.option("--dry-run", is_flag=True, help="say what would be recorded, and record nothing")
def command(version: str, answer: str | None, dry_run: bool, **flags: object) -> int:
    """Accept VERSION's file as it is now, or that it is gone.

    With --done or --not-done, say what became of its statement that a run which died had started.
    """
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC))
    given = Answer(answer) if answer else None

    async def work() -> int:
        async with console.following(), assemble.located(settings, console.emit) as located:
            repair = await assemble.repair(located, console.emit, version, given, dry_run=dry_run)
        show(f"would record: {repair.what}" if dry_run else f"{repair.what}\nnext: pgready up")
        return ExitCode.DONE

    return finish(work, console.fail)
