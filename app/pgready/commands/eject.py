"""`pgready eject`: hand pgready's own history over to another tool."""

from __future__ import annotations

import click

from pgready.commands.by_hand import by_hand_options, recorded
from pgready.running import assemble


@click.command("eject")
@by_hand_options
def command(**flags: object) -> int:
    """Record in another tool's table what pgready's history says, for that tool's own folder (--dir).

    Which row is which file is told by the statements; a row without a file is refused. Afterwards the other
    tool finds its table in order, and pgready goes on with it too.
    """
    return recorded(flags, assemble.eject)
