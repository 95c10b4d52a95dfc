"""Bootstrap on a real server: what is missing is made once, whoever else is at it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import anyio
import pytest
from msgspec.structs import replace

from harness.database import Database
from harness.server import Server
from harness.sessions import session_at
from pgready.core.bootstrap import DatabaseSpec, Declared, DefaultPrivileges, Extension, Grant, Role, Schema
from pgready.core.errors import AccessDenied, BootstrapFailed, LockNotObtained
from pgready.core.events import Bootstrapped, DriftFound, Event, LockWaited
from pgready.core.needs import Needs
from pgready.core.secrets import Secret
from pgready.database import lock
from pgready.database.bootstrap import CLUSTER_KEYS, bootstrap_cluster, bootstrap_target, look, needs_of_none
from pgready.database.connect import CannotConnect
from pgready.database.session import Session

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[Session]:
    async with session_at(server.url()) as session:
        yield session


@pytest.fixture
async def session(database: Database) -> AsyncIterator[Session]:
    async with session_at(database.url) as opened:
        yield opened


@pytest.fixture
async def name(server: Server, database: Database) -> AsyncIterator[Callable[[str], str]]:
    """Makes names of this test's own for roles and databases; they are dropped when it ends."""
    prefix = database.name

    yield lambda word: f"{prefix}_{word}"

    async with session_at(server.url()) as admin:
        databases = await admin.fetch("SELECT datname FROM pg_database WHERE datname LIKE $1", f"{prefix}_%")
        for row in databases:
            await admin.execute(f"DROP DATABASE {row['datname']} WITH (FORCE)")
        roles = [
            row["rolname"]
            for row in await admin.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE $1", f"{prefix}_%")
        ]
        async with session_at(database.url) as inside:
            for role in roles:
                await inside.execute(f"DROP OWNED BY {role} CASCADE")
        for role in roles:
            await admin.execute(f"DROP ROLE {role}")


def changes(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(event.what, event.name, event.action) for event in events if isinstance(event, Bootstrapped)]


def drifts(events: list[Event]) -> list[str]:
    return [f"{e.what} {e.name}: {e.difference}" for e in events if isinstance(e, DriftFound)]


async def stored_password(admin: Session, role: str) -> str:
    stored = await admin.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", role)
    assert isinstance(stored, str)
    return stored


async def may_log_in(server: Server, role: str, password: str) -> bool:
    try:
        async with session_at(server.url("postgres", role, password)):
            return True
    except CannotConnect:
        return False


async def test_look_sends_nothing_where_nothing_is_declared(session: Session) -> None:
    await session.close()

    assert await look(session, Declared()) == Needs()


async def test_cluster_bootstrap_creates_roles_memberships_and_the_database(
    admin: Session, name: Callable[[str], str]
) -> None:
    declared = Declared(
        roles=(
            Role(name("app"), password=Secret("pass wörd"), connection_limit=7, member_of=(name("group"),)),
            Role(name("group"), inherit=False),
        )
    )
    events: list[Event] = []

    await bootstrap_cluster(admin, declared, name("db"), events.append, target_user=name("app"))

    assert changes(events) == [
        ("role", name("app"), "created"),
        ("role", name("group"), "created"),
        ("membership", f"{name('app')} in {name('group')}", "granted"),
        ("database", name("db"), "created"),
    ]
    assert await admin.fetchval(
        "SELECT pg_get_userbyid(datdba) = $2 FROM pg_database WHERE datname = $1", name("db"), name("app")
    )


async def test_database_is_created_as_it_is_declared(admin: Session, name: Callable[[str], str]) -> None:
    spec = DatabaseSpec(owner=name("boss"), encoding="UTF8", locale="C", connection_limit=9)
    declared = Declared(database=spec, roles=(Role(name("boss")),))
    events: list[Event] = []

    await bootstrap_cluster(admin, declared, name("db"), events.append)
    await bootstrap_cluster(admin, declared, name("db"), events.append)

    assert ("database", name("db"), "created") in changes(events)
    assert drifts(events) == []


async def test_database_is_created_from_template1_while_others_are_connected_to_it(
    server: Server, name: Callable[[str], str]
) -> None:
    events: list[Event] = []

    async with session_at(server.url("template1")), session_at(server.url("template1")) as admin:
        await bootstrap_cluster(admin, Declared(), name("db"), events.append)

    assert changes(events) == [("database", name("db"), "created")]


async def test_role_logs_in_with_its_declared_password(
    server: Server, admin: Session, name: Callable[[str], str]
) -> None:
    declared = Declared(roles=(Role(name("app"), password=Secret("pass wörd")),))

    await bootstrap_cluster(admin, declared, "postgres", lambda _: None)

    assert await may_log_in(server, name("app"), "pass wörd")


async def test_second_bootstrap_changes_nothing_and_takes_no_lock(
    admin: Session, server: Server, name: Callable[[str], str]
) -> None:
    declared = Declared(roles=(Role(name("app"), password=Secret("first")),))
    await bootstrap_cluster(admin, declared, "postgres", lambda _: None)
    events: list[Event] = []

    async with session_at(server.url()) as other:
        assert await lock.try_take(other, CLUSTER_KEYS)
        await bootstrap_cluster(admin, declared, "postgres", events.append, patience_seconds=0)

    assert events == []


async def test_changed_password_is_rotated_and_an_equal_one_is_not_written(
    admin: Session, server: Server, name: Callable[[str], str]
) -> None:
    role = Role(name("app"), password=Secret("first"))
    await bootstrap_cluster(admin, Declared(roles=(role,)), "postgres", lambda _: None)
    before = await stored_password(admin, role.name)
    await bootstrap_cluster(admin, Declared(roles=(role,)), "postgres", lambda _: None)
    assert await stored_password(admin, role.name) == before
    events: list[Event] = []

    rotated = replace(role, password=Secret("second"))
    await bootstrap_cluster(admin, Declared(roles=(rotated,)), "postgres", events.append)

    assert changes(events) == [("role", role.name, "password changed")]
    assert await may_log_in(server, role.name, "second")
    assert not await may_log_in(server, role.name, "first")


async def test_password_is_rotated_by_a_role_that_cannot_read_passwords(
    admin: Session, server: Server, database: Database, name: Callable[[str], str]
) -> None:
    manager = await database.role("manager", "LOGIN CREATEROLE")
    role = Role(name("app"), password=Secret("first"))
    seen: list[list[tuple[str, str, str]]] = []
    async with session_at(manager.url) as managing:
        for password in ("first", "first", "second"):
            events: list[Event] = []
            declared = Declared(roles=(replace(role, password=Secret(password)),))
            await bootstrap_cluster(managing, declared, database.name, events.append)
            seen.append(changes(events))

    assert seen == [
        [("role", role.name, "created")],
        [],
        [("role", role.name, "password changed")],
    ]
    assert await may_log_in(server, role.name, "second")


async def test_look_asks_for_the_cluster_bootstrap_where_it_cannot_compare_a_password(
    admin: Session, database: Database, name: Callable[[str], str]
) -> None:
    reader = await database.role("reader")
    declared = Declared(roles=(Role(name("app"), password=Secret("first")),))
    await bootstrap_cluster(admin, declared, database.name, lambda _: None)

    async with session_at(reader.url) as reading:
        needs = await look(reading, declared)
        status = await look(reading, declared, compare_passwords=False)

    assert needs == Needs(cluster=True)
    assert not status.cluster
    assert "cannot be compared" in status.drift[0].difference


async def test_password_never_reaches_the_servers_log(name: Callable[[str], str]) -> None:
    role = Role(name("app"), password=Secret("Sesame-Open-4711"))
    with Server.running({"log_statement": "all", "log_min_duration_statement": "0"}) as server:
        async with session_at(server.url()) as admin:
            await bootstrap_cluster(admin, Declared(roles=(role,)), "postgres", lambda _: None)
            rotated = replace(role, password=Secret("Sesame-Close-0815"))
            await bootstrap_cluster(admin, Declared(roles=(rotated,)), "postgres", lambda _: None)
        log = server.log.read_text()

    assert "ALTER ROLE" in log
    assert "Sesame" not in log


async def test_attributes_that_differ_are_reported_and_left_alone(
    admin: Session, name: Callable[[str], str]
) -> None:
    await bootstrap_cluster(
        admin, Declared(roles=(Role(name("app"), login=True),)), "postgres", lambda _: None
    )
    events: list[Event] = []

    changed = Role(name("app"), login=False, connection_limit=3)
    await bootstrap_cluster(admin, Declared(roles=(changed,)), "postgres", events.append)

    assert changes(events) == []
    assert drifts(events) == [
        f"role {name('app')}: login is true, not false",
        f"role {name('app')}: connection_limit is -1, not 3",
    ]


def _target(name: Callable[[str], str]) -> Declared:
    return Declared(
        roles=(Role(name("reader")),),
        schemas=(Schema("media"), Schema("stats", owner=name("reader"))),
        extensions=(Extension("pg_trgm"), Extension("earthdistance")),
        grants=(
            Grant(("USAGE",), "schema", ("media",), (name("reader"), "public")),
            Grant(("SELECT",), "all_tables", ("media",), (name("reader"),)),
            Grant(("CONNECT", "TEMPORARY"), "database", (), (name("reader"),)),
        ),
        default_privileges=(
            DefaultPrivileges(("SELECT",), "tables", (name("reader"),), schema="media"),
            DefaultPrivileges(("ALL",), "sequences", (name("reader"),)),
        ),
    )


async def _all(admin: Session, session: Session, declared: Declared) -> list[Event]:
    events: list[Event] = []
    await bootstrap_cluster(admin, declared, session.database, events.append, target_user=session.user)
    await bootstrap_target(session, declared, events.append)
    return events


async def test_target_bootstrap_makes_all_that_is_declared(
    admin: Session, session: Session, name: Callable[[str], str]
) -> None:
    events = await _all(admin, session, _target(name))

    made = [(what, action) for what, _, action in changes(events)]
    assert made == [
        ("role", "created"),
        ("schema", "created"),
        ("schema", "created"),
        ("extension", "created"),
        ("extension", "created"),
        ("grant", "granted"),
        ("grant", "granted"),
        ("default privileges", "granted"),
        ("default privileges", "granted"),
    ]
    assert await look(session, _target(name)) == Needs()


async def test_what_a_database_that_is_not_there_needs_is_what_is_made_in_a_new_one(
    admin: Session, session: Session, name: Callable[[str], str]
) -> None:
    needs = needs_of_none(_target(name), session.database, session.user)
    events = await _all(admin, session, _target(name))

    role, database, *others = [(task.what, task.name, task.action) for task in needs.tasks]
    assert role == ("role", name("reader"), "created, unless it is there")
    assert database == ("database", session.database, "created")
    assert others == changes(events)[1:]
    assert (needs.cluster, needs.target) == (True, True)


async def test_default_privileges_reach_a_table_that_is_created_later(
    admin: Session, session: Session, name: Callable[[str], str]
) -> None:
    await _all(admin, session, _target(name))

    await session.execute("CREATE TABLE media.titles (id serial)")

    assert await session.fetchval("SELECT has_table_privilege($1, 'media.titles', 'SELECT')", name("reader"))
    assert await look(session, _target(name)) == Needs()


async def test_grant_on_all_tables_is_made_up_for_a_table_that_lacks_it(
    admin: Session, session: Session, name: Callable[[str], str]
) -> None:
    declared = replace(_target(name), default_privileges=())
    await _all(admin, session, declared)
    await session.execute("CREATE TABLE media.titles (id int)")
    assert (await look(session, declared)).target
    events: list[Event] = []

    await bootstrap_target(session, declared, events.append)

    assert [what for what, _, _ in changes(events)] == ["grant"]
    assert not (await look(session, declared)).target


async def test_grant_on_a_table_that_does_not_exist_yet_waits(session: Session) -> None:
    declared = Declared(grants=(Grant(("SELECT",), "table", ("media.titles",), ("public",)),))
    events: list[Event] = []

    await bootstrap_target(session, declared, events.append)

    assert drifts(events) == [
        "grant SELECT on table media.titles to public: "
        "table media.titles does not exist yet; granted at a start when it does"
    ]
    assert not (await look(session, declared)).target


async def test_look_works_for_a_role_that_may_only_read_the_catalogue(
    admin: Session, session: Session, database: Database, name: Callable[[str], str]
) -> None:
    await _all(admin, session, replace(_target(name), default_privileges=()))
    reader = await database.role("reader")

    async with session_at(reader.url) as reading:
        needs = await look(reading, replace(_target(name), default_privileges=()))

    assert needs == Needs()


async def test_extension_that_the_server_lacks_is_named_with_what_provides_it(session: Session) -> None:
    declared = Declared(extensions=(Extension("pg_cron"), Extension("pg_trgm"), Extension("pgvector")))

    with pytest.raises(BootstrapFailed) as failed:
        await bootstrap_target(session, declared, lambda _: None)

    assert "extension pg_cron" in failed.value.what
    assert f"postgresql-{session.server_major}-cron" in str(failed.value.hint)
    assert "pgvector: its name is vector" in str(failed.value.hint)
    assert await session.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'") == 0


async def test_optional_extension_that_the_server_lacks_is_reported(session: Session) -> None:
    declared = Declared(extensions=(Extension("pg_cron", optional=True), Extension("pg_trgm")))
    events: list[Event] = []

    await bootstrap_target(session, declared, events.append)

    assert changes(events) == [("extension", "pg_trgm", "created")]
    assert "optional, so left out" in drifts(events)[0]
    assert not (await look(session, declared)).target


async def test_extension_is_updated_to_the_version_that_is_asked_for(session: Session) -> None:
    await session.execute("CREATE EXTENSION pg_trgm VERSION '1.3'")
    declared = Declared(extensions=(Extension("pg_trgm", version="1.5"),))
    events: list[Event] = []

    await bootstrap_target(session, declared, events.append)

    assert changes(events) == [("extension", "pg_trgm", "updated to 1.5")]
    assert await session.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'pg_trgm'") == "1.5"


async def test_extension_that_cannot_be_updated_is_drift(session: Session) -> None:
    await session.execute("CREATE EXTENSION pg_trgm")
    declared = Declared(extensions=(Extension("pg_trgm", version="1.3"),))
    events: list[Event] = []

    await bootstrap_target(session, declared, events.append)

    assert changes(events) == []
    assert re.search(r"version is [\d.]+, and the server cannot update it to 1.3", drifts(events)[0])


async def test_missing_privilege_names_the_admin_url(database: Database) -> None:
    weak = await database.role("weak")
    declared = Declared(schemas=(Schema("media"),))

    async with session_at(weak.url) as session:
        with pytest.raises(AccessDenied) as denied:
            await bootstrap_target(session, declared, lambda _: None)

    assert "PGREADY_ADMIN_DATABASE_URL" in str(denied.value.hint)
    assert weak.name in str(denied.value.hint)


async def test_untrusted_extension_without_the_right_names_the_admin_url(database: Database) -> None:
    weak = await database.role("weak")
    declared = Declared(extensions=(Extension("pageinspect"),))

    async with session_at(weak.url) as session:
        with pytest.raises(AccessDenied) as denied:
            await bootstrap_target(session, declared, lambda _: None)

    assert "PGREADY_ADMIN_DATABASE_URL" in str(denied.value.hint)
    assert denied.value.sqlstate == "42501"


async def test_optional_extension_without_the_right_is_reported(database: Database) -> None:
    weak = await database.role("weak")
    declared = Declared(extensions=(Extension("pageinspect", optional=True),))
    events: list[Event] = []

    async with session_at(weak.url) as session:
        await bootstrap_target(session, declared, events.append)

    assert changes(events) == []
    assert 'permission denied to create extension "pageinspect"' in drifts(events)[0]


async def test_admin_connection_makes_what_the_owner_may_not_and_the_owner_owns_it(
    database: Database, session: Session
) -> None:
    owner = await database.role("owner")
    declared = Declared(schemas=(Schema("media"),), extensions=(Extension("pageinspect"),))

    async with session_at(owner.url) as owning:
        await bootstrap_target(owning, declared, lambda _: None, admin=session)
        needs = await look(owning, declared)

    assert needs == Needs()
    assert (
        await session.fetchval("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'media'")
        == owner.name
    )


async def test_who_waits_in_vain_for_the_cluster_lock_is_told_who_holds_it(
    admin: Session, server: Server, name: Callable[[str], str]
) -> None:
    declared = Declared(roles=(Role(name("app")),))
    events: list[Event] = []

    async with session_at(server.url()) as holder:
        assert await lock.try_take(holder, CLUSTER_KEYS)
        with pytest.raises(LockNotObtained, match=f"pid {holder.backend_pid} "):
            await bootstrap_cluster(admin, declared, "postgres", events.append, patience_seconds=0.2)

    waits = [event for event in events if isinstance(event, LockWaited)]
    assert waits[0].holder is not None


async def test_cancelled_bootstrap_leaves_no_cluster_lock(
    admin: Session, server: Server, name: Callable[[str], str]
) -> None:
    declared = Declared(roles=(Role(name("app")), Role(name("other"))))

    with anyio.CancelScope() as scope:
        await bootstrap_cluster(admin, declared, "postgres", lambda _: scope.cancel())

    async with session_at(server.url()) as other:
        assert await lock.try_take(other, CLUSTER_KEYS)


SESSIONS = 8


async def _together(urls: list[str], work: Callable[[Session], object]) -> None:
    """Run *work* on a session for each of *urls*, all begun at once."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(session_at(url)) for url in urls]
        async with anyio.create_task_group() as group:
            for session in sessions:
                group.start_soon(work, session)  # type: ignore[arg-type]


async def test_many_replicas_bootstrap_an_empty_server_at_once(
    server: Server, database: Database, name: Callable[[str], str]
) -> None:
    target = _target(name)
    roles = (
        Role(name("reader"), member_of=(name("all"),)),
        Role(name("app"), password=Secret("secret"), member_of=(name("all"), name("reader"))),
        Role(name("all")),
    )
    declared = replace(target, roles=roles)
    events: list[Event] = []

    async def cluster(session: Session) -> None:
        await bootstrap_cluster(session, declared, name("db"), events.append)

    async def inside(session: Session) -> None:
        await bootstrap_target(session, declared, events.append)

    await _together([server.url()] * SESSIONS, cluster)
    # Without the target's lock, which is the caller's: the catalogue alone must decide.
    await _together([server.url(name("db"))] * SESSIONS, inside)

    # Two replicas may both have run a GRANT, which says nothing when there is nothing to do.
    made = [change for change in changes(events) if change[2] == "created"]
    assert len(made) == len(set(made)) == 3 + 1 + 2 + 2
    async with session_at(server.url(name("db"))) as session:
        assert await look(session, declared) == Needs()


async def test_tuple_concurrently_updated_reaches_nobody(
    database: Database, name: Callable[[str], str]
) -> None:
    # Different grants on the same objects, so that finding the other's grant there does not help.
    readers = [name(f"reader{number}") for number in range(4)]
    await database.execute("; ".join(f"CREATE ROLE {reader}" for reader in readers))
    everyone = ", ".join(readers)
    revoke = f"""
        REVOKE ALL ON SCHEMA public FROM {everyone};
        REVOKE ALL ON DATABASE {database.name} FROM {everyone};
        ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM {everyone}"""
    waiting = list(readers)

    async def work(session: Session) -> None:
        await bootstrap_target(session, _grants(waiting.pop()), lambda _: None)

    for _ in range(20):
        await database.execute(revoke)
        waiting = list(readers)
        await _together([database.url] * len(readers), work)

    async with session_at(database.url) as session:
        needs = [(await look(session, _grants(reader))).target for reader in readers]
    assert not any(needs)


def _grants(role: str) -> Declared:
    return Declared(
        grants=(
            Grant(("CREATE", "USAGE"), "schema", ("public",), (role,)),
            Grant(("CREATE",), "database", (), (role,)),
        ),
        default_privileges=(DefaultPrivileges(("SELECT",), "tables", (role,)),),
    )
