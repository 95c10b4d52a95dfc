"""`pgready adopt`: take over another tool's folder and history as pgready's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgready.commands.by_hand import by_hand_options, recorded
from pgready.running import assemble
from pgready.running.assemble import ByHand, Emit
from pgready.settings import Settings

if TYPE_CHECKING:
    from pgready.running.recording import Recording


@click.command("adopt")
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="the native folder to write; it must not exist, or hold just that",
)
@by_hand_options
def command(to: Path, **flags: object) -> int:
    """Write the folder (--dir) of another tool as native files, and record what its history says.

    Each file is compared with what was applied first, and what would not run the same is refused. The other
    tool's files and its table stay as they are.
    """

    async def record(settings: Settings, emit: Emit, by_hand: ByHand) -> Recording:
        return await assemble.adopt(settings, emit, to, by_hand)

    return recorded(flags, record, directory=to)
