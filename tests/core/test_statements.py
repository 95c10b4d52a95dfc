from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgready.core import lexical, statements
from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError
from pgready.core.model import Script

names = st.sampled_from(["a", "Ä_b", "t1", '"q; ""r"', "beginning"])
constants = st.one_of(
    st.text(alphabet="ab;'\n\\$-/*é€ ", max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.text(alphabet="ab;\n-/*é ", max_size=8).map(lambda text: f"E'\\'{text}\\\\'"),
    st.text(alphabet="ab;'\n\\-/*é ", max_size=8).map(lambda text: f"$$ {text} $$"),
    st.text(alphabet="ab;'\n$ ", max_size=8).map(lambda text: f"$x1$ {text} $x1$"),
    st.sampled_from(["1", "2.5e3", "B'01'", "U&'\\00e9;'", "'a'\n 'b;'"]),
)
comments = st.one_of(
    st.text(alphabet="ab;'\"$é\\ ", max_size=8).map(lambda text: f"--{text}\n"),
    st.text(alphabet="ab;'\"$é\\ \n", max_size=8).map(lambda text: f"/*{text} /* ; */ */"),
    st.sampled_from([" ", "\n", "\r\n", "\t", ""]),
)
plain = st.builds("SELECT {}, {}{} FROM {}".format, constants, constants, comments, names)
rules = st.builds(
    "CREATE RULE r AS ON INSERT TO {} DO ({}; {})".format,
    names,
    plain,
    st.lists(plain, max_size=2).map("; ".join),
)
bodies = st.builds(
    "CREATE {}{}FUNCTION f() RETURNS int{}BEGIN{} ATOMIC {}; SELECT CASE WHEN a THEN 1 END;{} END".format,
    st.sampled_from(["", "OR REPLACE ", "or/* ; */replace "]),
    comments,
    st.sampled_from(["\n", " LANGUAGE sql "]),
    comments,
    plain,
    st.sampled_from(["", "BEGIN; SELECT 1; END;"]),
)
statement_texts = st.one_of(plain, rules, bodies)
copies = st.builds(
    "COPY {} FROM {}{};\n".format,
    names,
    st.sampled_from(["stdin", "STDIN", "sTdIn"]),
    st.just("\nWITH (FORMAT csv)") | st.just(""),
)
data_lines = st.text(alphabet="ab;'\"$\t/*-(é", max_size=10).map(lambda line: line + "\n")
blocks = st.tuples(copies, st.lists(data_lines, max_size=4).map("".join))


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


# fmt: off
FRAGMENTS = (
    "select", "copy", "from", "stdin", ";", ";", "\n", "\r\n", "\\.", "\\i", "'", "''", "$$", "$a$", "(", ")",
    "--", "/*", "*/", "begin", "atomic", "commit", "create", "function", "end", "case", "é", '"', "U&", "E'",
    "1a", "\\", "\ufeff", "-- pgready:", "no-transaction", "rollback", "set", "index", "concurrently", "on",
    "do", "--\n",
)
# fmt: on
sql_like = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3)).map(" ".join)


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
        assert "unterminated" in error.what
