"""Which settings are said again for a script's later segments, and which could not be and are refused."""

from __future__ import annotations

import pytest

from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError
from pgready.core.model import Script


def repeated(text: str, transactional: bool = True) -> list[str]:
    """What the last segment is told again."""
    segments = compile_script(Script("1_a.sql", text, transactional=transactional)).segments
    return [text[each.start : each.end] for each in segments[-1].settings]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT set_config('a', 'b', false)", ["SELECT set_config('a', 'b', false)"]),
        ("SELECT pg_catalog.set_config($$a$$, 'b'::text, false) AS x", None),
        ("SELECT set_config('a', 'b', false), pg_catalog.set_config('c', 'd', false)", None),
        ("SELECT set_config('a', 'b', true), set_config('c', now()::text, true)", []),
        ("SELECT set_config('a', 'b', is_local := true)", []),
        ("SELECT set_config('a'", []),
        ("SELECT 'set_config'; SELECT 1 AS set_config", []),
        ("SELECT set_config('A.b', 'c', false); SET a.b = d", ["SET a.b = d"]),
        ("SET ROLE x; SELECT set_config('role', 'y', false)", ["SELECT set_config('role', 'y', false)"]),
        (
            "SET SESSION AUTHORIZATION x; SELECT set_config('session_authorization', 'y', false); RESET ALL",
            ["SELECT set_config('session_authorization', 'y', false)"],
        ),
        ("SET SESSION AUTHORIZATION x; RESET SESSION AUTHORIZATION", ["RESET SESSION AUTHORIZATION"]),
        ("SET SESSION AUTHORIZATION x; RESET session_authorization", ["RESET session_authorization"]),
        ("SET session_authorization = x; RESET SESSION AUTHORIZATION", ["RESET SESSION AUTHORIZATION"]),
        (
            "SELECT set_config('a', 'b', false), set_config('c', 'd', false); SET c = 1; RESET a",
            ["SET c = 1", "RESET a"],
        ),
        ("CREATE FUNCTION f() RETURNS text RETURN set_config('a', 'b', false)", []),
        ("INSERT INTO t VALUES ('set_config(a, b, false)')", []),
        ("DO $$ BEGIN PERFORM set_config('a', f((1), ARRAY[2]), true); END $$", []),
        ("DO $$ BEGIN SET LOCAL a = 1; UPDATE t SET a = 1; EXECUTE 'SET LOCAL a = 1'; END $$", []),
        ("DO $$ BEGIN EXECUTE 'ALTER TABLE t ALTER a ' || ' SET NOT NULL'; END $$", []),
    ],
)
def test_settings_that_are_said_plainly_are_told_again(text: str, said: list[str] | None) -> None:
    assert repeated(f"{text}; VACUUM") == ([text] if said is None else said)


LOST = [
    "SELECT set_config('a', f(), false)",
    "SELECT set_config('a' || 'b', 'c', false)",
    "SELECT set_config(E'a\\\\', 'c', false)",
    "SELECT set_config('a', 'b'::name, false)",
    "SELECT set_config('a', 'b', 1 > 2)",
    "SELECT set_config('a', 'b', true), set_config('c', 'd', false)",
    "SELECT set_config('a', 'b', false), make()",
    "SELECT set_config('a', 'b', false) FROM t",
    "SELECT 1 FROM \"set_config\"('a', 'b', false)",
    "INSERT INTO t SELECT SET_CONFIG /* so */ ('a', 'b', false)",
    "WITH x AS (SELECT set_config('a', 'b', false)) TABLE x",
    "DO $$ BEGIN PERFORM set_config('a', 'b', false); END $$",
    "DO $$ BEGIN SET a = 1; END $$",
    "DO $$ BEGIN IF x THEN RESET ROLE; END IF; END $$",
    "DO $$ BEGIN EXECUTE 'SET a = 1'; END $$",
    "DO $$ BEGIN EXECUTE format('set role %I', 'x'); END $$",
]


@pytest.mark.parametrize("text", LOST)
def test_what_could_not_be_set_again_is_refused_where_a_later_part_follows(text: str) -> None:
    for script, transactional in (
        (f"SELECT 1; {text}; VACUUM", True),
        (f"SELECT 1; {text}; COMMIT; SELECT 2", True),
        (f"SELECT 1; {text}; SELECT 2", False),
    ):
        with pytest.raises(ScriptError, match="cannot be set again") as refused:
            repeated(script, transactional)

        assert refused.value.place is not None
        assert refused.value.place.column == 11


@pytest.mark.parametrize("text", LOST)
def test_what_could_not_be_set_again_runs_where_no_later_part_follows(text: str) -> None:
    assert repeated(f"VACUUM; {text}") == []
    assert repeated(f"VACUUM; {text}", transactional=False) == []


def test_what_is_set_before_a_begin_belongs_to_its_transaction() -> None:
    assert repeated("SELECT set_config('a', f(), false); BEGIN; SELECT 1; COMMIT") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SET a = 1; SAVEPOINT s; SET a = 2; ROLLBACK TO s", ["SET a = 1"]),
        ("SAVEPOINT s; SET a = 2; ROLLBACK WORK TO SAVEPOINT S", []),
        ("SAVEPOINT s; SET a = 2; RELEASE SAVEPOINT s; ROLLBACK TO s", ["SET a = 2"]),
        ("SAVEPOINT s; SET a = 1; SAVEPOINT t; SET a = 2; ROLLBACK TO t", ["SET a = 1"]),
        ("SAVEPOINT s; SET a = 1; SAVEPOINT t; SET a = 2; RELEASE s; SET b = 3", ["SET a = 2", "SET b = 3"]),
        ("SAVEPOINT s; SET a = 1; SAVEPOINT s; SET a = 2; ROLLBACK TO s; RELEASE s", ["SET a = 1"]),
        ("SAVEPOINT s; SET a = 1; ROLLBACK TO s; SET a = 2; ROLLBACK TO s", []),
        ("SAVEPOINT s; RESET ALL; SET a = 1; ROLLBACK TO other", ["SET a = 1"]),
        ("SAVEPOINT s; SELECT set_config('a', f(), false); ROLLBACK TO s", []),
        ("SAVEPOINT s; SET a = 1; COMMIT; SELECT 1; ROLLBACK TO s", ["SET a = 1"]),
        ("SAVEPOINT; SET a = 1; ROLLBACK TO", []),
    ],
)
def test_what_was_set_behind_a_savepoint_is_taken_back_to_it(text: str, said: list[str]) -> None:
    assert repeated(f"{text}; VACUUM") == said


@pytest.mark.parametrize(
    "text",
    [
        "SELECT set_config('client_encoding', 'LATIN1', false)",
        "SELECT 1, set_config('Client_Encoding', f(), true)",
        'SET "Client_Encoding" = latin1',
        "DO $$ BEGIN PERFORM set_config('client_encoding', 'LATIN1', true); END $$",
        "DO $$ BEGIN SET LOCAL client_encoding TO 'LATIN1'; END $$",
        "DO 'BEGIN SET NAMES latin1; END'",
    ],
)
def test_an_encoding_that_is_none_of_ours_is_refused_however_it_is_set(text: str) -> None:
    with pytest.raises(ScriptError, match="scripts are sent as UTF-8") as refused:
        repeated(f"SELECT 1; {text}")

    assert refused.value.place is not None
    assert refused.value.place.column == 11


@pytest.mark.parametrize(
    "text",
    [
        "SELECT set_config('client_encoding', 'UTF8', false)",
        "SELECT set_config('a', 'client_encoding', false)",
        "DO $$ BEGIN SET client_encoding = 'utf-8'; UPDATE t SET names = 'x'; SET; END $$",
        "CREATE FUNCTION f() RETURNS text RETURN set_config('client_encoding', 'LATIN1', true)",
    ],
)
def test_what_sets_no_other_encoding_is_taken(text: str) -> None:
    assert repeated(text) == []
