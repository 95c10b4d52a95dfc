"""An admin URL that leads to another server than the target's: nothing is made on the wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.database import Database, connected
from harness.processes import Pgready
from harness.server import Server

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

NOTES = {"sql/0001_notes.sql": "CREATE TABLE notes (id bigint);"}
ROLE = {**NOTES, "pgready.toml": '[[role]]\nname = "only_here"\n'}
ANOTHER = "leads to another server"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Server]:
    """Another server, with the same superuser and password."""
    with Server.running() as running:
        yield running


def environment(target: str, admin: Server, database: str = "postgres") -> dict[str, str]:
    return {"PGREADY_DATABASE_URL": target, "PGREADY_ADMIN_DATABASE_URL": admin.url(database)}


async def names(server: Server) -> set[str]:
    """The roles and databases of *server*."""
    async with connected(server, "postgres") as admin:
        rows = await admin.fetch("SELECT rolname AS name FROM pg_roles UNION SELECT datname FROM pg_database")
    return {row["name"] for row in rows}


async def test_a_role_is_not_made_on_another_server(
    database: Database, elsewhere: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    before = await names(elsewhere)
    result = await pgready("up", env=environment(database.url, elsewhere), cwd=sql_folder(ROLE))

    assert result.exit_code == 2, result.stderr
    assert ANOTHER in result.stderr
    assert await names(elsewhere) == before


async def test_a_database_is_not_made_on_another_server(
    server: Server, elsewhere: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    before = await names(elsewhere)
    result = await pgready("up", env=environment(server.url("adx9"), elsewhere), cwd=sql_folder(NOTES))

    assert result.exit_code == 2, result.stderr
    assert ANOTHER in result.stderr
    assert await names(elsewhere) == before


async def test_a_schema_is_not_made_in_a_database_of_that_name_on_another_server(
    database: Database, elsewhere: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    elsewhere.psql(f"CREATE DATABASE {database.name}")
    declared = {**NOTES, "pgready.toml": '[[schema]]\nname = "media"\n'}
    result = await pgready("up", env=environment(database.url, elsewhere), cwd=sql_folder(declared))

    assert result.exit_code == 2, result.stderr
    assert elsewhere.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'media'", database.name) == "0\n"


async def test_an_extension_is_not_asked_of_another_server_that_lacks_the_database(
    database: Database, elsewhere: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    result = await pgready(
        "up", "--extensions", "pg_trgm", env=environment(database.url, elsewhere), cwd=sql_folder(NOTES)
    )

    assert result.exit_code == 2, result.stderr
    assert ANOTHER in result.stderr
    assert f":{elsewhere.port}/" in result.stderr
    assert f":{database.server.port}/" in result.stderr


async def test_a_database_that_is_missing_where_it_was_made_is_told_so(
    server: Server, database: Database, elsewhere: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    """The target's role is let into no other database, so nothing can be proven before."""
    name = f"{database.name}_closed"
    role = await database.role("closed")
    await database.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    elsewhere.psql(f"CREATE ROLE {role.name}")
    try:
        env = environment(server.url(name, role.name, role.password), elsewhere)
        result = await pgready("up", "--connect-timeout", "1s", env=env, cwd=sql_folder(NOTES))
    finally:
        await database.execute("GRANT CONNECT ON DATABASE postgres TO PUBLIC")

    assert result.exit_code == 2, result.stderr
    assert "does not exist, but at the admin URL" in result.stderr
    assert ANOTHER in result.stderr


async def test_a_role_that_was_made_elsewhere_is_a_hint_where_it_is_refused(
    server: Server, elsewhere: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    declared = '[[role]]\nname = "made_elsewhere"\npassword_env = "OWNER_PASSWORD"\n'
    env = {
        **environment(server.url("postgres", "made_elsewhere", "secret"), elsewhere),
        "OWNER_PASSWORD": "secret",
    }
    result = await pgready("up", env=env, cwd=sql_folder({**NOTES, "pgready.toml": declared}))

    assert result.exit_code == 4, result.stderr
    assert "the admin URL, leads to the same server" in result.stderr


async def test_an_admin_behind_another_address_of_the_same_server_is_known(
    server: Server, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    name = f"{database.name}_beside"
    declared = {"sql/0001_nothing.sql": "SELECT 1;", "pgready.toml": f'[[role]]\nname = "{name}"\n'}
    reader = await database.role("reader")
    await database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {reader.name}")
    admin = f"postgresql:///postgres?host={server.socket_directory}&port={server.port}&user=postgres"
    env = {"PGREADY_DATABASE_URL": reader.url, "PGREADY_ADMIN_DATABASE_URL": admin}
    result = await pgready("up", env=env, cwd=sql_folder(declared))
    await database.execute(f"DROP ROLE {name}")

    assert result.exit_code == 0, result.stderr
