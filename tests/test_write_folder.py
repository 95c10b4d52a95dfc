"""Writing a folder: whole or not at all, and nothing of anybody's replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pgready.core.errors import FolderError
from pgready.core.model import SourceFile
from pgready.files import write_folder

FILES = (SourceFile("migrations/1_a.sql", b"SELECT 1;"), SourceFile("checks/deep/b.sql", b"SELECT 2;"))


def refusal(directory: Path) -> FolderError:
    with pytest.raises(FolderError) as caught:
        write_folder(directory, FILES)
    return caught.value


def test_a_folder_is_written_with_those_above_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_folder(tmp_path / "a" / "sql", FILES)

    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"a/sql/migrations/1_a.sql", "a/sql/checks/deep/b.sql"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["sql"]


def test_a_written_folder_is_as_open_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()

    write_folder(tmp_path / "sql", FILES)

    usual, written = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "sql"))
    assert written == usual


def test_the_same_folder_may_be_written_again(tmp_path: Path) -> None:
    write_folder(tmp_path / "sql", FILES)
    before = (tmp_path / "sql").stat().st_ino

    write_folder(tmp_path / "sql", FILES)

    assert (tmp_path / "sql").stat().st_ino == before


def test_an_empty_folder_that_we_are_in_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    error = refusal(Path())

    assert "the folder that we are in" in error.what
    assert error.hint is not None and error.hint.endswith("such as sql")


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_not_replaced(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    error = refusal(tmp_path / "link")

    assert "is a link" in error.what
    assert error.hint is not None and error.hint.endswith(str(tmp_path / "real"))


def test_a_link_to_itself_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")

    assert refusal(tmp_path / "link").what.startswith(f"{tmp_path / 'link'}: ")


def test_a_mount_point_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda _: True)

    error = refusal(tmp_path / "sql")

    assert "is a mount point" in error.what
    assert error.hint is not None and "such as" in error.hint


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    clash = (SourceFile("a.sql", b""), SourceFile("a.sql/b.sql", b""))

    with pytest.raises(FolderError, match="cannot be written"):
        write_folder(tmp_path / "sql", clash)

    assert list(tmp_path.iterdir()) == []
