"""The settings as command line options, made from the catalogue, and loaded from all sources."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pgready.settings import CATALOGUE, Settings, load

_Command = TypeVar("_Command", bound=Callable[..., object])


def settings_options(command: _Command) -> _Command:
    """Give *command* an option for every setting; it receives them as `**flags` for `load_settings`."""
    for setting in reversed(CATALOGUE):
        more: dict[str, Any] = {"is_flag": False, "flag_value": ""} if setting.name == "embedded" else {}
        metavar = "[=DIR]" if setting.name == "embedded" else setting.name.upper()
        option = click.option(
            setting.flag, setting.name, default=None, help=setting.meaning, metavar=metavar, **more
        )
        command = option(command)
    return command


def output_option(command: _Command) -> _Command:
    """`--output table|json`; JSON carries `"schema": 1`."""
    choice = click.Choice(["table", "json"])
    return click.option(
        "--output", type=choice, default="table", show_default=True, help="for people or programs"
    )(command)


def load_settings(flags: dict[str, object]) -> Settings:
    """The settings in effect for this process. Raises SettingsError."""
    return load(flags, os.environ, _read_text, isatty=sys.stderr.isatty())


def _read_text(path: str) -> str | None:
    """The text of a settings, secret or password file; None where there is none."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
