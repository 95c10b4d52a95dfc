"""A folder with every sort of script that a crash may hit, each of which notes in the ledger what it did."""

from __future__ import annotations

from .oracle import LEDGER, noted

_COPY = "".join(f"{number}\ttitle {number}\n" for number in range(1, 801))

SCRIPTS: dict[str, str] = {
    "bootstrap/ledger.sql": LEDGER + noted("bootstrap"),
    "migrations/0001_titles.sql": f"""
CREATE TABLE titles (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE seasons (id bigint PRIMARY KEY, title bigint NOT NULL REFERENCES titles);
{noted("0001")}
""",
    "migrations/0002_several_statements.sql": f"""
INSERT INTO titles SELECT n, 'first ' || n FROM generate_series(10001, 11000) n;
SELECT pg_sleep(0.03);
INSERT INTO seasons SELECT n, n FROM generate_series(10001, 10300) n;
{noted("0002")}
ALTER TABLE seasons ADD COLUMN episodes integer NOT NULL DEFAULT 0;
""",
    # The head and the data as pg_dump writes them.
    "migrations/0003_data.sql": f"""
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
{noted("0003")}
COPY public.titles (id, name) FROM stdin;
{_COPY}\\.
ANALYZE public.titles;
""",
    "migrations/0004_blocks.sql": f"""
BEGIN;
CREATE TABLE first_block (id integer);
{noted("0004 first")}
COMMIT;
BEGIN;
SELECT pg_sleep(0.02);
CREATE TABLE second_block (id integer);
{noted("0004 second")}
COMMIT;
{noted("0004 third")}
""",
    "migrations/0005_index.sql": f"""
{noted("0005 before")}
CREATE INDEX CONCURRENTLY titles_name ON titles (name);
{noted("0005 after")}
""",
    "migrations/0006_index_alone.sql": "CREATE UNIQUE INDEX CONCURRENTLY titles_key ON titles (id, name);",
    "migrations/0007_drop_index.sql": f"{noted('0007')}\nDROP INDEX CONCURRENTLY titles_key;",
    "migrations/0008_vacuum.sql": f"VACUUM (ANALYZE) titles;\n{noted('0008')}\nVACUUM seasons;",
    "migrations/0009_no_transaction.sql": f"""-- pgready: no-transaction
{noted("0009 first")}
INSERT INTO seasons SELECT n, n FROM generate_series(1, 200) n;
REINDEX TABLE seasons;
{noted("0009 last")}
""",
    # The names below mean something else to a session that has not run the first line.
    "migrations/0010_settings.sql": f"""
CREATE SCHEMA aside;
SET search_path = aside;
CREATE TABLE titles (id integer);
INSERT INTO titles SELECT generate_series(1, 300);
CREATE INDEX CONCURRENTLY titles_name ON titles (id);
INSERT INTO titles VALUES (301);
{noted("0010")}
""",
    # A build that takes long enough to die in; the server goes on with it for up to a second.
    "migrations/0011_slow_index.sql": f"""
CREATE TABLE pauses (id integer);
INSERT INTO pauses VALUES (1);
CREATE FUNCTION pause(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN $1; END $$;
{noted("0011 before")}
CREATE INDEX CONCURRENTLY pauses_id ON pauses (pause(id));
{noted("0011 after")}
""",
    "migrations/0012_partition.sql": f"""
CREATE TABLE views (day date NOT NULL, count integer) PARTITION BY RANGE (day);
CREATE TABLE views_old PARTITION OF views FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE views_new PARTITION OF views FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
{noted("0012 before")}
ALTER TABLE views DETACH PARTITION views_old CONCURRENTLY;
{noted("0012 after")}
""",
    "migrations/0013_wrapped.sql": f"""
BEGIN;
ALTER TABLE views ADD COLUMN note text;
{noted("0013")}
COMMIT;
""",
    "repeatable/shelf.sql": f"CREATE OR REPLACE VIEW shelf AS SELECT id, name FROM titles;\n{noted('shelf')}",
    "checks/names.sql": "SELECT id FROM titles WHERE name = '';",
}
