"""What a script makes for its session alone, and which of its later segments speak of it."""

from __future__ import annotations

import pytest

from pgready.core.compile import compile_script
from pgready.core.model import Script
from pgready.core.segments import Temporary


def needed(text: str, transactional: bool = True) -> list[Temporary | None]:
    script = Script("1_a.sql", text, transactional=transactional)
    return [segment.temporary for segment in compile_script(script).segments]


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("CREATE TEMP TABLE k (a int); VACUUM; TABLE K", [None, None, ("k", 0)]),
        ("CREATE GLOBAL TEMPORARY TABLE IF NOT EXISTS k (a int); COMMIT; TABLE k", [None, ("k", 0)]),
        (
            "CREATE OR REPLACE TEMP RECURSIVE VIEW pg_temp.k (a) AS SELECT 1; COMMIT; TABLE k",
            [None, ("k", 0)],
        ),
        ("SELECT 1 INTO TEMP k; COMMIT; TABLE k", [None, ("k", 0)]),
        ('CREATE TEMP TABLE "K l" (a int); COMMIT; TABLE "K l"', [None, ("K l", 0)]),
        ("CREATE FUNCTION pg_temp.k() RETURNS int RETURN 1; COMMIT; SELECT pg_temp.k()", [None, ("k", 0)]),
        ("DO $$ BEGIN CREATE TEMP TABLE k (a int); END $$; COMMIT; TABLE k", [None, ("k", 0)]),
        ("DO $$ BEGIN CREATE TEMP TABLE k () ON COMMIT DROP; END $$; COMMIT; TABLE k", [None, None]),
        ("CREATE TEMP TABLE k (a int); TABLE k; COMMIT; SELECT * FROM kk", [None, None]),
        ("CREATE TEMP TABLE k (a int); DROP TABLE k; COMMIT; SELECT 1 AS k", [None, None]),
        ("CREATE TEMP TABLE k (a int); DROP TABLE other; COMMIT; TABLE k", [None, ("k", 0)]),
        ("CREATE TEMP TABLE k (a int); DISCARD TEMP; COMMIT; TABLE k", [None, None]),
        ("CREATE TEMP TABLE k (); COMMIT; CREATE TEMP TABLE k (); COMMIT; TABLE k", [None, None, ("k", 1)]),
        ("CREATE TEMP TABLE k (); COMMIT; SELECT 1; DROP TABLE k", [None, ("k", 0)]),
        ("CREATE TEMP TABLE k (); COMMIT; TABLE k; DROP TABLE k", [None, ("k", 0)]),
        ("CREATE TEMP TABLE k (); COMMIT; TABLE k; DISCARD TEMP", [None, ("k", 0)]),
        ("CREATE TEMP TABLE k (); COMMIT; SELECT 1; DISCARD TEMP", [None, None]),
        ("CREATE TEMP TABLE k (); DISCARD PLANS; COMMIT; TABLE k", [None, ("k", 0)]),
        (
            "CREATE TEMP TABLE k (); COMMIT; DROP TABLE k; CREATE TEMP TABLE k (); COMMIT; TABLE k",
            [None, ("k", 0), ("k", 1)],
        ),
        (
            "CREATE TEMP TABLE k (); COMMIT; CREATE TEMP TABLE IF NOT EXISTS k (); COMMIT; TABLE k",
            [None, ("k", 0), ("k", 0)],
        ),
        (
            "CREATE TEMP TABLE k (); COMMIT; CREATE TEMP TABLE l (); COMMIT; TABLE l; TABLE k; TABLE l",
            [None, None, ("k", 0)],
        ),
        ("CREATE TEMP TABLE k (); DROP TABLE public.k; COMMIT; TABLE k", [None, ("k", 0)]),
        ("CREATE TEMP TABLE k (); DROP TRIGGER a ON k; COMMIT; TABLE k", [None, ("k", 0)]),
        ("CREATE TEMP TABLE k (); DROP TABLE IF EXISTS a, pg_temp.K CASCADE; COMMIT; TABLE k", [None, None]),
        (
            "CREATE FUNCTION pg_temp.k() RETURNS int RETURN 1; DROP FUNCTION pg_temp.k(); COMMIT; TABLE k",
            [None, None],
        ),
        ('CREATE TEMP TABLE "K" (); COMMIT; TABLE "K"; DROP TABLE "K"', [None, ("K", 0)]),
        ('CREATE TEMP TABLE "K" (); COMMIT; TABLE k', [None, None]),
        ('CREATE TEMP TABLE "K" (); DROP TABLE k; COMMIT; TABLE "K"', [None, ("K", 0)]),
        (
            "CREATE TEMP TABLE \"K\" (); COMMIT; DO $$ BEGIN EXECUTE format('TABLE %I', 'K'); END $$",
            [None, ("K", 0)],
        ),
        ('CREATE TEMP TABLE K (); DROP TABLE "K"; COMMIT; TABLE "K"; TABLE "k"', [None, ("k", 0)]),
        ('CREATE TEMP TABLE k (); COMMIT; TABLE "K"', [None, None]),
        ('CREATE TEMP TABLE U&"k" (); COMMIT; TABLE k', [None, ("k", 0)]),
        ('CREATE TEMP TABLE """k" (); COMMIT; TABLE """k"', [None, ('"k', 0)]),
        ("CREATE TABLE k (a text DEFAULT 'create temp table b'); COMMIT; TABLE k, b", [None, None]),
        ("DO LANGUAGE plpython3u $$ it's temp $$; COMMIT; TABLE k", [None, None]),
        (f"SELECT '{'x' * (1 << 20)}' INTO TEMP k; COMMIT; TABLE k", [None, None]),
    ],
)
def test_a_segment_knows_what_an_earlier_one_made_for_its_session_alone(
    text: str, needs: list[tuple[str, int] | None]
) -> None:
    assert [each and (each.name, each.segment) for each in needed(text)] == needs


def test_a_statement_alone_knows_and_makes_what_its_session_alone_has() -> None:
    text = "DO $$ BEGIN CREATE TEMP TABLE k (); END $$; CREATE TEMP TABLE l (); TABLE l; TABLE k"

    assert needed(text, transactional=False) == [None, None, Temporary("l", 1), Temporary("k", 0)]
