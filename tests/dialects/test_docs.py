"""docs/dialects.md names every dialect, what its table is called, and how its runs differ."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.peers import PEERS
from pgready.core.model import Folder
from pgready.dialects import detect, drafts

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "dialects.md").read_text(encoding="utf-8")
ROW = re.compile(r"^(\| `([\w-]+)` \|.*)$", re.MULTILINE)
ROWS = {name: row for row, name in ROW.findall(PAGE.partition("\n## ")[0])}
NEW = {name: row for row, name in ROW.findall(PAGE.partition("## A new file\n")[2].partition("\n## ")[0])}


def test_every_dialect_has_its_row_and_nothing_else_has_one() -> None:
    assert list(ROWS) == list(detect.DIALECTS)


@pytest.mark.parametrize("name", detect.DIALECTS)
def test_a_row_names_the_table_and_the_page(name: str) -> None:
    table = detect.make(name).table
    qualified = table.name if table.schema == "public" else str(table)

    assert f"`{qualified}`" in ROWS[name]
    assert re.search(r"\[page\]\(([\w-]+\.md)\)", ROWS[name])


@pytest.mark.parametrize("name", detect.DIALECTS)
def test_every_difference_is_a_line_of_the_docs(name: str) -> None:
    section = PAGE.partition(f"### {name}\n")[2].partition("\n#")[0]

    assert tuple(re.findall(r"^- (.*)$", section, flags=re.MULTILINE)) == detect.make(name).differences


@pytest.mark.parametrize("name", detect.DIALECTS)
def test_what_no_tool_has_judged_is_called_unproven(name: str) -> None:
    assert detect.make(name).proven is not ("*unproven*" in ROWS[name])


def test_every_dialect_has_its_row_of_new_files() -> None:
    assert NEW.keys() == detect.DIALECTS.keys()


@pytest.mark.parametrize("name", detect.DIALECTS)
def test_a_new_file_is_called_as_its_row_says(name: str) -> None:
    dialect = detect.make(name)
    moment = datetime(2026, 11, 24, 9, 30, 15, tzinfo=UTC)
    drafted = drafts.versioned(dialect, Folder(name), "add_users", below="", now=moment, down=False)
    paths = [f"`{file.path}`" for file in drafted]
    generator = dialect.generator.format(name="add_users").rpartition(": ")[2]

    assert [told for told in ([f"`{generator}`"] if generator else paths) if told not in NEW[name]] == []


def test_what_the_conformance_suite_drives_is_a_dialect() -> None:
    assert {peer.dialect for peer in PEERS} <= set(detect.DIALECTS)
