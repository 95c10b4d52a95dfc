from __future__ import annotations

import hashlib

import pytest

from pgready.core.compile import compile_script
from pgready.core.errors import Place, ScriptError
from pgready.core.model import Script
from pgready.core.segments import (
    CompiledScript,
    Segment,
    SegmentKind,
    Single,
    Statement,
    part_end,
    place,
    shown,
)
from pgready.core.tokens import token_checksum


def compiled(text: str, transactional: bool = True, separator: str | None = None) -> CompiledScript:
    return compile_script(Script("1_a.sql", text, transactional=transactional, separator=separator))


def refusal(text: str, transactional: bool = True) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        compiled(text, transactional)
    return caught.value


def texts(text: str, statements: tuple[Statement, ...]) -> list[str]:
    return [text[statement.start : statement.end] for statement in statements]


def shape(text: str, transactional: bool = True) -> list[object]:
    """A transaction segment as the list of its statements, a single as its kind."""
    return [
        texts(text, segment.statements) if segment.kind is SegmentKind.TRANSACTION else segment.single
        for segment in compiled(text, transactional).segments
    ]


def single(text: str) -> Segment:
    (segment,) = compiled(text).segments
    return segment


@pytest.mark.parametrize("text", ["", "\ufeff", " \n;; ;\n", "-- nothing\n/* here */", "BEGIN; COMMIT;"])
def test_a_script_without_statements_is_one_empty_transaction(text: str) -> None:
    assert shape(text) == [[]]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("SELECT 1; SELECT 2;", [["SELECT 1", "SELECT 2"]]),
        ("BEGIN; SELECT 1; COMMIT;", [["SELECT 1"]]),
        ("begin work; SELECT 1; end transaction", [["SELECT 1"]]),
        ("START TRANSACTION; SELECT 1; COMMIT AND NO CHAIN;", [["SELECT 1"]]),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", [["SELECT 1"], ["SELECT 2"]]),
        ("SELECT 0; BEGIN; SELECT 1; COMMIT; SELECT 2", [["SELECT 0"], ["SELECT 1"], ["SELECT 2"]]),
        ("SET a = 1; BEGIN; SELECT 1; COMMIT;", [["SET a = 1", "SELECT 1"]]),
        ("SELECT 1; COMMIT; SELECT 2; COMMIT; COMMIT", [["SELECT 1"], ["SELECT 2"]]),
        ("COMMIT; SELECT 1; BEGIN; SELECT 2; COMMIT", [["SELECT 1"], ["SELECT 2"]]),
        ("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SELECT 1; COMMIT", [["SELECT 1"]]),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT 1", [["SELECT 1"]]),
        ("SAVEPOINT a; ROLLBACK TO a; RELEASE a", [["SAVEPOINT a", "ROLLBACK TO a", "RELEASE a"]]),
        ("BEGIN; ROLLBACK WORK TO SAVEPOINT a; COMMIT", [["ROLLBACK WORK TO SAVEPOINT a"]]),
        ("PREPARE p AS SELECT 1; EXECUTE p", [["PREPARE p AS SELECT 1", "EXECUTE p"]]),
        ("SELECT 1; VACUUM; SELECT 2", [["SELECT 1"], Single.REPEATABLE, ["SELECT 2"]]),
        ("BEGIN; SELECT 1; COMMIT; VACUUM t", [["SELECT 1"], Single.REPEATABLE]),
        ("select (1; select 2", [["select (1; select 2"]]),
        ("'a'; 'b;' ; SELECT 1", [["'a'", "'b;'", "SELECT 1"]]),
        ("); SELECT 1", [["); SELECT 1"]]),
        ("foo; SELECT 1; bar", [["foo", "SELECT 1", "bar"]]),
    ],
)
def test_segments_follow_the_transactions_that_the_script_asks_for(text: str, segments: list[object]) -> None:
    assert shape(text) == segments


TAGS = [f"$a{level}$" for level in range(2000)]
DEEP = "".join(TAGS) + "pg_advisory_unlock(1)" + "".join(reversed(TAGS))
DEEP_CHARACTERS = sum(map(len, TAGS))
FUNCTION = "CREATE FUNCTION f() RETURNS boolean"


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("SELECT 1; BEGIN; SELECT 2", 11, "not committed"),
        ("BEGIN; START TRANSACTION; COMMIT", 8, "BEGIN inside BEGIN"),
        ("BEGIN; ROLLBACK", 8, "SAVEPOINT"),
        ("ABORT", 1, "SAVEPOINT"),
        ("BEGIN; ROLLBACK AND CHAIN", 8, "AND CHAIN"),
        ("BEGIN; COMMIT AND CHAIN", 8, "AND CHAIN"),
        ("BEGIN; PREPARE TRANSACTION 'x'", 8, "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 'x'", 1, "COMMIT PREPARED"),
        ("ROLLBACK PREPARED 'x'", 1, "ROLLBACK PREPARED"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; COMMIT", 1, "READ COMMITTED"),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", 1, "READ COMMITTED"),
        ("BEGIN READ ONLY; COMMIT", 1, "READ ONLY"),
        ("SET TRANSACTION SNAPSHOT '00000003-1'", 1, "SNAPSHOT"),
        ("BEGIN; VACUUM; COMMIT", 8, "between BEGIN and COMMIT"),
        ("/* é */ DISCARD ALL", 9, "the lock"),
        ("SELECT pg_catalog.pg_advisory_unlock(1)", 19, "the lock"),
        ("SELECT PG_Advisory_Unlock_All()", 8, "the lock"),
        ("DO $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$", 21, "the lock"),
        ("DO $$ BEGIN EXECUTE 'SELECT pg_advisory_unlock(1)'; END $$", 29, "the lock"),
        ("DO LANGUAGE plpython3u $$ it's pg_advisory_unlock(1) $$", 32, "the lock"),
        (f"{FUNCTION} AS 'SELECT pg_advisory_unlock_all()'", 48, "free it by its key"),
        (f"{FUNCTION} RETURN pg_advisory_unlock_all()", 44, "free it by its key"),
        (f"{FUNCTION} AS 'SELECT pg_advisory_unlock(objid) FROM pg_locks'", 48, "the lock"),
        (f"DO $$ BEGIN {FUNCTION} RETURN pg_advisory_unlock(1); END $$", 56, "the lock"),
        ("CREATE TABLE t AS SELECT pg_advisory_unlock(1)", 26, "the lock"),
        ("DO " + DEEP, 4 + DEEP_CHARACTERS, "the lock"),
        ("SET client_encoding = 'LATIN1'", 1, "UTF-8"),
        ("SET NAMES 'SQL_ASCII'", 1, "UTF-8"),
        ("CREATE UNIQUE INDEX CONCURRENTLY ON t (a)", 1, "without a name"),
        ("\\connect other", 1, "`\\connect`"),
        ("SELECT 1;\\i x.sql", 10, "`\\i`"),
        ("SELECT 1 \\gset", 10, "`\\gset`"),
        ("\\echo don't", 1, "`\\echo`"),
        ("\\.", 1, "no COPY"),
        ("SELECT 1; \\.; SELECT 2", 11, "no COPY"),
        ("SELECT 1; 'a'; \\.; SELECT 2", 16, "no COPY"),
        ("SELECT 'abc", 8, "unterminated quoted string"),
        ("SELECT 1; /* abc", 11, "unterminated /* comment"),
        ("SELECT 1; " + "/*" * 4_000, 11, "comments that are nested too deep to be read"),
        ("SELECT 1; " + "*/" * 4_000, 11, "comments that are nested too deep to be read"),
        ("SELECT $a$ $b$", 8, "unterminated dollar-quoted string"),
        ("COPY t FROM stdin;\n1\n", 1, "no end"),
        ("COPY t FROM stdin", 1, "no end"),
        ("COPY t FROM stdin; SELECT 1;\n\\.\n", 1, "stands between"),
        ("COPY t /* from */ FROM /* x */ stdin;\n1\n", 1, "no end"),
        ("SELECT 'a\0'", 10, "NUL"),
        ("COPY t FROM stdout;\n1\n", 1, "no end"),
        ("SET standard_conforming_strings = off; SELECT 'a\\'b' --'", 47, "does not end where it seems to"),
        ("SET standard_conforming_strings = off; SELECT 1, 'a\\\\\\'", 50, "does not end where it seems to"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_place(text: str, column: int, said: str) -> None:
    error = refusal(text)

    assert error.place is not None
    assert (error.place.file, error.place.line, error.place.column) == ("1_a.sql", 1, column)
    assert said in f"{error.what}. {error.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'pg_advisory_unlock(1)' -- pg_advisory_unlock(1)",
        "SET client_encoding = 'UTF8'",
        "SET NAMES utf8",
        "DISCARD TEMP",
        "COPY t TO stdout",
        "COPY t TO '/tmp/x'",
        "COPY t FROM '/tmp/stdin'",
        "COPY (SELECT 1 FROM stdin) TO '/tmp/x'",
        "SELECT E'\\\\gset' ",
        "SELECT 'a\\', E'\\''",
        "DO $$ BEGIN PERFORM 'pg_advisory' || '_unlock(1)'; /* pg_advisory_unlock(1) */ END $$",
        f"{FUNCTION} AS $$ SELECT pg_advisory_unlock(1) $$ LANGUAGE sql",
        f"{FUNCTION} AS $$ it's pg_advisory_unlock(1) $$ LANGUAGE plpython3u",
        f"{FUNCTION} RETURN pg_advisory_unlock(1)",
        "create or  replace procedure p() BEGIN ATOMIC SELECT pg_advisory_unlock(1); END",
        "SELECT 'pg_advisory_unlock', E'\\\\gset'",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
        "SET CONSTRAINTS ALL DEFERRED",
        "SELECT set_config('a.b', 'c', true)",
        "DROP TABLE concurrently",
        "ALTER ROLE r SET default_tablespace = s",
        "ALTER TABLE t SET TABLESPACE s",
        "ALTER TABLE t ADD COLUMN concurrently int",
        "CREATE TABLE t (database text)",
        "START FROBNICATING",
        "ALTER TABLE concurrently DETACH PARTITION p",
        "REINDEX TABLE t",
        "REINDEX (CONCURRENTLY off) TABLE t",
        "CLUSTER (VERBOSE) t",
        "ALTER TABLE t DETACH PARTITION p FINALIZE",
        "ALTER DATABASE d SET work_mem = '4MB'",
        "ALTER TYPE e ADD VALUE 'b'",
        "ALTER SUBSCRIPTION s DISABLE",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)",
        "COMMENT ON TABLE t IS 'VACUUM; CREATE INDEX CONCURRENTLY'",
        "CALL p()",
        "DO $$ BEGIN COMMIT; END $$",
        "CREATE INDEX i ON t (concurrently)",
        "FROBNICATE t CONCURRENTLY",
    ],
)
def test_what_may_run_in_a_transaction_does(text: str) -> None:
    assert shape(text) == [[text.strip().partition(" --")[0]]]


LONG = "x" * (1 << 20)


@pytest.mark.parametrize(
    "text",
    [
        f"CREATE TABLE concurrently (a text DEFAULT '{LONG}')",
        f"SELECT '{LONG}\\gset'",
        f"COMMENT ON TABLE t IS 'pg_advisory_unlock {LONG}'",
        f"{FUNCTION} AS $$ pg_advisory_unlock(1) {LONG} $$ LANGUAGE plperl",
        f"'{LONG}'",
    ],
    ids=["create", "backslash", "unlock", "function", "no keyword"],
)
def test_a_statement_too_long_to_be_looked_at_closely_is_sent_as_it_is(text: str) -> None:
    assert shape(text) == [[text]]


@pytest.mark.parametrize(
    "text",
    [
        f"DO $$ BEGIN PERFORM pg_advisory_unlock(1); /*{LONG}*/ END $$",
        f"{FUNCTION} AS $$ SELECT pg_advisory_unlock_all(); /*{LONG}*/ $$",
        f"CREATE TABLE t AS SELECT pg_advisory_unlock(1), '{LONG}'",
    ],
    ids=["block", "function", "table"],
)
def test_an_unlock_in_code_too_long_to_be_looked_at_closely_is_refused(text: str) -> None:
    assert "pg_advisory_unlock" in refusal(text).what


@pytest.mark.parametrize(
    "name",
    [
        r'U&"a\00"',
        r'U&"\0000"',
        r'U&"\D83D"',
        r'U&"\+110000"',
        "U&\"+0061\" UESCAPE '+'",
        "U&\"!0061\" UESCAPE E'!'",
        'U&"!0061" UESCAPE',
    ],
    ids=["cut off", "nothing", "half a pair", "beyond Unicode", "no such escape", "not simple", "its end"],
)
def test_an_escaped_name_that_cannot_be_read_is_refused(name: str) -> None:
    assert refusal(f"DROP INDEX CONCURRENTLY {name}").hint == (
        "write the name plainly: after a crash only the name tells"
    )


@pytest.mark.parametrize(
    ("text", "kind", "target", "table"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", Single.CREATE_INDEX, '"i"', '"t"'),
        (
            'create unique index concurrently if not exists "I""x" on only S . "T" using btree (a)',
            Single.CREATE_INDEX,
            '"I""x"',
            '"s"."T"',
        ),
        (
            "CREATE INDEX CONCURRENTLY " + "i" * 70 + " ON t (a)",
            Single.CREATE_INDEX,
            '"' + "i" * 63 + '"',
            '"t"',
        ),
        (
            r'CREATE INDEX CONCURRENTLY U&"ab\00e9" ON u&"d\0061t""\+000061\\\D83D\DE00".t (a)',
            Single.CREATE_INDEX,
            '"abé"',
            '"dat""a\\😀"."t"',
        ),
        (r'DROP INDEX CONCURRENTLY s.U&"\0069"', Single.DROP_INDEX, '"s"."i"', None),
        ("DROP INDEX CONCURRENTLY U&\"!0069\\!!\" /* x */ UESCAPE '!'", Single.DROP_INDEX, '"i\\!"', None),
        ("DROP INDEX CONCURRENTLY U&\"i..0069\" UESCAPE '.'", Single.DROP_INDEX, '"i.0069"', None),
        (
            'ALTER TABLE U&"t" DETACH PARTITION U&"!0070" UESCAPE \'!\' CONCURRENTLY',
            Single.DETACH_PARTITION,
            '"p"',
            '"t"',
        ),
        (r'CREATE DATABASE U&"\0064"', Single.CREATE_DATABASE, '"d"', None),
        ("CREATE INDEX CONCURRENTLY 1", Single.UNKNOWN, None, None),
        ("DROP INDEX CONCURRENTLY IF EXISTS s.i", Single.DROP_INDEX, '"s"."i"', None),
        ("DROP INDEX CONCURRENTLY", Single.DROP_INDEX, None, None),
        ("DROP INDEX /* x */ CONCURRENTLY i", Single.DROP_INDEX, '"i"', None),
        (
            "ALTER TABLE IF EXISTS ONLY s.t DETACH PARTITION p CONCURRENTLY",
            Single.DETACH_PARTITION,
            '"p"',
            '"s"."t"',
        ),
        ("CREATE DATABASE d", Single.CREATE_DATABASE, '"d"', None),
        ("DROP DATABASE IF EXISTS d WITH (FORCE)", Single.DROP_DATABASE, '"d"', None),
        ("REINDEX TABLE CONCURRENTLY t", Single.REINDEX, None, '"t"'),
        ("REINDEX (VERBOSE, CONCURRENTLY) INDEX s.i", Single.REINDEX, None, '"s"."i"'),
        ("REINDEX SCHEMA CONCURRENTLY s", Single.REINDEX, '"s"', None),
        ("REINDEX DATABASE CONCURRENTLY d", Single.REINDEX, None, None),
        ("REINDEX SCHEMA s", Single.REPEATABLE, None, None),
        ("REINDEX (VERBOSE) DATABASE d", Single.REPEATABLE, None, None),
        ("VACUUM (ANALYZE) t", Single.REPEATABLE, None, None),
        ("CLUSTER", Single.REPEATABLE, None, None),
        ("CLUSTER (VERBOSE)", Single.REPEATABLE, None, None),
        ("ALTER SYSTEM SET work_mem = '4MB'", Single.REPEATABLE, None, None),
        ("ALTER DATABASE d SET TABLESPACE s", Single.REPEATABLE, None, None),
        ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", Single.REPEATABLE, None, None),
        ("ALTER SUBSCRIPTION s ADD PUBLICATION p", Single.UNKNOWN, None, None),
        ("DROP SUBSCRIPTION IF EXISTS s", Single.REPEATABLE, None, None),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", Single.UNKNOWN, None, None),
        ("CREATE TABLESPACE s LOCATION '/x'", Single.UNKNOWN, None, None),
        ("DROP TABLESPACE s", Single.UNKNOWN, None, None),
    ],
)
def test_what_cannot_run_in_a_transaction_is_a_single_with_what_its_probe_needs(
    text: str, kind: Single, target: str | None, table: str | None
) -> None:
    segment = single(text)

    assert segment.kind is SegmentKind.SINGLE
    assert (segment.single, segment.target, segment.table) == (kind, target, table)


NO_TRANSACTION = "-- pgready: no-transaction\n"
MIXED = "SELECT 1; CALL p(); DO $$x$$; REINDEX TABLE t; FROB t; BEGIN; SELECT 2; CALL q(); COMMIT; (SELECT 3)"
MIXED_SHAPE = [
    ["SELECT 1"],
    Single.UNKNOWN,
    Single.UNKNOWN,
    Single.REPEATABLE,
    Single.UNKNOWN,
    ["SELECT 2", "CALL q()"],
    ["(SELECT 3)"],
]


def test_without_a_transaction_each_statement_is_a_segment() -> None:
    assert shape(NO_TRANSACTION + MIXED) == MIXED_SHAPE


def test_a_peers_marker_means_the_same_as_the_directive() -> None:
    assert shape(MIXED, transactional=False) == MIXED_SHAPE


def test_a_resumed_segment_knows_the_settings_before_it() -> None:
    text = (
        "SET a = 1; SET b.c TO 2; SET LOCAL d = 3; SELECT set_config('e', 'f', false); VACUUM;"
        "SET a = 4; RESET b.c; VACUUM; RESET ALL; VACUUM"
    )

    settings = [texts(text, segment.settings) for segment in compiled(text).segments]
    assert settings == [
        [],
        ["SET a = 1", "SET b.c TO 2", "SELECT set_config('e', 'f', false)"],
        ["SET a = 1", "SET b.c TO 2", "SELECT set_config('e', 'f', false)"],
        ["SELECT set_config('e', 'f', false)", "SET a = 4", "RESET b.c"],
        ["SELECT set_config('e', 'f', false)", "SET a = 4", "RESET b.c"],
        [],
    ]


@pytest.mark.parametrize(
    ("text", "stepwise"),
    [
        ("SET standard_conforming_strings = on;", False),
        ("SET standard_conforming_strings TO 'on';", False),
        ("SET standard_conforming_strings = off;", True),
        ("SET SESSION standard_conforming_strings TO off;", True),
        ("SET backslash_quote = off;", True),
        ("SELECT set_config('standard_conforming_strings', 'off', false)", True),
        ("SET standard_conforming_strings = off; SET standard_conforming_strings = on;", True),
        ("SELECT 1 -- standard_conforming_strings", False),
        ("COMMENT ON TABLE t IS 'standard_conforming_strings'", False),
    ],
)
def test_a_script_that_changes_how_text_is_read_is_sent_stepwise(text: str, stepwise: bool) -> None:
    assert compiled(text).stepwise is stepwise


@pytest.mark.parametrize(
    "text",
    [
        "SET standard_conforming_strings = off; SELECT 'a\\\\', 'it''s', E'\\'', $$'\\'$$",
        "SET standard_conforming_strings = off; SET standard_conforming_strings = on; SELECT 'a\\'",
        "SET escape_string_warning = off; SELECT 'a\\'",
    ],
)
def test_a_string_that_ends_alike_under_old_rules_is_taken(text: str) -> None:
    assert compiled(text).stepwise


def test_the_end_of_data_without_its_copy_is_refused() -> None:
    error = refusal("SELECT count(*) FROM t\n1\n\\.\n")

    assert (str(error.place), error.hint) == (
        "1_a.sql:3:1",
        "it ends COPY data, and there is no COPY … FROM stdin before it",
    )


@pytest.mark.parametrize("client", ["stdin", "STDOUT"])
def test_data_follows_a_copy_from_the_client_however_it_is_called(client: str) -> None:
    text = f"COPY t FROM {client};\n1\n\\.\nSELECT 1;"

    (segment,) = compiled(text).segments
    assert texts(text, segment.statements) == [f"COPY t FROM {client}", "SELECT 1"]
    assert segment.statements[0].copy_data is not None


def test_a_separator_ends_statements_too() -> None:
    text = "SELECT 1; SELECT 2\n--> statement-breakpoint\n--> statement-breakpoint\nSELECT 3"

    (segment,) = compiled(text, separator="--> statement-breakpoint").segments
    assert texts(text, segment.statements) == ["SELECT 1", "SELECT 2", "SELECT 3"]


def test_a_directive_may_stand_above_a_separator() -> None:
    text = "-- pgready: lock-timeout=1s\n--> statement-breakpoint\nSELECT 1"

    assert compiled(text, separator="--> statement-breakpoint").lock_timeout_ms == 1000


DUMP = """\
--
-- PostgreSQL database dump
--

\\restrict 9aZ

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE TABLE public.t (a text, b text);

COPY public.t (a, b) FROM stdin;
it's\t$$ /* ;
\\N\t\\\\.
\\.x
\\.


COPY public.u FROM STDIN
  WITH (FORMAT csv);
'a
\\.
COPY public.empty FROM stdin;
\\.

ALTER TABLE ONLY public.t ADD CONSTRAINT c CHECK (a <> '');

\\unrestrict 9aZ

"""


@pytest.mark.parametrize("dump", [DUMP, DUMP.replace("\n", "\r\n"), DUMP.rstrip()])
def test_a_dump_is_one_transaction_with_its_data(dump: str) -> None:
    result = compiled(dump)

    (segment,) = result.segments
    data = [dump[slice(*statement.copy_data)] for statement in segment.statements if statement.copy_data]
    assert [line.split(" ")[0] for line in texts(dump, segment.statements)] == [
        *("SET", "SET", "SET", "SELECT", "CREATE", "COPY", "COPY", "COPY", "ALTER"),
    ]
    assert [each.replace("\r", "") for each in data] == ["it's\t$$ /* ;\n\\N\t\\\\.\n\\.x\n", "'a\n", ""]
    assert not result.stepwise
    assert token_checksum(dump) is None


def test_a_segments_checksum_is_that_of_its_statements_and_data() -> None:
    (segment,) = compiled("SELECT 1 ;\n COPY t FROM stdin;\n1\n\\.\n").segments

    assert segment.checksum == hashlib.sha256(b"SELECT 1\0COPY t FROM stdin\0" + b"1\n").hexdigest()


@pytest.mark.parametrize(
    ("text", "first_line", "offset", "line", "column", "excerpt"),
    [
        ("a\r\nbc\r\nd", 1, 4, 2, 2, "bc"),
        ("\ufeffab", 1, 1, 1, 1, "ab"),
        ("\ufeffab", 1, 2, 1, 2, "ab"),
        ("a\nb", 10, 2, 11, 1, "b"),
        ("ab", 1, 2, 1, 3, "ab"),
        ("", 1, 0, 1, 1, ""),
        ("x" * 5000, 1, 7, 1, 8, "x" * 4096),
        ("x" * 5000, 1, 4999, 1, 5000, None),
    ],
)
def test_place_counts_lines_and_columns_of_the_file(
    text: str, first_line: int, offset: int, line: int, column: int, excerpt: str | None
) -> None:
    found = place(Script("f", text, first_line=first_line), offset)

    assert (found.line, found.column, found.excerpt) == (line, column, excerpt)


def test_where_a_variables_value_has_several_lines_no_line_is_shown() -> None:
    script = Script("f", "SELECT\n'a\nb'", first_line=3, written="SELECT\n'$A'", values=("a\nb",))

    assert place(script, 9) == Place("f", 3)


def test_the_text_of_a_script_is_shown_as_it_is_and_by_whole_lines_where_variables_hide() -> None:
    text = "SELECT 1;\nSELECT 'joe';"

    assert shown(Script("f", text), 10, 16) == "SELECT"
    assert shown(Script("f", text, written="SELECT 1;\nSELECT '$A';"), 10, 16) == "SELECT '$A';"


def test_a_part_with_others_behind_it_ends_with_its_last_statement_or_its_data() -> None:
    text = "BEGIN; SELECT 1; COMMIT;\nBEGIN; COPY t FROM stdin;\n1\n\\.\nCOMMIT;\nSELECT 2;"
    script = compile_script(Script("1_a.sql", text))

    assert [part_end(script, number) for number in range(3)] == [15, text.index("\\."), None]


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        ("\\set ON_ERROR_STOP on", "remove it: pgready stops at the first error anyway"),
        ("\\set ON_ERROR_ROLLBACK on", "rolls back"),
        ("\\set AUTOCOMMIT off", "a script is one transaction anyway"),
        ("\\set QUIET 1", "only changes what psql shows"),
        ("\\set name 'value'", "write the value itself"),
        ("\\set", "write the value itself"),
    ],
)
def test_a_setting_of_psql_is_refused_with_what_it_is_for(line: str, cure: str) -> None:
    assert cure in (refusal(f"{line}\nSELECT 1;").hint or "")
