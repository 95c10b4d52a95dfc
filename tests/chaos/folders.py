"""The folders that replicas run: one set of scripts, as pgready and as its peers lay it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from harness import files, scenario

_MIGRATIONS = "migrations/"


def _native(name: str, text: str) -> dict[str, str]:
    return {f"{_MIGRATIONS}{name}.sql": text}


def _golang_migrate(name: str, text: str) -> dict[str, str]:
    return {f"{_MIGRATIONS}{name}.up.sql": text}


_LAYOUTS: dict[str, Callable[[str, str], dict[str, str]]] = {
    "native": _native,
    "drizzle": _native,
    "golang-migrate": _golang_migrate,
}


def contents(folder: str) -> Mapping[str, str]:
    """Path → text of *folder*, one of `schedule.FOLDERS`."""
    beside = {path: text for path, text in scenario.SCRIPTS.items() if not path.startswith(_MIGRATIONS)}
    scripts = {
        Path(path).stem: text for path, text in scenario.SCRIPTS.items() if path.startswith(_MIGRATIONS)
    }
    written = dict(beside)
    for name, text in scripts.items():
        written |= _LAYOUTS[folder](name, text)
    if folder == "drizzle":
        written[f"{_MIGRATIONS}meta/_journal.json"] = _journal(list(scripts))
    return written


def _journal(tags: list[str]) -> str:
    entries = [
        {"idx": index, "version": "7", "when": 1_700_000_000_000 + index, "tag": tag, "breakpoints": True}
        for index, tag in enumerate(tags)
    ]
    return json.dumps({"version": "7", "dialect": "postgresql", "entries": entries})


def write(home: Path, folder: str) -> Path:
    """Write *folder* below *home*, and return it."""
    return files.write(home / folder, contents(folder))
