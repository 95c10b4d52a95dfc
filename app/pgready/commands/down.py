"""`pgready down`: take migrations back."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from pgready.commands.console import Console
from pgready.commands.options import load_settings, settings_options
from pgready.commands.process import finish, show
from pgready.core.errors import ExitCode, SettingsError
from pgready.running import assemble
from pgready.settings import Settings


@click.command("down")
@click.argument("count", type=click.IntRange(min=1), required=False)
@settings_options
@click.option("--to", metavar="VERSION", help="take back everything behind VERSION; 0 is everything")
@click.option("--yes", is_flag=True, help="do not ask; where nobody can be asked it must be said")
@click.option("--dry-run", is_flag=True, help="say what would be run, and run nothing")
@click.option("--reason", metavar="TEXT", help="why: kept in pgready.audit with who and when")
def command(
    count: int | None, to: str | None, yes: bool, dry_run: bool, reason: str | None, **flags: object
) -> int:
    """Take back the last COUNT migrations (1, if not said), newest first, by their reverting scripts.

    What it would run is shown first, and has to be agreed to.
    """
    if count is not None and to is not None:
        raise click.UsageError("say how many, or --to a version, not both")
    settings = load_settings(flags)
    down = _Down(settings, count or 1, to, reason)
    code = down.run(agreed=None)
    if code or not down.planned:
        return code
    if dry_run:
        show("\n".join(f"would run: {line}" for line in down.planned))
        return ExitCode.DONE
    if not yes and not _agrees(down, settings):
        return ExitCode.INTERRUPTED if sys.stdin.isatty() else ExitCode.USAGE
    return down.run(agreed=down.planned)


class _Down:
    """Plans, and once that is agreed to, runs."""

    def __init__(self, settings: Settings, count: int, to: str | None, reason: str | None) -> None:
        self._settings = settings
        self._what = count, to
        self._reason = reason
        self.console = Console(settings, started_at=datetime.now(UTC))
        self.planned: tuple[str, ...] = ()

    def run(self, agreed: tuple[str, ...] | None) -> int:
        async def work() -> int:
            emit = self.console.emit
            async with self.console.following(), assemble.located(self._settings, emit) as located:
                self.planned = await assemble.down(located, emit, *self._what, agreed, self._reason)
            if agreed is not None or not self.planned:
                show(
                    f"{len(self.planned)} reverted"
                    if self.planned
                    else "nothing is applied: nothing to revert"
                )
            return ExitCode.DONE

        return finish(work, self.console.fail)


def _agrees(down: _Down, settings: Settings) -> bool:
    target = settings.target.masked if settings.target else "the embedded server"
    show("\n".join(["this will be run, in this order:", *(f"  {line}" for line in down.planned)]))
    if sys.stdin.isatty():
        return click.confirm(f"on {target}?", default=False)
    down.console.fail(
        SettingsError(("nobody is here to agree to that",), hint="add --yes, or --dry-run to look alone")
    )
    return False
