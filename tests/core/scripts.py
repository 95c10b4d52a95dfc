"""Texts for property tests: statements, COPY with its data, and a soup of what scripts are made of."""

from __future__ import annotations

from hypothesis import strategies as st

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

# fmt: off
FRAGMENTS = (
    "select", "copy", "from", "stdin", ";", ";", "\n", "\r\n", "\\.", "\\i", "'", "''", "$$", "$a$", "(", ")",
    "--", "/*", "*/", "begin", "atomic", "commit", "create", "function", "end", "case", "é", '"', "U&", "E'",
    "1a", "\\", "\ufeff", "-- pgready:", "no-transaction", "rollback", "set", "index", "concurrently", "on",
    "do", "--\n",
)
# fmt: on
sql_like = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3)).map(" ".join)

spoken = st.lists(
    st.sampled_from([fragment for fragment in FRAGMENTS if "\\" not in fragment and fragment != ")"])
    | st.just("( ; )")
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\\:)"), max_size=3)
).map(" ".join)
"""The same without what psql alone obeys or replaces (its commands, `:name`), and without a `)` too many."""
