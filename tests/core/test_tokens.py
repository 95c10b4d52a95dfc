from __future__ import annotations

import pytest

from pgready.core.tokens import token_checksum

BASE = "CREATE TABLE t (a text DEFAULT 'x y');\n"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + BASE,
        BASE.replace("\n", "\r\n"),
        "-- why\nCREATE  TABLE t(a text /* b */ DEFAULT 'x y') ;",
    ],
)
def test_white_space_and_comments_are_cosmetic(text: str) -> None:
    assert token_checksum(text) == token_checksum(BASE)


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("x y", "x  y"),
        BASE.replace("'x y'", "'x y '"),
        BASE.replace("(a", "(ab"),
        BASE.replace("a text", "at ext"),
        BASE.replace(" t ", ' "t" '),
        BASE.replace("TABLE", "table"),
        "-- pgready: no-transaction\n" + BASE,
        "-- +goose NO TRANSACTION\n" + BASE,
        "-- migrate:up transaction:false\n" + BASE,
        "-- no-transaction\n" + BASE,
        BASE + "--> statement-breakpoint\n",
        BASE + "-- Down Migration\n",
        BASE + "--! no-transaction\n",
    ],
)
def test_anything_else_is_a_real_change(text: str) -> None:
    assert token_checksum(text) not in (None, token_checksum(BASE))


def test_bodies_of_functions_count_byte_for_byte() -> None:
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT{}1 -- x $$"

    assert token_checksum(body.format(" ")) != token_checksum(body.format("  "))


def test_a_dialects_own_marker_counts() -> None:
    marked = "-- split here\n" + BASE

    assert token_checksum(marked) == token_checksum(BASE)
    assert token_checksum(marked, ("-- split",)) != token_checksum(BASE)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'x",
        "SELECT '\udc80'",
        "a\0b",
        "SELECT '" + "x" * (1 << 20) + "'",
        "SELECT '" + "ä" * (1 << 19) + "'",
        "COPY t FROM stdin;\n1\t2\n\\.\n",
        "COPY t FROM STDOUT;\n1\t2\n\\.\n",
    ],
)
def test_there_is_none_where_a_cosmetic_change_cannot_be_told(text: str) -> None:
    assert token_checksum(text) is None
