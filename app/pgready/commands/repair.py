"""`pgready repair`: accept a changed file, or say what became of a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgready.commands.by_hand import by_hand_options, recorded
from pgready.running import assemble
from pgready.running.assemble import ByHand, Emit
from pgready.running.repair import Answer
from pgready.settings import Settings

if TYPE_CHECKING:
    from pgready.running.recording import Recording


@click.command("repair")
@click.argument("version")
@by_hand_options
@click.option("--done", "answer", flag_value="done", help="the started statement, or the `down`, happened")
@click.option("--not-done", "answer", flag_value="not-done", help="it did not: it is run again")
@click.option("--gone", "answer", flag_value="gone", help="no release has the file, though it is the newest")
def command(version: str, answer: str | None, **flags: object) -> int:
    """Accept VERSION's file as it is now, or that it is gone.

    With --done or --not-done, say what became of its statement that a run which died had started, or of a
    migration that another tool's history calls failed, and --not-done that a file was recorded while it was
    empty; with --gone, that no newer release has its file.
    """
    given = Answer(answer) if answer else None

    async def record(settings: Settings, emit: Emit, by_hand: ByHand) -> Recording:
        return await assemble.repair(settings, emit, version, given, by_hand)

    return recorded(flags, record)
