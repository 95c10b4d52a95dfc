"""The commands in a hint, with what was said of the folder and its history when this one was given."""

from __future__ import annotations

import re

from msgspec.structs import replace

from pgready.core.errors import typed
from pgready.core.status import Status
from pgready.settings import Settings

_WORD = r"(?:'[^']*'|[^\s;,]++)"
_COMMAND = re.compile(
    rf"\bpgready (?:repair {_WORD}|down --to {_WORD}|down --all|(?:up|down|plan|status)\b(?!,))"
)


def completed(hint: str, settings: Settings) -> str:
    """*hint*, whose commands mean the same folder, history and namespace as the one that failed.

    What came from elsewhere than the command line is there for the next command, too.
    """
    given = {
        "--dir": settings.dir,
        "--dialect": settings.dialect,
        "--namespace": settings.namespace,
        "--history-table": settings.history_table,
    }
    said = set(settings.origins.values())
    words = [word for flag, value in given.items() if value and flag in said for word in (flag, value)]
    return _COMMAND.sub(lambda match: " ".join((match[0], *map(typed, words))), hint)


def completed_status(status: Status, settings: Settings) -> Status:
    """*status*, the commands of whose errors and warnings are completed likewise."""
    errors, warnings = (
        tuple(completed(line, settings) for line in lines) for lines in (status.errors, status.warnings)
    )
    return replace(status, errors=errors, warnings=warnings)
