"""Errors as people and orchestrators meet them."""

from __future__ import annotations

import pytest

from pgready.core.errors import (
    ExitCode,
    FolderError,
    MigrationFailed,
    PgreadyError,
    Place,
    SettingsError,
    excerpt,
    first_of,
    render,
    typed,
)


def test_an_error_is_told_with_its_place_its_facts_and_its_cure() -> None:
    error = MigrationFailed(
        "division by zero",
        place=Place("1_a.sql", 2, 9, "SELECT\t1/0;"),
        sqlstate="22012",
        detail="a detail",
        done="nothing was applied",
        hint="pgready up",
    )

    assert render(error).splitlines() == [
        "error: 1_a.sql:2:9: division by zero",
        "    2 | SELECT 1/0;",
        "      |         ^",
        "sqlstate: 22012",
        "detail: a detail",
        "done: nothing was applied",
        "hint: pgready up",
    ]


def test_several_problems_are_told_on_lines_of_their_own() -> None:
    assert render(SettingsError(("one", "two"))).splitlines() == ["error: one", "       two"]


def test_an_error_without_a_word_is_told_all_the_same() -> None:
    assert render(PgreadyError("")) == "error: "


def test_of_an_empty_line_nothing_is_shown() -> None:
    error = MigrationFailed("is a program", place=Place("1_a.go", 1, 1, ""))

    assert render(error) == "error: 1_a.go:1:1: is a program"


@pytest.mark.parametrize(
    ("before", "cells"),
    [("日本語", 6), ("éß", 2), ("e\u0301", 1), ("a\u200bb", 2), ("ｶ", 1), ("\uff41", 2), ("a🐘", 3)],
)
def test_the_caret_is_below_its_character_whatever_cells_those_before_it_take(
    before: str, cells: int
) -> None:
    shown, caret = excerpt(Place("1_a.sql", 2, len(before) + 1, f"{before}nope"))

    assert shown == f"    2 | {before}nope"
    assert caret == "      | " + " " * cells + "^"


def test_what_would_command_the_terminal_is_shown() -> None:
    error = MigrationFailed(
        'syntax error at or near "\x1b[2J"',
        place=Place("1_a.sql", 2, 6, "\x1b[2J\t\x7f\x9b\u202e"),
        detail="one\ntwo\r",
    )

    assert render(error).splitlines() == [
        'error: 1_a.sql:2:6: syntax error at or near "␛[2J"',
        "    2 | ␛[2J ␡\ufffd\ufffd",
        "      |      ^",
        "detail: one",
        "two␍",
    ]


def test_a_line_whose_column_is_not_known_has_no_caret() -> None:
    assert excerpt(Place("1_a.sql", 2, None, "SELECT 1")) == ["    2 | SELECT 1"]


@pytest.mark.parametrize("column", [1, 100, 250, 399])
def test_of_a_long_line_the_part_around_the_caret_is_shown(column: int) -> None:
    text = "".join(chr(ord("a") + at % 26) for at in range(400))

    shown, caret = excerpt(Place("1_a.sql", 2, column, text))

    assert len(shown) < 180
    assert shown[caret.index("^")] == text[column - 1]


def test_an_exit_code_says_whether_the_same_command_may_succeed_later() -> None:
    assert {code for code in ExitCode if code.worth_retrying} == {
        ExitCode.UNREACHABLE,
        ExitCode.LOCKED,
        ExitCode.INTERRUPTED,
        ExitCode.TERMINATED,
    }


@pytest.mark.parametrize(
    ("word", "shown"), [("a/b-1.sql", "a/b-1.sql"), ("a b", "'a b'"), ("it's", "'it'\"'\"'s'"), ("", "''")]
)
def test_a_word_of_a_hints_command_is_quoted_where_a_shell_needs_it(word: str, shown: str) -> None:
    assert typed(word) == shown


def test_of_many_problems_of_a_folder_the_first_ten_are_told_and_all_are_kept() -> None:
    error = FolderError(tuple(f"{n}.sql: twice" for n in range(37)))

    assert error.what.splitlines() == [*(f"{n}.sql: twice" for n in range(10)), "and 27 more"]
    assert len(error.problems) == 37
    assert first_of(["one", "two"]) == ("one", "two")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PgreadyError("it broke"), "it broke"),
        (
            MigrationFailed("no such column", place=Place("2_x.sql", 1, 8, "SELECT x"), hint="mend it"),
            "2_x.sql:1:8: no such column\nhint: mend it",
        ),
    ],
)
def test_an_error_that_nobody_catches_names_its_place_and_its_cure(error: PgreadyError, text: str) -> None:
    assert str(error) == text
