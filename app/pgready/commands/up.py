"""`pgready up`: bootstrap, migrate, exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
import click

from pgready.commands.options import load_settings, output_option, settings_options, teller
from pgready.commands.process import finish
from pgready.core.errors import PgreadyError
from pgready.running import ahead
from pgready.settings import Settings

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
            loaded.append(await anyio.to_thread.run_sync(_oneshot, settings, output))
            return await loaded[0].make_ready(first)

    def tell(error: PgreadyError) -> None:
        (loaded[0].fail if loaded else teller(settings.log_format))(error)

    code = finish(work, tell, loads_more=True)
    return loaded[0].ended(code) if loaded else code


def _oneshot(settings: Settings, output: str) -> OneShot:
    """What most of the program is imported for: in a thread, so that connecting goes on."""
    from pgready.commands.oneshot import OneShot

    return OneShot(settings, output)
