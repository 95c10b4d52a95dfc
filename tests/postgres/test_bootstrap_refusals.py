"""What the server refuses a bootstrap, or does by half: judged by the catalogue, and told with its cure."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from harness.database import Database, Role
from harness.server import Server
from harness.sessions import session_at
from pgready.core import bootstrap
from pgready.core.bootstrap import DatabaseSpec, Declared, Extension, Grant, Schema
from pgready.core.errors import AccessDenied, BootstrapFailed
from pgready.core.events import Bootstrapped, DriftFound, Event, ServerNotice
from pgready.core.secrets import Secret
from pgready.database import bootstrap as making
from pgready.database.bootstrap import bootstrap_cluster, bootstrap_target, look

pytestmark = pytest.mark.anyio


def changes(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.what, event.action) for event in events if isinstance(event, Bootstrapped)]


def connecting(to: Role) -> Declared:
    return Declared(grants=(Grant(("CONNECT", "TEMPORARY"), "database", (), (to.name,)),))


async def test_a_grant_that_granted_nothing_is_denied(database: Database) -> None:
    weak, reader = await database.role("weak"), await database.role("reader")
    await database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {weak.name}")
    events: list[Event] = []

    async with session_at(weak.url) as session:
        with pytest.raises(AccessDenied) as denied:
            await bootstrap_target(session, connecting(reader), events.append)

    assert f"CONNECT, TEMPORARY on database to {reader.name}: the server granted nothing" in denied.value.what
    assert weak.name in str(denied.value.hint)
    assert events == []


async def test_a_grant_of_which_a_part_was_granted_is_denied(database: Database) -> None:
    weak, reader = await database.role("weak"), await database.role("reader")
    await database.execute(f"GRANT CONNECT ON DATABASE {database.name} TO {weak.name} WITH GRANT OPTION")

    async with session_at(weak.url) as session:
        with pytest.raises(AccessDenied):
            await bootstrap_target(session, connecting(reader), lambda _: None)


async def test_the_owner_grants_what_the_admin_may_not(database: Database) -> None:
    admin, owner, reader = [await database.role(word) for word in ("admin", "owner", "reader")]
    await database.execute(
        f"ALTER DATABASE {database.name} OWNER TO {owner.name};"
        f"GRANT CREATE ON DATABASE {database.name} TO {admin.name}"
    )
    events: list[Event] = []

    async with session_at(owner.url) as owning, session_at(admin.url) as helping:
        await bootstrap_target(owning, connecting(reader), events.append, admin=helping)
        needs = await look(owning, connecting(reader))

    assert changes(events) == [("grant", "granted")]
    assert not needs.target


@pytest.fixture
async def made(database: Database, server: Server) -> AsyncIterator[str]:
    """A name for a role and its database, which a test makes; both are dropped in the end."""
    name = f"{database.name}_made"
    yield name
    server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    server.psql(f"DROP ROLE IF EXISTS {name}")


async def test_who_may_create_roles_makes_a_database_for_the_role_it_creates(
    database: Database, made: str
) -> None:
    manager = await database.role("manager", "LOGIN CREATEROLE CREATEDB")
    declared = Declared(roles=(bootstrap.Role(made),))
    events: list[Event] = []

    async with session_at(manager.url) as session:
        if session.server_major < 16:
            pytest.skip("before 16 it may not, and is told the GRANT that it lacks")
        await bootstrap_cluster(session, declared, made, events.append, target_user=made)

    assert changes(events) == [("role", "created"), ("database", "created")]


async def test_an_owner_for_whom_the_admin_may_not_act_is_told_with_the_grant(
    database: Database, made: str
) -> None:
    manager, owner = await database.role("manager", "LOGIN CREATEDB"), await database.role("owner")
    declared = Declared(database=DatabaseSpec(owner=owner.name))

    async with session_at(manager.url) as session:
        with pytest.raises(AccessDenied) as denied:
            await bootstrap_cluster(session, declared, made, lambda _: None)

    option = " WITH SET TRUE" if session.server_major >= 16 else ""
    assert f'GRANT "{owner.name}" TO "{manager.name}"{option} (by' in str(denied.value.hint)


@pytest.mark.parametrize(
    ("declared", "cure"),
    [
        (Declared(extensions=(Extension("pg_trgm", schema="none"),)), "[[schema]]"),
        (Declared(schemas=(Schema("media", owner="ghost"),)), "[[role]]"),
        (Declared(grants=(Grant(("USAGE",), "schema", ("public",), ("ghost",)),)), "[[role]]"),
    ],
)
async def test_what_is_missing_is_told_with_what_makes_it(
    database: Database, declared: Declared, cure: str
) -> None:
    async with session_at(database.url) as session:
        with pytest.raises(BootstrapFailed) as failed:
            await bootstrap_target(session, declared, lambda _: None)

    assert cure in str(failed.value.hint)
    assert "contrib" not in str(failed.value.hint)


async def test_a_template_that_is_in_use_is_told_while_it_is_waited_for(
    database: Database, server: Server, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_TELL_SECONDS", 0.0)
    declared = Declared(database=DatabaseSpec(template=database.name))
    events: list[Event] = []

    async with session_at(database.url) as holder, session_at(server.url()) as admin:

        def leave(event: Event) -> None:
            events.append(event)
            holder.connection.terminate()

        await bootstrap_cluster(admin, declared, made, leave)

    told, *_, last = events
    message = (
        f'database {made}: source database "{database.name}" is being accessed by other users; tried again'
    )
    assert told == ServerNotice("WARNING", message, None)
    assert last == Bootstrapped("database", made, "created")


async def test_a_template_that_stays_in_use_is_told_with_the_way_out(
    database: Database, server: Server, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "RETRY_SECONDS", 0.0)
    declared = Declared(database=DatabaseSpec(template=database.name))

    async with session_at(database.url), session_at(server.url()) as admin:
        with pytest.raises(BootstrapFailed) as failed:
            await bootstrap_cluster(admin, declared, made, lambda _: None)

    assert failed.value.sqlstate == "55006"
    assert "[database] template" in str(failed.value.hint)


async def test_a_password_that_has_expired_is_not_changed_and_told(database: Database, made: str) -> None:
    manager = await database.role("manager", "LOGIN CREATEROLE")
    declared = Declared(roles=(bootstrap.Role(made, password=Secret("the same")),))
    events: list[Event] = []

    async with session_at(manager.url) as session:
        await bootstrap_cluster(session, declared, database.name, lambda _: None)
        await session.execute(f"ALTER ROLE {made} VALID UNTIL '2001-01-01'")
        await bootstrap_cluster(session, declared, database.name, events.append)

    assert changes(events) == []
    assert ["VALID UNTIL has passed" in e.difference for e in events if isinstance(e, DriftFound)] == [True]
