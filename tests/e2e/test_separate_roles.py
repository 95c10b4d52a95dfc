"""Two addresses: an administrator's, which creates, and the owner's, which migrates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from harness.database import Database, connected
from harness.processes import Pgready
from harness.server import Server

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

PASSWORD = "owner/of the tests"
DECLARED = '[[role]]\nname = "{owner}"\npassword_env = "OWNER_PASSWORD"\n'


@pytest.fixture
async def owner(server: Server, database: Database) -> AsyncIterator[str]:
    """The name of a role, and of its database, that neither is there; both are dropped in the end."""
    name = f"{database.name}_owner"
    yield name
    async with connected(server, "postgres") as admin:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.execute(f"DROP ROLE IF EXISTS {name}")


def environment(server: Server, owner: str, password: str = PASSWORD) -> dict[str, str]:
    return {
        "PGREADY_ADMIN_DATABASE_URL": server.url("postgres"),
        "PGREADY_DATABASE_URL": server.url(owner, owner, password),
        "OWNER_PASSWORD": PASSWORD,
    }


def home(sql_folder: SqlFolder, declared: str) -> Path:
    """A working directory with a declaration and a migration."""
    return sql_folder({"pgready.toml": declared, "sql/0001_notes.sql": "CREATE TABLE notes (id bigint);"})


async def test_the_owner_that_migrates_is_created_first(
    server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    place = home(sql_folder, DECLARED.format(owner=owner))
    result = await pgready("up", env=environment(server, owner), cwd=place)

    assert result.exit_code == 0, result.stderr
    async with connected(server, owner) as connection:
        assert (
            await connection.fetchval("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'notes'")
            == owner
        )


async def test_the_drift_of_roles_is_kept_when_the_same_run_makes_the_database(
    server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    async with connected(server, "postgres") as admin:
        await admin.execute(f"CREATE ROLE {owner} CONNECTION LIMIT 5")
    role = f'[[role]]\nname = "{owner}"\nconnection_limit = 50\n'
    declared = f'extensions = ["no_such_thing?"]\n{role}[[schema]]\nname = "media"\n'
    place, env = home(sql_folder, declared), {"DATABASE_URL": server.url(owner)}

    makes, again = [await pgready("up", "--output", "json", env=env, cwd=place) for _ in range(2)]

    drift = json.loads(makes.stdout)["drift"]
    assert [line.split(":")[0] for line in sorted(drift)] == ["extension no_such_thing", f"role {owner}"]
    assert sorted(drift) == sorted(json.loads(again.stdout)["drift"])


async def test_a_password_that_is_wrong_all_the_same_is_refused(
    server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    place = home(sql_folder, DECLARED.format(owner=owner))
    result = await pgready("up", env=environment(server, owner, "another"), cwd=place)

    assert result.exit_code == 4, result.stderr
    assert "password authentication failed" in result.stderr


async def test_an_owner_that_is_not_declared_is_not_created(
    server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    place = home(sql_folder, "")
    result = await pgready("up", env=environment(server, owner), cwd=place)

    assert result.exit_code == 4, result.stderr
    async with connected(server, "postgres") as admin:
        assert await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", owner) == 0


async def test_looking_creates_no_owner(
    server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    place = home(sql_folder, DECLARED.format(owner=owner))
    result = await pgready("plan", env=environment(server, owner), cwd=place)
    status = await pgready("status", "--exit-code", env=environment(server, owner), cwd=place)

    assert (result.exit_code, status.exit_code) == (0, 7), result.stderr + status.stderr
    assert f"role {owner}: would be created" in result.stdout
    assert "0001" in status.stdout
    async with connected(server, "postgres") as admin:
        assert await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", owner) == 0


@pytest.mark.parametrize("command", ["plan", "status"])
async def test_who_looks_is_told_that_only_the_owner_is_missing(
    command: str, server: Server, database: Database, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    url = server.url(database.name, owner, PASSWORD)
    env = {**environment(server, owner), "PGREADY_DATABASE_URL": url}
    result = await pgready(command, env=env, cwd=home(sql_folder, DECLARED.format(owner=owner)))

    assert result.exit_code == 4, result.stderr
    assert f"the role {owner} does not exist" in result.stderr
    assert "pgready up creates it" in result.stderr


async def test_who_looks_with_a_wrong_password_is_refused(
    server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    async with connected(server, "postgres") as admin:
        await admin.execute(f"CREATE ROLE {owner} LOGIN PASSWORD 'another'")
    place = home(sql_folder, DECLARED.format(owner=owner))
    result = await pgready("wait", "--timeout", "30s", env=environment(server, owner), cwd=place)

    assert result.exit_code == 4, result.stderr
    assert "password authentication failed" in result.stderr
    assert result.seconds < 25


async def test_where_the_administrator_cannot_be_asked_the_role_may_be_missing(
    server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    env = {**environment(server, owner), "PGREADY_ADMIN_DATABASE_URL": server.url("never_made")}
    result = await pgready("plan", env=env, cwd=home(sql_folder, DECLARED.format(owner=owner)))

    assert result.exit_code == 4, result.stderr
    assert "or is the role not there yet? pgready up creates it" in result.stderr


@pytest.mark.parametrize("has_database", [False, True])
async def test_an_owner_that_is_yet_to_be_created_is_waited_for(
    has_database: bool, server: Server, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    if has_database:
        async with connected(server, "postgres") as admin:
            await admin.execute(f"CREATE DATABASE {owner}")
    grant = f'[[grant]]\nprivileges = ["create"]\non = "database"\nto = "{owner}"\n'
    place = home(sql_folder, DECLARED.format(owner=owner) + grant)
    place.joinpath("sql/0001_notes.sql").write_text("SELECT 1;")
    waiting = pgready.start("wait", "--timeout", "50s", env=environment(server, owner), cwd=place)
    await waiting.wait_for("connect.failed")
    up = await pgready("up", env=environment(server, owner), cwd=place)
    waited = await waiting.wait()

    assert (up.exit_code, waited.exit_code) == (0, 0), up.stderr + waited.stderr


async def test_a_missing_database_belongs_to_the_role_that_the_url_sets(
    server: Server, database: Database, owner: str, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    login = await database.role("login", "LOGIN CREATEDB")
    await database.execute(f"CREATE ROLE {owner} CREATEDB; GRANT {owner} TO {login.name}")
    place = sql_folder(
        {
            "pgready.toml": '[[schema]]\nname = "media"\n',
            "sql/0001_notes.sql": "CREATE TABLE media.notes (id bigint);",
        }
    )
    url = f"{server.url(owner, login.name, login.password)}?role={owner}"
    result = await pgready("up", env={"PGREADY_DATABASE_URL": url}, cwd=place)

    assert result.exit_code == 0, result.stderr
    async with connected(server, owner) as connection:
        owners = await connection.fetch(
            "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database() "
            "UNION ALL SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'media'"
        )
    assert [row[0] for row in owners] == [owner, owner]
