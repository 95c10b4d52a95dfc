"""`pgready down`: take migrations back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click

from pgready.commands.by_hand import reason_option
from pgready.commands.console import Console
from pgready.commands.options import load_settings, settings_options
from pgready.commands.process import finish, show
from pgready.core.errors import ExitCode, SettingsError
from pgready.core.planning import Plan
from pgready.core.reverting import Goal, last, told, told_again
from pgready.running import assemble
from pgready.running.reverter import Agreement
from pgready.settings import Settings


@click.command("down")
@click.argument("count", type=click.IntRange(min=1), required=False)
@settings_options
@click.option("--to", metavar="VERSION", help="take back everything behind VERSION, which stays")
@click.option("--all", "everything", is_flag=True, help="take back everything")
@click.option("--yes", is_flag=True, help="do not ask; where nobody can be asked it must be said")
@click.option("--dry-run", is_flag=True, help="say what would be run, and run nothing")
@reason_option
def command(
    count: int | None,
    to: str | None,
    everything: bool,
    yes: bool,
    dry_run: bool,
    reason: str | None,
    **flags: object,
) -> int:
    """Take back the last COUNT migrations (1, if not said), newest first, by their reverting scripts.

    What it would run is shown first, and has to be agreed to.
    """
    if sum((count is not None, to is not None, everything)) > 1:
        raise click.UsageError("say one of COUNT, --to VERSION and --all")
    settings = load_settings(flags)
    down = _Down(settings, reason)
    code = down.plan(lambda plan: Goal(to) if to is not None or everything else last(plan, count or 1))
    if code or down.agreement is None:
        return code
    lines = told(down.agreement.reversals)
    again = [line for line in (told_again(down.agreement.again),) if line]
    if dry_run or not lines:
        show("\n".join([*(f"would run: {line}" for line in lines), *again]) or "nothing to revert")
        return ExitCode.DONE
    if not yes and not _agrees(down, lines, again, settings):
        return ExitCode.INTERRUPTED if sys.stdin.isatty() else ExitCode.USAGE
    return down.revert(down.agreement)


class _Down:
    """Plans, and once that is agreed to, reverts."""

    def __init__(self, settings: Settings, reason: str | None) -> None:
        self._settings = settings
        self._reason = reason
        self.console = Console(settings, started_at=datetime.now(UTC))
        self.agreement: Agreement | None = None

    def plan(self, goal_of: Callable[[Plan], Goal]) -> int:
        async def work() -> int:
            emit = self.console.emit
            async with self.console.following(), assemble.located(self._settings, emit) as located:
                self.agreement = await assemble.plan_down(located, emit, goal_of)
            return ExitCode.DONE

        return finish(work, self.console.fail)

    def revert(self, agreement: Agreement) -> int:
        async def work() -> int:
            emit = self.console.emit
            async with self.console.following(), assemble.located(self._settings, emit) as located:
                await assemble.down(located, emit, agreement, self._reason)
            show(f"{len(agreement.reversals)} reverted")
            return ExitCode.DONE

        return finish(work, self.console.fail)


def _agrees(down: _Down, lines: Sequence[str], again: Sequence[str], settings: Settings) -> bool:
    target = settings.target.masked if settings.target else "the embedded server"
    show("\n".join(["this will be run, in this order:", *(f"  {line}" for line in lines), *again]))
    if sys.stdin.isatty():
        return click.confirm(f"on {target}?", default=False)
    down.console.fail(
        SettingsError(("nobody is here to agree to that",), hint="add --yes, or --dry-run to look alone")
    )
    return False
