"""Whoever may create in a schema plants operators there; no command of a superuser's runs one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from harness.daemon import Daemon
from harness.database import Database, connected
from harness.processes import Pgready, Result
from pgready.database import lock
from pgready.dialects.native import HISTORY

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

# For every pair of these types: an exact operator is taken wherever it stands in the search_path, so those
# that pg_catalog lacks may stand behind it, and the others in front of it.
_TRAPS = r"""
DO $$
DECLARE
    types text[] := '{"\"char\"",name,bool,int4,int8,oid,text,numeric,timestamptz,regclass,jsonb,_oid}';
    operators text[] := '{=,<>,<,>,>=,+,-,*,||,<<,->,->>,?,~~,^@}';
    l text; r text; o text;
BEGIN
    FOREACH l IN ARRAY types LOOP
        FOREACH r IN ARRAY types LOOP
            EXECUTE format('CREATE FUNCTION %3$s.trap(%1$s, %2$s) RETURNS bool LANGUAGE plpgsql
                AS ''BEGIN RAISE ''''caught: %1$s and %2$s''''; END''', l, r, :schema);
            FOREACH o IN ARRAY operators LOOP
                CONTINUE WHEN :lacking AND EXISTS (
                    SELECT FROM pg_operator WHERE oprname = o AND oprleft = l::regtype
                    AND oprright = r::regtype AND oprnamespace = 'pg_catalog'::regnamespace);
                EXECUTE format('CREATE OPERATOR %4$s.%1$s
                    (LEFTARG = %2$s, RIGHTARG = %3$s, FUNCTION = %4$s.trap)', o, l, r, :schema);
            END LOOP;
        END LOOP;
    END LOOP;
END $$
"""

_TYPES = "".join(
    f"CREATE DOMAIN evil.{name} AS pg_catalog.{name} CHECK (false);"
    for name in (
        "text",
        "name",
        '"char"',
        "oid",
        "regclass",
        "int8",
        "float8",
        "bool",
        "timestamptz",
        "jsonb",
    )
)


def traps(schema: str, *, lacking: bool) -> str:
    """What makes them in *schema*: all, or those that the server itself is *lacking*."""
    return _TRAPS.replace(":schema", f"'{schema}'").replace(":lacking", str(lacking))


FOLDER = {
    "pgready.toml": """\
extensions = ["plpgsql"]

[[role]]
name = "{role}"
member_of = ["pg_monitor"]
password_env = "ROLE_PASSWORD"

[[schema]]
name = "media"

[[grant]]
privileges = ["usage"]
on = {{ schema = "media" }}
to = "{role}"

[[grant]]
privileges = ["select"]
on = {{ all_tables = "media" }}
to = "{role}"

[[grant]]
privileges = ["execute"]
on = {{ all_functions = "media" }}
to = "{role}"

[[grant]]
privileges = ["connect"]
on = "database"
to = ["{role}"]

[[default_privileges]]
privileges = ["select"]
on = "tables"
schema = "media"
to = "{role}"
""",
    "sql/migrations/0001_titles.sql": "CREATE TABLE media.titles (id bigint);",
    "sql/migrations/0001_titles.down.sql": "DROP TABLE media.titles;",
    "sql/migrations/0002_index.sql": "CREATE INDEX CONCURRENTLY titles_id ON media.titles (id);",
    "sql/migrations/0002_index.down.sql": "DROP INDEX CONCURRENTLY media.titles_id;",
    "sql/repeatable/ids.sql": "CREATE OR REPLACE VIEW media.ids AS SELECT id FROM media.titles;",
}


@pytest.fixture
async def role(database: Database) -> AsyncIterator[str]:
    name = f"{database.name}_reader"
    yield name
    async with database.connect() as owner:
        await owner.execute(f"DROP OWNED BY {name}")
    async with connected(database.server, "postgres") as admin:
        await admin.execute(f"DROP ROLE {name}")


@pytest.fixture(params=["behind the server's own", "in front of the server's own"])
async def ambush(request: pytest.FixtureRequest, database: Database) -> None:
    if request.param == "behind the server's own":
        await database.execute(traps("public", lacking=True))
        return
    await database.execute("CREATE SCHEMA evil;" + traps("evil", lacking=False) + ";" + _TYPES)
    await database.execute(f"ALTER DATABASE {database.name} SET search_path = evil, pg_catalog, public")


@pytest.fixture
def home(role: str, sql_folder: SqlFolder) -> Path:
    return sql_folder({**FOLDER, "pgready.toml": FOLDER["pgready.toml"].format(role=role)})


Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def command(database: Database, pgready: Pgready, home: Path) -> Command:
    async def run(*arguments: str, code: int = 0) -> Result:
        result = await pgready(
            *arguments, cwd=home, env={"PGREADY_DATABASE_URL": database.url, "ROLE_PASSWORD": "of the role"}
        )
        assert "caught" not in result.stderr + result.stdout
        assert result.exit_code == code, result.stderr
        return result

    return run


@pytest.mark.usefixtures("ambush")
async def test_no_operator_of_somebody_elses_runs(command: Command, database: Database, home: Path) -> None:
    await command("status")
    await command("plan")
    await command("up")
    await command("wait", "--timeout", "5s")
    await command("schema")
    await command("schema", "media.titles")
    await command("schema", "media.title", code=2)
    await command("down", "--yes", "--to", "0001")
    await command("baseline", code=6)
    await command("up")

    async with database.connect() as other:  # who holds what, and what is under way, is asked for as well
        await other.execute("BEGIN; LOCK TABLE media.titles")
        (home / "sql/migrations/0003_name.sql").write_text(
            "ALTER TABLE media.titles ADD name pg_catalog.text;"
        )
        await command("up", "--relation-lock-timeout", "1s", code=5)
        main = lock.keys_for(HISTORY).main
        await other.fetchval("SELECT pg_catalog.pg_advisory_lock($1)", main)
        told = await command("up", "--lock-timeout", "1s", code=5)
        assert "held by" in told.stderr


async def test_what_watches_a_target_runs_no_operator_of_somebody_elses(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await database.execute(traps("public", lacking=True))
    daemon = await Daemon.ready(pgready, sql_folder({"0001_a.sql": "CREATE TABLE a (id bigint);"}), database)
    await database.execute("DELETE FROM pgready.history")  # it looks who is at work before it runs again
    await daemon.told("target.unsettled")

    assert "caught" not in daemon.running.stderr
