"""What holds for `pgready new` though nobody keeps others out of the folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pgready.core.errors import FolderError
from pgready.core.model import SourceFile
from pgready.dialects import drafts
from pgready.running import drafting
from pgready.running.drafting import Wish
from pgready.settings import load

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def draft(folder: Path, *, down: bool = False) -> drafting.Drafted:
    settings = load({"dir": str(folder)}, {}, lambda _: None)
    return drafting.draft(settings, Wish(("users",), down=down), NOW)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Call it with a file that somebody else writes while the version is chosen."""
    versioned = drafts.versioned

    def make(path: Path) -> None:
        def slowly(*arguments: Any, **options: Any) -> tuple[SourceFile, ...]:
            path.write_text("theirs")
            return versioned(*arguments, **options)

        monkeypatch.setattr(drafts, "versioned", slowly)

    return make


def test_the_same_version_by_somebody_else_at_the_same_moment_is_an_error(
    sql_folder: SqlFolder, meanwhile: Callable[[Path], None]
) -> None:
    folder = sql_folder({"1_a.sql": ""})
    meanwhile(folder / "2_other.sql")

    with pytest.raises(FolderError, match="has the version of"):
        draft(folder)

    assert sorted(path.name for path in folder.iterdir()) == ["1_a.sql", "2_other.sql"]


def test_the_same_file_by_somebody_else_at_the_same_moment_is_left_as_it_is(
    sql_folder: SqlFolder, meanwhile: Callable[[Path], None]
) -> None:
    folder = sql_folder({"1_a.sql": ""})
    meanwhile(folder / "2_users.down.sql")

    with pytest.raises(FolderError, match="is there already"):
        draft(folder, down=True)

    assert sorted(path.name for path in folder.iterdir()) == ["1_a.sql", "2_users.down.sql"]
    assert (folder / "2_users.down.sql").read_text() == "theirs"
