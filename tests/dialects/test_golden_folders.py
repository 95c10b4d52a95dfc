"""Each folder `<dialect>/<case>/input` is read as its `expected.json` says, or refused with its problems.

What is expected was read line by line before it was committed: a recorded answer proves nothing by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pgready.core.errors import FolderError
from pgready.core.model import Folder, Migration
from pgready.dialects import detect
from pgready.files import read_folder

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/*/input"))


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.parent.name}/{case.name}") for case in CASES])
def test_a_golden_folder_is_read_as_expected(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))

    assert read(case / "input") == expected


def test_every_dialect_has_golden_folders() -> None:
    assert {case.parent.name for case in CASES} == set(detect.DIALECTS)


def read(folder: Path) -> dict[str, Any]:
    try:
        _, found = detect.read(read_folder(str(folder)), dialect=_named(folder), namespace="default")
    except FolderError as refused:
        return {"problems": list(refused.problems)}
    return shown(found)


def _named(folder: Path) -> str | None:
    """Nothing in a folder of sqlx's proves whose it is."""
    dialect = folder.parent.parent.name
    return dialect if dialect in ("sqlx",) else None


def shown(folder: Folder) -> dict[str, Any]:
    """What is there; what is empty is left out."""
    whole = {
        "dialect": folder.dialect,
        "migrations": [entry(migration) for migration in folder.migrations],
        "bootstrap": [entry(migration) for migration in folder.bootstrap],
        "repeatables": [entry(migration) for migration in folder.repeatables],
        "checks": [script.path for script in folder.checks],
        "ignored": list(folder.ignored),
        "skipped": list(folder.skipped),
    }
    return {name: value for name, value in whole.items() if value}


def entry(migration: Migration) -> dict[str, Any]:
    whole = {
        "version": migration.version,
        "name": migration.name,
        "path": migration.script.path,
        "separator": migration.script.separator,
        "revert": migration.revert and migration.revert.path,
        "first_line": migration.script.first_line if migration.script.first_line > 1 else None,
        "unrunnable": migration.script.unrunnable and migration.script.unrunnable.what,
        "hint": migration.script.unrunnable and migration.script.unrunnable.hint,
        "no_transaction": None if migration.script.transactional else True,
        "stamp": migration.stamp,
        "checksum": migration.checksum[:8],
    }
    return {name: value for name, value in whole.items() if value is not None}
