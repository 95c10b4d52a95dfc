"""The settings as command line options, made from the catalogue, and loaded from all sources."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from pgready import logs
from pgready.core.errors import PgreadyError, SettingsError
from pgready.settings import CATALOGUE, Settings, load, read_text_file
from pgready.settings.catalogue import Setting

Flags = Mapping[str, object]
"""What was given on the command line, by setting name; None where it was not."""

_Command = TypeVar("_Command", bound=Callable[..., object])


def settings_options(command: _Command) -> _Command:
    """Give *command* an option for every setting; it receives them as `**flags` for `load_settings`."""
    for setting in reversed(CATALOGUE):
        more: dict[str, Any] = {} if setting.bare is None else {"is_flag": False, "flag_value": setting.bare}
        option = click.option(
            setting.flag, setting.name, default=None, help=_help(setting), metavar=setting.form, **more
        )
        command = option(command)
    return command


def _help(setting: Setting) -> str:
    """click's own default is for an option that has one: these are None, so that other sources count."""
    default = "" if setting.default is None else f"  [default: {setting.default}]"
    return setting.meaning + default


def output_option(command: _Command) -> _Command:
    """`--output table|json`; JSON carries `"schema": 1`."""
    choice = click.Choice(["table", "json"])
    return click.option(
        "--output", type=choice, default="table", show_default=True, help="for people or programs"
    )(command)


def load_settings(flags: Flags) -> Settings:
    """The settings in effect for this process. Where there is a problem it is told, and the process ends."""
    try:
        return reload_settings(flags)
    except SettingsError as error:
        teller(log_format(flags))(error)
        raise click.exceptions.Exit(error.exit_code) from None


def reload_settings(flags: Flags) -> Settings:
    """The settings as they are now: files may have changed since. Raises SettingsError."""
    return load(flags, os.environ, read_text_file, isatty=sys.stderr.isatty())


def teller(log_format: str) -> Callable[[PgreadyError], None]:
    """How to tell an error where there is no Console, or none yet."""

    def tell(error: PgreadyError) -> None:
        from pgready.commands import console  # all of structlog

        console.tell(error, log_format)

    return tell


def log_format(flags: Flags) -> str:
    """How to tell what went wrong where the settings are not known (yet)."""
    chosen = str(flags.get("log_format") or os.environ.get("PGREADY_LOG_FORMAT")).strip().lower()
    return chosen if chosen in logs.FORMATS else ("console" if sys.stderr.isatty() else "json")
