"""What `repair`, `baseline`, `adopt` and `eject` share: they change by hand what a history says."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgready.commands.console import Console
from pgready.commands.options import load_settings, settings_options
from pgready.commands.process import finish, show
from pgready.core.errors import ExitCode
from pgready.running import assemble
from pgready.running.assemble import ByHand, Emit
from pgready.settings import Settings
from pgready.settings.values import text

if TYPE_CHECKING:
    from pgready.running.recording import Recording

Record = Callable[[Settings, Emit, ByHand], Awaitable["Recording"]]


def _stored_as_it_is(_context: click.Context, _parameter: click.Parameter, reason: str | None) -> str | None:
    try:
        return reason if reason is None else text(reason)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


reason_option = click.option(
    "--reason", metavar="TEXT", callback=_stored_as_it_is, help="why: kept in pgready.audit with who and when"
)


def by_hand_options(command: Callable[..., int]) -> Callable[..., int]:
    """The settings, `--reason` and `--dry-run`; the command receives them as `**flags` for `recorded`."""
    dry_run = click.option("--dry-run", is_flag=True, help="say what would be recorded, and record nothing")
    return settings_options(reason_option(dry_run(command)))


def recorded(flags: dict[str, object], record: Record, directory: Path | None = None) -> int:
    """Let *record* do its work, and tell it with the command to give next: in *directory*, where that is
    another folder than the one that was given."""
    dry_run = bool(flags.pop("dry_run"))
    reason = flags.pop("reason")
    by_hand = ByHand(reason=None if reason is None else str(reason), dry_run=dry_run)
    settings = load_settings(flags)
    console = Console(settings, started_at=datetime.now(UTC))

    async def work() -> int:
        async with console.following(), assemble.located(settings, console.emit) as located:
            recording = await record(located, console.emit, by_hand)
        lines = [f"would record: {what}" if dry_run else what for what in recording.what]
        if not dry_run:
            lines.append(f"next: {next_command(flags, recording.dialect, directory)}")
        show("\n".join(lines))
        return ExitCode.DONE

    return finish(work, console.fail)


def next_command(flags: Mapping[str, object], dialect: str | None, directory: Path | None) -> str:
    """`pgready up` with what *flags* said of the folder and its history, but for *dialect* and *directory*.

    What the environment says, it goes on saying.
    """
    given = {
        "--dir": directory or flags.get("dir"),
        "--dialect": dialect or flags.get("dialect"),
        "--namespace": flags.get("namespace"),
        "--history-table": flags.get("history_table") if directory is None else None,  # a peer's
    }
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return shlex.join(["pgready", "up", *options])
