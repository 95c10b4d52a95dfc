"""Turn the status that `pgready up --output json` wrote into what GitHub shows.

    python summary.py [--dir sql] STATUS.json >>"$GITHUB_STEP_SUMMARY"
    python summary.py --nothing-applied STATUS.json

The summary is Markdown on standard output; with --dir the failure goes to standard error as an annotation of
the line in its file. --nothing-applied prints nothing, and ends with 1 where the run applied something.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

Status = dict[str, Any]

_HEADINGS = ("Version", "Name", "State", "Took")


def main() -> int:
    parser = argparse.ArgumentParser(description="Show a status of pgready's on GitHub.")
    parser.add_argument("--nothing-applied", action="store_true", help="fail if the run applied something")
    parser.add_argument("--dir", type=Path, help="the migration folder, as the repository has it")
    parser.add_argument("status", type=Path, help="what `pgready up --output json` wrote")
    arguments = parser.parse_args()
    text = arguments.status.read_text() if arguments.status.exists() else ""
    if not text.strip():
        sys.stdout.write("## Migrations\n\npgready ended before it had a status; its log says why.\n")
        return 0
    status: Status = json.loads(text)
    if arguments.nothing_applied:
        return _nothing_applied(status)
    sys.stdout.write(markdown(status))
    if status["failure"] and arguments.dir:
        sys.stderr.write(annotation(status["failure"], arguments.dir))
    return 0


def _nothing_applied(status: Status) -> int:
    applied = status["applied_this_run"]
    if applied:
        sys.stderr.write(
            f"::error::the second run applied {applied}: the migrations are not recorded for good\n"
        )
    return 1 if applied else 0


def markdown(status: Status) -> str:
    """A headline, the failure if there is one, and a table of the migrations."""
    counts = status["counts"]
    lines = [
        f"## Migrations: {status['phase']}",
        "",
        f"{counts['applied']} of {counts['total']} applied, PostgreSQL {status['server_version']}",
        "",
    ]
    if status["failure"]:
        lines += ["```text", *_told(status["failure"]), "```", ""]
    lines += [_row(_HEADINGS), _row("---" for _ in _HEADINGS)]
    lines += [_row(_cells(migration)) for migration in status["migrations"]]
    return "\n".join([*lines, ""])


def _told(failure: Status) -> list[str]:
    place = failure["place"]
    where = f"{place['file']}:{place['line']}: " if place else ""
    extra = [f"{key}: {failure[key]}" for key in ("sqlstate", "detail", "done", "hint") if failure[key]]
    return [f"error: {where}{failure['message']}", *extra]


def _cells(migration: Status) -> tuple[str, ...]:
    took = migration["duration_ms"]
    flags = "".join(f", {flag}" for flag in migration["flags"])
    return (
        migration["version"],
        migration["name"],
        migration["state"] + flags,
        "" if took is None else f"{took} ms",
    )


def _row(cells: Any) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def annotation(failure: Status, folder: Path) -> str:
    """The workflow command that marks the failing line of its file in the pull request."""
    place = failure["place"]
    found = next(folder.rglob(Path(place["file"]).name), None) if place else None
    where = f" file={found},line={place['line']}" if place and found else ""
    message = failure["message"].replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::error{where}::{message}\n"


if __name__ == "__main__":
    raise SystemExit(main())
