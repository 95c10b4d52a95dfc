from __future__ import annotations

import pytest

from pgready.core import sql
from pgready.core.sql import TokenKind, Unscannable


@pytest.mark.parametrize("blanks", [0, 1, 126, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_tokens_are_found_however_far_from_the_start(blanks: int) -> None:
    found = list(sql.token_texts(" " * blanks + "SELECT 'ä'; -- done"))

    assert [raw.decode() for _, raw in found] == ["SELECT", "'ä'", ";", "-- done"]


def test_split_counts_characters_not_bytes() -> None:
    text = "INSERT INTO ü VALUES ('ä;€');SELECT 1"

    assert [text[start:end] for start, end in sql.split(text)] == [
        "INSERT INTO ü VALUES ('ä;€')",
        "SELECT 1",
    ]


def test_an_unterminated_string_is_placed_in_characters() -> None:
    with pytest.raises(Unscannable) as caught:
        sql.split("SELECT 'äöü', 'x")

    assert (caught.value.offset, caught.value.message) == (14, "unterminated quoted string")


@pytest.mark.parametrize(
    "literal", [r"E'\xe9'", r"E'\351 \0 \00 \x0'", r"E'é\xE9\''", r"E'\xff \\\xc3'", r"E'\xe9' || '\xff'"]
)
def test_bytes_that_are_no_utf_8_are_for_the_server_to_judge(literal: str) -> None:
    text = f"SELECT {literal};SELECT 'ü'"

    assert [text[start:end] for start, end in sql.split(text)] == text.split(";")
    assert literal.partition(" || ")[0] in [token.text for token in sql.tokens(text)]


def test_what_else_is_wrong_beside_such_bytes_is_placed_where_it_is() -> None:
    with pytest.raises(Unscannable) as caught:
        sql.split(r"SELECT E'\xe9', 'x")

    assert (caught.value.offset, caught.value.message) == (16, "unterminated quoted string")


@pytest.mark.parametrize("row", ["/*", "*/", "/*+"])
def test_comments_that_would_take_the_scanner_hours_are_refused(row: str) -> None:
    for read in (sql.split, sql.tokens):
        with pytest.raises(Unscannable) as caught:
            read("SELECT 'é';" + row * 4_000)
        assert (caught.value.offset, caught.value.message) == (
            11,
            "comments that are nested too deep to be read",
        )


@pytest.mark.parametrize(
    "row", ["/* x */" * 300, "/* " * 300 + "*/ " * 300, f"/{'*' * 2000}/ " + "/**/ " * 300]
)
def test_other_comments_are_read(row: str) -> None:
    (start, end) = sql.split(row + "SELECT 1")[0]

    assert (row + "SELECT 1")[start:end].endswith("SELECT 1")


def test_tokens_tell_words_names_strings_and_comments_apart() -> None:
    found = sql.tokens("SELECT \"Ä\", 'ä', É_b /* c */ || $$x$$ -- d")

    assert [(token.kind, token.text) for token in found] == [
        (TokenKind.WORD, "select"),
        (TokenKind.QUOTED, '"Ä"'),
        (TokenKind.OTHER, ","),
        (TokenKind.STRING, "'ä'"),
        (TokenKind.OTHER, ","),
        (TokenKind.WORD, "É_b"),
        (TokenKind.COMMENT, "/* c */"),
        (TokenKind.OTHER, "||"),
        (TokenKind.STRING, "$$x$$"),
        (TokenKind.COMMENT, "-- d"),
    ]


def test_token_numbers_are_those_of_the_installed_libpg_query() -> None:
    samples = {"x": TokenKind.WORD, "select": TokenKind.WORD, 'U&"x"': TokenKind.QUOTED}
    samples |= dict.fromkeys(("'x'", "E'x'", "U&'x'", "$a$x$a$"), TokenKind.STRING)
    others = ("1", "1.5", "B'1'", "X'1'", "$1", "::", ":=", "..", "=>", "<=", ">=", "<>", "\\", "@@")
    samples |= dict.fromkeys(others, TokenKind.OTHER)

    assert {text: sql.tokens(text)[0].kind for text in samples} == samples
