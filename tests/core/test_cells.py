"""The room that a text takes on a terminal."""

from __future__ import annotations

import pytest

from pgready.core.cells import cells, fitting


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("waiting", 7, "waiting"),
        ("waiting", 6, "waiti…"),
        ("held by 表示", 12, "held by 表示"),
        ("held by 表示", 11, "held by 表…"),
        ("held by 表示", 10, "held by …"),
        ("e\u0301te\u0301", 3, "e\u0301te\u0301"),
        ("表", 1, "…"),
    ],
)
def test_a_wide_character_takes_two_columns(text: str, columns: int, shown: str) -> None:
    assert fitting(text, columns) == shown


@pytest.mark.parametrize(
    ("text", "taken"), [("held", 4), ("表示", 4), ("e\u0301", 1), ("a\u200bb", 2), ("", 0)]
)
def test_a_mark_takes_none(text: str, taken: int) -> None:
    assert cells(text) == taken
