"""Each folder `<dialect>/<case>/input` is read as its `expected.json` says, or refused with its problems.

What is expected was read line by line before it was committed: a recorded answer proves nothing by itself.
`python tests/dialects/test_golden_folders.py NAME` records those of a dialect.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgready.core.errors import FolderError
from pgready.core.model import Folder, Migration
from pgready.core.takeover import native_files
from pgready.dialects import detect
from pgready.dialects.base import Dialect
from pgready.files import read_folder

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/*/input"))


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.parent.name}/{case.name}") for case in CASES])
def test_a_golden_folder_is_read_as_expected(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))

    assert read(case / "input") == expected


def test_every_dialect_has_golden_folders() -> None:
    assert {case.parent.name for case in CASES} == set(detect.DIALECTS)


@pytest.mark.parametrize("name", detect.DIALECTS)
def test_what_adopt_writes_is_not_taken_for_the_tools_again(name: str) -> None:
    adopted = [
        native
        for case in CASES
        if case.parent.name == name and "migrations" in read(case / "input")
        for native in _adopted(case / "input")
    ]

    assert adopted
    assert {dialect.name for dialect, _ in adopted} == {"native"}
    assert all(len(folder.migrations) == 1 for _, folder in adopted)


def _adopted(folder: Path) -> Iterator[tuple[Dialect, Folder]]:
    """Each migration of *folder* that `adopt` would write, read back alone."""
    _, theirs = detect.read(read_folder(str(folder)), dialect=_named(folder), namespace="default")
    for each in theirs.migrations:
        if not any(script and script.unrunnable for script in (each.script, each.revert)):
            files = [file.source for file in native_files(Folder(theirs.dialect, (each,)))]
            yield detect.read(files, dialect=None, namespace="default")


def read(folder: Path) -> dict[str, Any]:
    try:
        _, found = detect.read(read_folder(str(folder)), dialect=_named(folder), namespace="default")
    except FolderError as refused:
        return {"problems": list(refused.problems)}
    return shown(found)


def _named(folder: Path) -> str | None:
    """Nothing in a folder of theirs proves whose it is."""
    dialect = folder.parent.parent.name
    return dialect if dialect in ("sqlx", "refinery") else None


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


def record(dialect: str) -> None:
    """Write down how the folders of *dialect* are read now."""
    for case in CASES:
        if case.parent.name == dialect:
            text = json.dumps(read(case / "input"), indent=2, ensure_ascii=False)
            (case / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(sys.argv[1])
