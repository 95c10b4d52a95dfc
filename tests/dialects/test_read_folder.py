"""What `files.read_folder` finds on a disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from pathlib import Path

import pytest

from pgready.core.errors import ExitCode, FolderError
from pgready.files import marks, read_folder

Write = Callable[[Mapping[str, str | bytes]], Path]


def paths(folder: Path) -> list[str]:
    return [file.path for file in read_folder(str(folder))]


def test_files_are_sorted_by_path_with_slashes(sql_folder: Write) -> None:
    folder = sql_folder({"b.sql": "", "a/z.sql": "", "a.sql": "", "A/1.sql": ""})

    assert paths(folder) == ["A/1.sql", "a.sql", "a/z.sql", "b.sql"]


def test_bytes_are_as_they_are_on_disk(sql_folder: Write) -> None:
    data = b"\xef\xbb\xbfselect 1;\r\n\x00\xff"
    (file,) = read_folder(str(sql_folder({"1_a.sql": data})))

    assert file.data == data


@pytest.mark.parametrize(
    "name", [".#a.sql", "a.sql~", ".a.sql.swp", "#a.sql#", ".git/a.sql", "node_modules/p/a.sql"]
)
def test_droppings_and_foreign_trees_are_left_out(sql_folder: Write, name: str) -> None:
    assert paths(sql_folder({"1_a.sql": "", name: "select 1"})) == ["1_a.sql"]


def test_what_no_dialect_reads_is_named_without_its_bytes(sql_folder: Write) -> None:
    files = read_folder(str(sql_folder({"meta/0000_snapshot.json": "{}", "meta/_journal.json": "{}"})))

    assert [(file.path, file.data) for file in files] == [
        ("meta/0000_snapshot.json", b""),
        ("meta/_journal.json", b"{}"),
    ]


def test_a_mounted_configmap_is_read_once_through_its_links(tmp_path: Path) -> None:
    version = tmp_path / "..2026_11_24"
    (version / "repeatable").mkdir(parents=True)
    (version / "1_a.sql").write_text("select 1")
    (version / "repeatable" / "v.sql").write_text("select 2")
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "1_a.sql").symlink_to("..data/1_a.sql")
    (tmp_path / "repeatable").symlink_to("..data/repeatable")

    assert paths(tmp_path) == ["1_a.sql", "repeatable/v.sql"]


def test_a_link_to_a_folder_above_ends(sql_folder: Write) -> None:
    folder = sql_folder({"a/1_a.sql": ""})
    (folder / "a" / "up").symlink_to("..")

    assert paths(folder) == ["a/1_a.sql"]


def test_a_folder_that_others_link_to_is_read_under_each_of_its_names(sql_folder: Write) -> None:
    folder = sql_folder({"common/1_a.sql": "", "one/2_b.sql": "", "two/3_c.sql": ""})
    (folder / "one" / "common").symlink_to("../common")
    (folder / "two" / "common").symlink_to("../common")
    expected = [
        "common/1_a.sql", "one/2_b.sql", "one/common/1_a.sql", "two/3_c.sql", "two/common/1_a.sql",
    ]  # fmt: skip

    assert paths(folder) == [mark.path for mark in marks(str(folder))] == expected


def test_folders_that_link_to_one_another_are_refused_and_not_walked_in_every_order(
    sql_folder: Write,
) -> None:
    names = "abcdefghij"  # 10! ways to walk
    folder = sql_folder({f"{name}/1.sql": "" for name in names})
    for name, other in permutations(names, 2):
        (folder / name / other).symlink_to(f"../{other}")

    assert len(marks(str(folder))) < 2000
    with pytest.raises(FolderError, match="links lead to folders in it more than 1000 times"):
        read_folder(str(folder))


def test_folders_may_be_nested_deeper_than_calls(nested: Path) -> None:
    expected = ["d/" * 1000 + "1.sql"]

    assert paths(nested) == [mark.path for mark in marks(str(nested))] == expected


@pytest.fixture
def nested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file in a folder in a thousand others; pytest itself could not remove them."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1000):
        Path("d").mkdir()
        os.chdir("d")
    Path("1.sql").write_text("")
    yield tmp_path
    Path("1.sql").unlink()
    for _ in range(1000):
        os.chdir("..")
        Path("d").rmdir()


@pytest.mark.parametrize(("name", "said"), [("nowhere", "no such folder"), ("file", "not a folder")])
def test_what_is_no_folder_is_a_usage_error(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=said) as refused:
        read_folder(str(tmp_path / name))

    assert refused.value.exit_code is ExitCode.USAGE


def test_all_that_cannot_be_read_is_named_at_once(sql_folder: Write) -> None:
    folder = sql_folder({"1_a.sql": ""})
    (folder / "2_b.sql").symlink_to("gone.sql")
    os.mkfifo(folder / "3_c.sql")
    with pytest.raises(FolderError) as refused:
        read_folder(str(folder))

    assert refused.value.problems == (
        "2_b.sql: cannot be read: No such file or directory",
        "3_c.sql: cannot be read: it is neither a file nor a folder",
    )


def test_a_file_larger_than_its_size_said_is_read_to_its_end() -> None:
    from pgready import files

    assert b"PPid" in files._read("/proc/self/status")


def test_marks_are_of_the_files_that_are_read(sql_folder: Write) -> None:
    folder = sql_folder(
        {"a/z.sql": "1", "b.sql": "", "b.sql~": "", ".c.sql": "", "README.md": "", "x.toml": ""}
    )

    assert [mark.path for mark in marks(str(folder))] == ["a/z.sql", "b.sql", "x.toml"]


@pytest.mark.parametrize("change", ["grown", "rewritten", "replaced", "added", "removed", "renamed"])
def test_marks_differ_when_a_file_changed(change: str, sql_folder: Write, tmp_path: Path) -> None:
    folder = sql_folder({"a.sql": "1", "b.sql": "2"})
    before = marks(str(folder))

    match change:
        case "grown":
            (folder / "a.sql").write_text("12")
        case "rewritten":
            os.utime(folder / "a.sql", ns=(1, 1))
        case "replaced":
            (tmp_path / "other").write_text("9")
            (tmp_path / "other").replace(folder / "a.sql")
        case "added":
            (folder / "c.sql").write_text("")
        case "removed":
            (folder / "a.sql").unlink()
        case "renamed":
            (folder / "a.sql").rename(folder / "c.sql")

    assert marks(str(folder)) != before


def test_a_name_that_is_not_utf_8_has_a_mark_that_can_be_shown(sql_folder: Write) -> None:
    folder = sql_folder({"a/1.sql": ""})
    Path(os.fsdecode(bytes(folder) + b"/a/2_caf\xe9.sql")).write_text("")

    assert [mark.path for mark in marks(str(folder))] == ["a/1.sql", "b'a/2_caf\\xe9.sql'"]


def test_links_that_lead_nowhere_have_marks_for_reading_refuses_them(sql_folder: Write) -> None:
    folder = sql_folder({"1_a.sql": ""})
    (folder / "2_b.sql").symlink_to("gone.sql")
    (folder / "3_c.sql").symlink_to("3_c.sql")

    assert [mark.path for mark in marks(str(folder))] == ["1_a.sql", "2_b.sql", "3_c.sql"]


def test_a_folder_that_is_not_there_has_no_marks(tmp_path: Path) -> None:
    assert marks(str(tmp_path / "nowhere")) == ()


def test_marks_come_to_an_end_where_a_link_leads_above_itself(sql_folder: Write) -> None:
    folder = sql_folder({"a/b.sql": ""})
    (folder / "a/up").symlink_to(folder)

    assert [mark.path for mark in marks(str(folder))] == ["a/b.sql"]
