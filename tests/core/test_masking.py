"""No quotation of a script shows a password that stands in it."""

from __future__ import annotations

import time

import pytest

from pgready.core.diagnostics import ServerReport, explain
from pgready.core.errors import Place, excerpt
from pgready.core.masking import masked
from pgready.core.model import Script
from pgready.core.segments import Statement, place, shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CREATE ROLE a LOGIN PASSWORD 'hunter2' BOGUS;", "CREATE ROLE a LOGIN PASSWORD *** BOGUS;"),
        ("alter user a encrypted password 'hunter2'", "alter user a encrypted password ***"),
        ("CREATE ROLE a PASSWORD'hunter2';", "CREATE ROLE a PASSWORD***;"),
        ("CREATE ROLE a PASSWORD 'hun''ter2' BOGUS", "CREATE ROLE a PASSWORD *** BOGUS"),
        ("CREATE ROLE a PASSWORD 'hunter'\n '2' BOGUS", "CREATE ROLE a PASSWORD *** BOGUS"),
        ("CREATE ROLE a PASSWORD U&'hunter2' BOGUS", "CREATE ROLE a PASSWORD *** BOGUS"),
        ("CREATE ROLE a PASSWORD /* it's */ 'hunter2' x", "CREATE ROLE a PASSWORD /* it's */ *** x"),
        ("CREATE ROLE a PASSWORD -- it's\n'hunter2' x", "CREATE ROLE a PASSWORD -- it's\n*** x"),
        ("CREATE ROLE a PASSWORD $$hunter2$$ x", "CREATE ROLE a PASSWORD *** x"),
        ("CREATE ROLE a PASSWORD $x$hunter 2$x$ x", "CREATE ROLE a PASSWORD *** x"),
        (
            "CREATE USER MAPPING FOR a OPTIONS (password 'hunter2')",
            "CREATE USER MAPPING FOR a OPTIONS (password ***)",
        ),
        ("OPTIONS (SET \"password\" 'hunter2', user 'u')", "OPTIONS (SET \"password\" ***, user 'u')"),
        ("CONNECTION 'host=h password=hunter2 user=u'", "CONNECTION 'host=h password=*** user=u'"),
        ("CONNECTION 'host=h password = hunter2'", "CONNECTION 'host=h password = ***'"),
        ("CONNECTION 'password=''hunter 2'' user=u'", "CONNECTION 'password=*** user=u'"),
        (r"CONNECTION E'password=\'hunter 2\' user=u'", "CONNECTION E'password=*** user=u'"),
        ("dblink_connect('postgres://u:hun@ter2@h/d')", "dblink_connect('postgres://u:***@h/d')"),
        ("EXECUTE 'CREATE ROLE a PASSWORD ''hunter2'' x'", "EXECUTE 'CREATE ROLE a PASSWORD *** x'"),
        ("SET passwd = 'hunter2', x = 'y'", "SET passwd = ***, x = 'y'"),
        # Broken in one way or another
        ("CREATE ROLE a PASSWORD 'hunter2", "CREATE ROLE a PASSWORD ***"),
        ("CREATE ROLE a PASSWORD 'it'shunter2' x\n'y'", "CREATE ROLE a PASSWORD ***\n'y'"),
        (r"CREATE ROLE a PASSWORD 'x\'hunter2' x", "CREATE ROLE a PASSWORD ***"),
        ("CREATE ROLE a PASSWORD $$hunter2", "CREATE ROLE a PASSWORD ***"),
        ("CREATE ROLE a PASSWORD hunter2 LOGIN", "CREATE ROLE a PASSWORD *** LOGIN"),
        ('CREATE ROLE a PASSWORD "hunter2" LOGIN', "CREATE ROLE a PASSWORD *** LOGIN"),
        (r"PASSWORD 'a\'; PASSWORD 'hunter2'", "PASSWORD ***"),
        ("PASSWORD 'a' PASSWORD 'hunter2'", "PASSWORD *** PASSWORD ***"),
    ],
)
def test_a_password_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "CREATE ROLE a PASSWORD NULL",
        "CREATE TABLE users (password text NOT NULL, password_hash text DEFAULT 'x')",
        "RAISE EXCEPTION 'wrong password';",
        "INSERT INTO m VALUES ('enter password', 'x'), ('a password, please', 'y')",
        "SELECT password, 'x' FROM u WHERE password IS NOT NULL",
        "EXECUTE format('CREATE ROLE a PASSWORD %L', p)",
        "SELECT 'http://localhost:8080/x', 'a@b'",
    ],
)
def test_what_is_no_password_is_left(text: str) -> None:
    assert masked(text) == text


def found(text: str, at: str) -> Place:
    return place(Script("a.sql", text), text.index(at))


@pytest.mark.parametrize(
    ("text", "at", "line", "caret"),
    [
        ("CREATE ROLE a PASSWORD 'hunter2' BOGUS", "BOGUS", "CREATE ROLE a PASSWORD *** BOGUS", 28),
        ("CREATE ROLE a PASSWORD 'hunter2' BOGUS", "CREATE", "CREATE ROLE a PASSWORD *** BOGUS", 1),
        ("CREATE ROLE a PASSWORD 'hunter2' BOGUS", "ter2", "CREATE ROLE a PASSWORD *** BOGUS", 24),
        ("ROLE a PASSWORD\r\n  'hunter2' BOGUS\r\n", "BOGUS", "  *** BOGUS", 7),
        ("ROLE a PASSWORD 'hun\nter2' BOGUS", "BOGUS", "*** BOGUS", 5),
        ("ROLE a PASSWORD 'x'\n  BOGUS", "BOGUS", "  BOGUS", 3),
    ],
)
def test_a_caret_stays_where_it_points_and_the_column_is_the_file_s(
    text: str, at: str, line: str, caret: int
) -> None:
    where = found(text, at)

    assert excerpt(where)[0].partition("| ")[2] == line
    assert excerpt(where)[1].partition("| ")[2] == " " * (caret - 1) + "^"
    assert where.column == text.index(at) - text.rfind("\n", 0, text.index(at))


def test_a_caret_far_behind_a_password_is_in_the_part_that_is_shown() -> None:
    line, caret = excerpt(found(f"PASSWORD '{'x' * 300}' {'y ' * 100}BOGUS", "BOGUS"))

    assert line[caret.index("^") :] == "BOGUS"


def test_a_line_whose_variables_were_replaced_is_masked_too() -> None:
    script = Script("a.sql", "SELECT 1;\nPASSWORD 'q' 1", written="SELECT 1;\nPASSWORD 'hunter2' ${n}")

    assert place(script, 12).excerpt == "PASSWORD *** ${n}"
    assert shown(script, 12, 14) == "PASSWORD *** ${n}"


def test_a_statement_that_is_shown_is_masked() -> None:
    assert shown(Script("a.sql", "ALTER ROLE a PASSWORD 'hunter2'"), 0, 31) == "ALTER ROLE a PASSWORD ***"


@pytest.mark.parametrize(
    "report",
    [
        ServerReport("42601", 'syntax error at or near "hunter2"', position=23),
        ServerReport("42704", "no", context="SQL statement \"ALTER ROLE a PASSWORD 'hunter2'\"\nouter"),
        ServerReport("42601", "no", detail='missing "=" after "hunter2" in connection info string'),
    ],
)
def test_what_the_server_says_of_a_password_is_masked(report: ServerReport) -> None:
    text = "CREATE ROLE a PASSWORD hunter2"
    error = explain(Script("a.sql", text), report, Statement(0, len(text)), done="", next_command="")

    assert "hunter2" not in f"{error.what}{error.detail}{error.place and error.place.excerpt}"
    assert "***" in f"{error.what}{error.detail}"


def test_a_password_far_from_the_others_is_masked_too() -> None:
    lines = ["ALTER ROLE a PASSWORD 'one';", "-- so it goes on\n" * 20_000, "ALTER ROLE b PASSWORD 'two';"]

    shown = masked("\n".join(lines))

    assert "one" not in shown and "two" not in shown
    assert shown.count("***") == 2 and shown.count("so it goes on") == 20_000


@pytest.mark.parametrize(
    "piece",
    ["password $a{}$ ", "password '", "password E'\\'", "://a:", "password /*", "password 'a'b ", 
     "password='\\", "connection password", "create role a password\t"],
)  # fmt: skip
def test_no_text_takes_long(piece: str) -> None:
    text = "".join(piece.replace("{}", str(number)) for number in range(8192 // len(piece)))
    began = time.process_time()
    masked(text)

    assert time.process_time() - began < 2
