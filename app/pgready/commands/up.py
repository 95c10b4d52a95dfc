"""`pgready up`: bootstrap, migrate, exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgready.commands.options import load_settings, output_option, settings_options, teller
from pgready.commands.process import collect_garbage, finish
from pgready.core.errors import PgreadyError
from pgready.running import ahead

if TYPE_CHECKING:
    from pgready.commands.oneshot import OneShot


@click.command("up")
@settings_options
@output_option
def command(output: str, **flags: object) -> int:
    """Make the target ready: create what is missing, apply what is pending, exit."""
    settings = load_settings(flags)
    loaded: list[OneShot] = []

    async def work() -> int:
        async with ahead.connecting(settings) as first:
            oneshot = await ahead.loaded("pgready.commands.oneshot")
            collect_garbage()
            loaded.append(oneshot.OneShot(settings, output))
            return await loaded[0].make_ready(first)

    def tell(error: PgreadyError) -> None:
        (loaded[0].fail if loaded else teller(settings.log_format))(error)

    code = finish(work, tell, loads_more=True)
    return loaded[0].ended(code) if loaded else code
