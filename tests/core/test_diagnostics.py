"""What a person reads when the server refuses a statement."""

from __future__ import annotations

import pytest

from pgready.core.diagnostics import ServerReport, explain
from pgready.core.errors import AccessDenied, MigrationFailed, PgreadyError, Place
from pgready.core.model import Script
from pgready.core.segments import Statement

TEXT = "SELECT 1;\nSELECT 1/0;\n"
DIVISION = Statement(10, 20)


def explained(
    report: ServerReport, statement: Statement | None = DIVISION, script: Script | None = None
) -> PgreadyError:
    return explain(
        script or Script("1_a.sql", TEXT),
        report,
        statement,
        done="nothing was applied",
        next_command="pgready up",
    )


def where(error: PgreadyError) -> str:
    return str(error.place)


def test_an_error_says_what_the_server_said_and_what_to_do_next() -> None:
    error = explained(ServerReport("22012", "division by zero", "a detail", "a hint", "outer\ninner"))

    assert isinstance(error, MigrationFailed)
    assert (error.what, error.sqlstate, error.done) == ("division by zero", "22012", "nothing was applied")
    assert (error.detail, error.hint) == ("a detail; outer ← inner", "a hint; pgready up")


def test_what_the_server_says_as_sentences_is_joined_without_their_full_stops() -> None:
    error = explained(ServerReport("22012", "division by zero", "A detail.", "A hint.", "outer"))

    assert (error.detail, error.hint) == ("A detail; outer", "A hint; pgready up")


def test_an_error_without_a_position_is_placed_at_its_statement() -> None:
    assert where(explained(ServerReport("22012", "division by zero"))) == "1_a.sql:2:1"


def test_an_error_with_a_position_is_placed_there() -> None:
    assert where(explained(ServerReport("42703", "no such column", position=18))) == "1_a.sql:2:9"


def test_an_error_of_the_commit_is_placed_behind_the_last_statement_and_says_so() -> None:
    error = explained(ServerReport("23503", "violates a foreign key"), statement=None)

    assert error.what == "violates a foreign key (when the script's end was reached)"
    assert where(error) == "1_a.sql:2:12"


def test_an_error_of_a_commit_with_more_behind_it_is_placed_where_that_part_ends() -> None:
    error = explain(
        Script("1_a.sql", TEXT),
        ServerReport("23503", "violates a foreign key"),
        None,
        done="nothing was applied",
        next_command="pgready up",
        part_end=8,
    )

    assert error.what == "violates a foreign key (when the transaction that ends here was committed)"
    assert where(error) == "1_a.sql:1:9"


COPY = "COPY t FROM stdin;\n1\nx\n\\.\n"


@pytest.mark.parametrize(
    ("context", "line"),
    [
        ('COPY t, line 2, column a: "x"', 3),
        ("COPY t, line 1", 2),
        ("COPY t, line 99", 5),
        ("SQL function f", 1),
        (None, 1),
    ],
)
def test_an_error_of_copied_data_is_placed_at_its_line(context: str | None, line: int) -> None:
    report = ServerReport("22P02", "invalid input", context=context)
    error = explained(report, Statement(0, 17, (19, 23)), Script("1_a.sql", COPY))

    assert error.place is not None
    assert error.place.line == line


@pytest.mark.parametrize(
    ("sqlstate", "kind", "cure"),
    [
        ("25001", MigrationFailed, "-- pgready: no-transaction"),
        ("2D000", MigrationFailed, "-- pgready: no-transaction"),
        ("55P04", MigrationFailed, "a file of its own"),
        ("57014", MigrationFailed, "statement-timeout=0"),
        ("42501", AccessDenied, "grant it"),
    ],
)
def test_what_has_a_known_cure_names_it(sqlstate: str, kind: type[PgreadyError], cure: str) -> None:
    error = explained(ServerReport(sqlstate, "no"))

    assert type(error) is kind
    assert cure in (error.hint or "")


def test_what_stands_for_variables_is_shown_nowhere() -> None:
    script = Script(
        "1_a.sql", TEXT, written="SELECT 1;\nSELECT $A;\n", values=("", "secret", "secret and more")
    )
    report = ServerReport("22P02", "bad secret and more", "secret", "the secret", 'SQL "secret"')

    error = explained(report, script=script)

    assert (error.what, error.detail, error.hint) == ("bad ***", '***; SQL "***"', "the ***; pgready up")
    assert where(error) == "1_a.sql:2"


def test_a_line_without_variables_is_placed_with_its_column_though_others_have_some() -> None:
    text = "SELECT secret;\nSELECT nope;\n"
    script = Script("1_a.sql", text, written="SELECT $A;\nSELECT nope;\n", values=("secret",))

    error = explained(ServerReport("42703", "no such column", position=22), script=script)

    assert error.place == Place("1_a.sql", 2, 8, "SELECT nope;")


def test_a_report_of_few_words_stays_as_it_is_where_variables_hide() -> None:
    error = explained(ServerReport("22P02", "bad"), script=Script("1_a.sql", TEXT, values=("secret",)))

    assert (error.what, error.detail, error.hint) == ("bad", None, "pgready up")
