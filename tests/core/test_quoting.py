"""Values and names become SQL text that means what they are."""

from __future__ import annotations

import pytest

from pgready.core.model import TableName
from pgready.core.quoting import Name, Sql, exact, fill, fragment, literals, names


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"),
        (True, "true"),
        (7, "7"),
        ("it's", "'it''s'"),
        ("back\\slash", " E'back\\\\slash'"),
        (Name('we"ird'), '"we""ird"'),
        (TableName("a", 'b"c'), '"a"."b""c"'),
        (Sql("CASCADE"), "CASCADE"),
        (names(["a", "b"]), '"a", "b"'),
        (fragment("OWNER :owner", owner=Name("a")), 'OWNER "a"'),
    ],
)
def test_value_is_written_as_what_it_is(value: str | int | TableName | None, written: str) -> None:
    assert fill("[:value]", value=value) == f"[{written}]"


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert fill(":a :b", a=":b", b=Name(":a")) == "':b' \":a\""


def test_filled_text_is_plain_str_because_the_driver_takes_nothing_else() -> None:
    assert type(fill("SELECT :a::text", a="b")) is str


def test_template_names_a_value_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        fill(":missing")


@pytest.mark.parametrize("value", ["a\0b", Name("a\0b")])
def test_nul_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        fill(":value", value=value)


def test_several_literals_stand_with_commas_between() -> None:
    assert literals(["a", "it's"]) == "'a', 'it''s'"


def test_operators_become_the_servers_own_but_not_in_strings_and_comments() -> None:
    sql = "SELECT a || ' = b' -- b's = c\nFROM t WHERE a = 1 AND b ->> 'x' <> c::int"

    assert exact(sql) == (
        "SELECT a OPERATOR(pg_catalog.||) ' = b' -- b's = c\n"
        "FROM t WHERE a OPERATOR(pg_catalog.=) 1 AND b OPERATOR(pg_catalog.->>) 'x'"
        " OPERATOR(pg_catalog.<>) c::int"
    )
