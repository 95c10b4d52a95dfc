"""`pgready new`: write the next empty migration. Asks no database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from pgready.commands.options import load_settings, output_option, settings_options, teller
from pgready.commands.process import show
from pgready.core.errors import ExitCode, PgreadyError
from pgready.running import drafting
from pgready.running.drafting import Drafted, Wish


@click.command("new")
@click.argument("words", nargs=-1, required=True, metavar="NAME...")
@click.option("--down", is_flag=True, help="the file that reverts it, too")
@click.option("--repeatable", is_flag=True, help="a script that runs whenever it changes: a view, a function")
@settings_options
@output_option
def command(words: tuple[str, ...], down: bool, repeatable: bool, output: str, **flags: object) -> int:
    """Write the next empty migration into the folder (--dir), as its tool lays it out; print the path."""
    if down and repeatable:
        raise click.UsageError("nothing reverts a repeatable script: --down or --repeatable")
    settings = load_settings(flags)
    try:
        drafted = drafting.draft(settings, Wish(words, down, repeatable), datetime.now(UTC))
        show(_json(drafted, settings.dir) if output == "json" else "\n".join(_paths(drafted, settings.dir)))
    except PgreadyError as error:
        teller(settings.log_format)(error)
        return error.exit_code
    return ExitCode.DONE


def _json(drafted: Drafted, directory: str) -> str:
    document = {
        "schema": 1,
        "dialect": drafted.dialect,
        "version": drafted.version,
        "name": drafted.name,
        "files": _paths(drafted, directory),
    }
    return msgspec.json.encode(document).decode()


def _paths(drafted: Drafted, directory: str) -> list[str]:
    return [str(Path(directory) / path) for path in drafted.paths]
