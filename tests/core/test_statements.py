from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.scripts import blocks, comments, sql_like, statement_texts
from pgready.core import lexical, statements
from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError
from pgready.core.model import Script


def read(text: str, window_characters: int) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for batch in statements.read(Script("f", text), 0, len(text), window_characters):
        for statement in batch.statements:
            data = text[slice(*statement.copy_data)] if statement.copy_data else None
            found.append((text[statement.start : statement.end], data))
    return found


def without_end(text: str) -> str:
    return text.rstrip().removesuffix(";")


@given(st.lists(st.tuples(comments, statement_texts | blocks, comments), max_size=6), st.integers(1, 200))
def test_concatenated_statements_are_read_as_they_were_whatever_the_window(
    parts: list[tuple[str, str | tuple[str, str], str]], window_characters: int
) -> None:
    text = ""
    expected: list[tuple[str, str | None]] = []
    for before, part, after in parts:
        if isinstance(part, str):
            text += f"{before}{part}{after};"
            expected.append((part, None))
        else:
            text += f"{before}{part[0]}{part[1]}\\.\n"
            expected.append((without_end(part[0]), part[1]))

    assert read(text, window_characters) == expected


@given(sql_like | st.text(), st.integers(1, 100))
def test_any_text_compiles_or_is_refused_with_a_place(text: str, window_characters: int) -> None:
    try:
        compile_script(Script("f", text))
        whole = read(text, 1 << 20)
    except ScriptError as error:
        assert error.place is not None
    else:
        assert read(text, window_characters) == whole


@given(sql_like)
def test_nothing_but_comments_stands_between_statements(text: str) -> None:
    try:
        batches = list(statements.read(Script("f", text), 0, len(text)))
    except ScriptError:
        return
    end = 0
    gaps = []
    for statement in (statement for batch in batches for statement in batch.statements):
        gaps.append((end, statement.start))
        end = statement.copy_data[1] + len("\\.") if statement.copy_data else statement.end
    gaps.append((end, len(text)))

    assert [gap for gap in gaps if lexical.skip(text, *gap, ends=True) != gap[1]] == []


def test_a_backslash_line_inside_a_string_is_no_command() -> None:
    assert read("SELECT '\n\\connect x\n'; SELECT 2", 100) == [
        ("SELECT '\n\\connect x\n'", None),
        ("SELECT 2", None),
    ]


def test_a_window_that_ends_inside_a_comment_does_not_reveal_its_text() -> None:
    text = "SELECT 1; --;;\\connect x\nSELECT 2; -- a; SELECT 3;\n/* ; SELECT 4; */"

    for window_characters in range(1, len(text)):
        assert read(text, window_characters) == [("SELECT 1", None), ("SELECT 2", None)]


def test_a_comment_behind_a_statement_is_no_part_of_it() -> None:
    assert read("SELECT 1 -- one\n/* and */ ; SELECT '--'", 100) == [
        ("SELECT 1", None),
        ("SELECT '--'", None),
    ]


@pytest.mark.parametrize("text", ["SELECT 1" + "+1" * 100_000, "SELECT " + "(" * 100_000, "/*" * 1_000])
def test_deep_nesting_is_read_or_refused_without_a_crash(text: str) -> None:
    try:
        assert len(read(text, 1 << 20)) == 1
    except ScriptError as error:
        assert "unterminated" in error.what or "nested too deep" in error.what
