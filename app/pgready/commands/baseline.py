"""`pgready baseline`: take migrations for applied in a schema that was made without a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgready.commands.by_hand import by_hand_options, recorded
from pgready.running import assemble
from pgready.running.assemble import ByHand, Emit
from pgready.settings import Settings

if TYPE_CHECKING:
    from pgready.running.recording import Recording


@click.command("baseline")
@click.argument("version", required=False)
@by_hand_options
def command(version: str | None, **flags: object) -> int:
    """Record every version up to VERSION (all, without it) as applied, and run none of them.

    For a schema that was made without a history. Where there is one, it is refused.
    """

    async def record(settings: Settings, emit: Emit, by_hand: ByHand) -> Recording:
        return await assemble.baseline(settings, emit, version, by_hand)

    return recorded(flags, record)
