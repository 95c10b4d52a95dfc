"""The command line: which commands there are. Each is loaded only when it is called for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from pgready import __version__
from pgready.core.errors import ExitCode

_COMMANDS = {
    "up": "bootstrap, migrate, exit",
    "serve": "the same, then serve /ready and /migrations",
    "status": "what is applied, pending, wrong; changes nothing",
    "plan": "what `up` would do; changes nothing",
    "wait": "block until the target has every migration of this folder",
    "schema": "the database as it is: tables, columns, keys, indexes, sizes",
    "healthcheck": "exit 0 or 1 from the local daemon's /ready",
    "new": "write the next empty migration file",
    "down": "take migrations back, by their reverting scripts",
    "repair": "accept a changed file, or say what became of a statement",
    "baseline": "take migrations for applied in a schema that has no history",
    "adopt": "take over another tool's folder and history as pgready's own",
    "eject": "hand pgready's own history over to another tool",
    "config": "the settings in effect and where each came from",
}

_EPILOG = """\b
Exit codes:
  0  done, or nothing to do
  1  a migration's SQL failed, or an unexpected error
  2  usage, settings, an unsafe pooler
  3  database not reachable in time (retry)
  4  authentication or privilege
  5  lock not obtained in time (retry)
  6  divergence: changed, missing, refused out of order
  7  pending or not ready
  130, 143  interrupted (retry)
"""


class _Lazy(click.Group):
    """Loads a command's module when it is called; the help needs none of them."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"pgready.commands.{name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments[0] not in _COMMANDS and not arguments[0].startswith("-"):
            from pgready.core.suggestions import suggest

            context.fail(f"no such command {arguments[0]!r}{suggest(arguments[0], _COMMANDS)}")
        return super().resolve_command(context, arguments)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def pgready() -> None:
    """Makes a PostgreSQL schema ready, and tells everyone when it is."""


def _show(error: click.ClickException, arguments: Sequence[str]) -> None:
    """Tell *error* without those of *arguments* that may be an address: no password of one is repeated."""
    import io
    import re

    told = io.StringIO()
    error.show(told)
    message = told.getvalue()
    for argument in sorted(arguments, key=len, reverse=True):
        for text in (argument, *argument.split("=", 1)):
            if not re.fullmatch(r"[\w.-]*", text):
                for written in (text, repr(text)[1:-1]):
                    message = message.replace(written, "***")
    sys.stderr.write(message)


def run(arguments: Sequence[str]) -> int:
    """Run the command line to its exit code. No traceback passes."""
    try:
        code = pgready.main(args=list(arguments), prog_name="pgready", standalone_mode=False)
    except click.ClickException as error:
        _show(error, arguments)
        return ExitCode.USAGE
    except click.Abort:
        return ExitCode.INTERRUPTED
    except Exception as error:
        from pgready.commands import console, options, process

        known = process.as_known(error)
        console.tell(known, options.log_format({}))
        return known.exit_code
    return code if isinstance(code, int) else ExitCode.DONE
