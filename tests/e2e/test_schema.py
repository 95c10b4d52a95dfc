"""`pgready schema` as people and programs meet it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.database import Database
from harness.pgbouncer import PgBouncer
from harness.processes import Pgready

SHOP = """
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id bigint NOT NULL);
CREATE TABLE tenants (id bigint PRIMARY KEY, name text DEFAULT 'nobody');
"""


async def test_the_overview_lists_the_tables(database: Database, pgready: Pgready) -> None:
    await database.execute(SHOP)

    result = await pgready("schema", env={"PGREADY_DATABASE_URL": database.url})

    assert result.exit_code == 0, result.stderr
    assert "2 tables and views" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines() if "  table  " in line] == [
        "orders",
        "tenants",
    ]
    assert result.stderr == ""


async def test_a_name_shows_one_table(database: Database, pgready: Pgready) -> None:
    await database.execute(SHOP)

    result = await pgready("schema", "tenants", env={"PGREADY_DATABASE_URL": database.url})

    assert result.stdout.startswith("public.tenants · table · owner postgres\n")
    assert "default 'nobody'::text" in result.stdout


async def test_json_carries_the_version_of_its_form(database: Database, pgready: Pgready) -> None:
    await database.execute(SHOP)

    result = await pgready(
        "schema", "--output", "json", "--search", "tenant_id", env={"PGREADY_DATABASE_URL": database.url}
    )

    document = json.loads(result.stdout)
    assert next(iter(document.items())) == ("schema", 1)
    assert [relation["name"] for relation in document["relations"]] == ["orders"]


async def test_a_mistyped_table_is_answered_with_the_right_one(database: Database, pgready: Pgready) -> None:
    await database.execute(SHOP)

    result = await pgready("schema", "ordres", env={"PGREADY_DATABASE_URL": database.url})

    assert result.exit_code == 2
    assert "no table or view is called ordres (did you mean orders?)" in result.stderr
    assert result.stdout == ""


async def test_a_search_that_finds_nothing_says_so(database: Database, pgready: Pgready) -> None:
    await database.execute(SHOP)

    result = await pgready("schema", "--search", "zzz", env={"PGREADY_DATABASE_URL": database.url})

    assert result.exit_code == 0
    assert "no table or view matches" in result.stdout
    assert "no tables in" not in result.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("publik", "no schema is called publik (did you mean public?)"),
        ("pg_catalog", "the schema pg_catalog is hidden"),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
async def test_a_schema_that_cannot_be_shown_is_told(
    name: str, said: str, output: str, database: Database, pgready: Pgready
) -> None:
    await database.execute(SHOP)

    result = await pgready(
        "schema", "--in", name, "--output", output, env={"PGREADY_DATABASE_URL": database.url}
    )

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


async def test_an_empty_schema_is_one(database: Database, pgready: Pgready) -> None:
    await database.execute("CREATE SCHEMA empty")
    env = {"PGREADY_DATABASE_URL": database.url}

    shown = [
        await pgready("schema", *arguments, env=env)
        for arguments in (("--in", "empty"), ("--in", "pg_toast", "--system"))
    ]

    assert [each.exit_code for each in shown] == [0, 0]
    assert "no tables in empty" in shown[0].stdout


async def test_no_folder_is_needed_and_nothing_is_left_in_the_database(
    database: Database, pgready: Pgready, tmp_path: Path
) -> None:
    before = database.dump()

    result = await pgready(
        "schema", "--dir", tmp_path / "nowhere", env={"PGREADY_DATABASE_URL": database.url}
    )

    assert result.exit_code == 0
    assert database.dump() == before


async def test_no_server_is_told_in_a_line(pgready: Pgready) -> None:
    result = await pgready("schema", env={"PGREADY_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/d"})

    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.stderr and "hidden" not in result.stderr + result.stdout


@pytest.mark.pgbouncer
async def test_a_transaction_pooler_is_no_hindrance(
    database: Database, pgready: Pgready, pgbouncer: Callable[[str], PgBouncer]
) -> None:
    await database.execute(SHOP)
    pooler = pgbouncer("transaction")

    result = await pgready("schema", "orders", env={"PGREADY_DATABASE_URL": pooler.url(database.name)})

    assert result.stdout.startswith("public.orders")
