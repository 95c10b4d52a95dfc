"""Connecting once: each way in which it fails, in the terms that the decision to retry is made of."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from harness.database import Database
from harness.server import Server, free_port
from pgready.core.dsn import parse
from pgready.core.errors import AccessDenied, SettingsError, Unreachable
from pgready.core.secrets import Secret
from pgready.database.connect import CannotConnect, attempt_seconds, open_session
from pgready.database.session import Pooling, Session


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Session]:
    session = await open_session(parse(url), application_name="pgready test", timeout_seconds=10)
    try:
        yield session
    finally:
        await session.close()


async def refused(url: str, timeout_seconds: float = 10) -> CannotConnect:
    """Why it cannot connect to *url*."""
    with pytest.raises(CannotConnect) as raised:
        await open_session(parse(url), application_name="pgready test", timeout_seconds=timeout_seconds)
    return raised.value


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose connections are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_session_knows_who_and_where_it_is(database: Database) -> None:
    async with opened(database.url) as session:
        name = await session.fetchval("SELECT current_setting('application_name')")

    assert (session.database, session.user, session.pooling) == (database.name, "postgres", Pooling.DIRECT)
    assert session.server_major == database.server.version
    assert session.deadlock_timeout_ms == 1000
    assert name == "pgready test"


async def test_the_socket_directory_is_a_host(database: Database) -> None:
    server = database.server
    url = f"postgresql://postgres@/{database.name}?host={server.socket_directory}&port={server.port}"

    async with opened(url) as session:
        database_name = session.database

    assert database_name == database.name


async def test_the_first_host_that_answers_is_taken(database: Database) -> None:
    server = database.server
    closed = f"127.0.0.1:{free_port()}"

    async with opened(database.url.replace(f"{server.host}:", f"{closed},{server.host}:")) as session:
        found = session.database

    assert found == database.name


async def test_a_host_that_is_silent_leaves_the_next_one_its_turn(
    silent_port: int, database: Database
) -> None:
    server = database.server
    url = database.url.replace(f"{server.host}:", f"127.0.0.1:{silent_port},{server.host}:")

    session = await open_session(parse(url), application_name="pgready test", timeout_seconds=0.5)
    await session.close()

    assert session.database == database.name


@pytest.mark.parametrize(
    ("address", "left_seconds", "expected"),
    [
        ("postgresql://u@a/x", 60, 10),
        ("postgresql://u@a,b/x", 8, 4),
        ("postgresql://u@a,b/x", 0, 1),
        ("postgresql://u@a/x?connect_timeout=20", 60, 20),
        ("postgresql://u@a/x?connect_timeout=20", 3, 3),
    ],
)
def test_the_hosts_share_the_time_that_is_left(address: str, left_seconds: float, expected: float) -> None:
    assert attempt_seconds(parse(address), left_seconds) == expected


async def test_what_each_host_says_is_told(silent_port: int) -> None:
    closed = free_port()
    problem = await refused(f"postgresql://u:p@127.0.0.1:{silent_port},127.0.0.1:{closed}/x", 0.2)
    alike = await refused(f"postgresql://u:p@127.0.0.1:{closed},127.0.0.1:{free_port()}/x")

    assert problem.transient
    assert f"/x: 127.0.0.1:{silent_port}: no answer in time" in problem.error.what
    assert f"; 127.0.0.1:{closed}: Connection refused" in problem.error.what
    assert alike.error.what.endswith("/x: Connection refused")


async def test_a_password_that_one_host_refuses_is_not_tried_at_the_next_one(server: Server) -> None:
    port = f":{server.port}/"
    url = server.url(password="wrong").replace(port, f"{port[:-1]},127.0.0.1:{free_port()}/")

    problem = await refused(url)

    assert problem.error.sqlstate == "28P01"


async def test_each_host_is_given_its_own_password(database: Database) -> None:
    server = database.server
    dsn = parse(f"postgresql://postgres@127.0.0.1:{free_port()},{server.host}:{server.port}/{database.name}")
    dsn = dsn.with_passwords((Secret("wrong"), Secret(server.password)))

    session = await open_session(dsn, application_name="pgready test")
    await session.close()

    assert session.database == database.name


@pytest.mark.parametrize("kind", ["primary", "read-write", "prefer-standby"])
async def test_the_host_of_the_kind_that_is_wanted_is_taken(kind: str, database: Database) -> None:
    server = database.server
    url = database.url.replace(f"{server.host}:", f"127.0.0.1:{free_port()},{server.host}:")

    async with opened(f"{url}?target_session_attrs={kind}") as session:
        found = session.database

    assert found == database.name


async def test_what_time_may_cure_is_worth_trying_again(silent_port: int) -> None:
    closed = await refused(f"postgresql://u:p@127.0.0.1:{free_port()}/x")
    unknown = await refused("postgresql://u:p@no-such-host.invalid/x")
    silent = await refused(f"postgresql://u:p@127.0.0.1:{silent_port}/x?sslmode=disable", timeout_seconds=0.2)

    for problem in (closed, unknown, silent):
        assert problem.transient
        assert isinstance(problem.error, Unreachable)
        assert "u:***@" in problem.error.what
    assert "no answer in time" in silent.error.what


async def test_a_refused_connection_is_told_in_the_words_of_the_system() -> None:
    closed = await refused(f"postgresql://u:p@127.0.0.1:{free_port()}/x")

    assert str(closed.error).endswith("/x: Connection refused")


async def test_too_many_connections_are_worth_trying_again(database: Database) -> None:
    crowd = await database.role("crowd", "LOGIN CONNECTION LIMIT 1")

    async with opened(crowd.url):
        problem = await refused(crowd.url)

    assert problem.transient
    assert problem.error.sqlstate == "53300"


async def test_a_standby_is_no_primary_yet(database: Database) -> None:
    problem = await refused(f"{database.url}?target_session_attrs=standby")

    assert problem.transient
    assert "the server is not standby" in problem.error.what


async def test_a_missing_database_may_be_created(server: Server) -> None:
    problem = await refused(server.url("never_made"))

    assert (problem.missing_database, problem.transient) == (True, False)
    assert problem.error.sqlstate == "3D000"
    assert (problem.error.hint or "").startswith("pgready up creates it")


@pytest.mark.parametrize(
    ("user", "password", "hint"),
    [
        ("postgres", "wrong", "check the user, the password and pg_hba.conf"),
        ("nobody_of_that_name", "wrong", "check the user, the password and pg_hba.conf"),
        ("postgres", "", "no password was configured"),
    ],
)
async def test_a_wrong_password_or_user_is_not_tried_again(
    user: str, password: str, hint: str, server: Server
) -> None:
    url = server.url(user=user, password=password)
    if not password:
        url = url.replace(":@", "@")

    problem = await refused(url)

    assert not problem.transient
    assert isinstance(problem.error, AccessDenied)
    assert hint in (problem.error.hint or "")


async def test_a_role_that_may_not_connect_is_denied(database: Database) -> None:
    role = await database.role("outsider")
    await database.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC")

    problem = await refused(role.url)

    assert (problem.transient, type(problem.error)) == (False, AccessDenied)
    assert problem.error.hint == f'GRANT CONNECT ON DATABASE "{database.name}" TO "{role.name}"'


async def test_a_parameter_that_not_everybody_may_set_is_told(database: Database) -> None:
    role = await database.role("modest")

    problem = await refused(f"{role.url}?session_replication_role=replica")

    assert (problem.error.sqlstate, type(problem.error)) == ("42501", AccessDenied)
    assert "leave it out" in (problem.error.hint or "")


async def test_a_database_that_takes_no_connections_is_told(database: Database) -> None:
    async with opened(database.server.url()) as admin:
        await admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")

    problem = await refused(database.url)

    assert (problem.transient, problem.error.sqlstate) == (False, "55000")
    assert isinstance(problem.error, SettingsError)
    assert problem.error.hint == f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true'


@pytest.mark.parametrize(
    ("option", "sqlstate"), [("-cwork_mem=foo", "22023"), ("-cno_such_setting=1", "42704")]
)
async def test_a_parameter_that_the_server_refuses_is_a_matter_of_settings(
    option: str, sqlstate: str, database: Database
) -> None:
    problem = await refused(f"{database.url}?options={option}")

    assert (problem.transient, problem.error.sqlstate) == (False, sqlstate)
    assert isinstance(problem.error, SettingsError)
    assert "options" in (problem.error.hint or "")


@pytest.mark.parametrize("sslmode", ["sslmode=require", "sslmode=verify-full&sslrootcert=system"])
async def test_a_server_without_tls_is_a_matter_of_settings(sslmode: str, database: Database) -> None:
    problem = await refused(f"{database.url}?{sslmode}")

    assert not problem.transient
    assert isinstance(problem.error, SettingsError)
    assert "sslmode" in (problem.error.hint or "")


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_certificate_that_is_not_there_is_told(mode: str, database: Database) -> None:
    problem = await refused(f"{database.url}?sslmode={mode}&sslrootcert=/nowhere/root.crt")

    assert not problem.transient
    assert isinstance(problem.error, SettingsError)
    assert "sslrootcert cannot be used: No such file" in problem.error.what


@pytest.mark.parametrize("query", ["", "&sslmode=prefer", "&sslmode=allow"])
async def test_a_client_s_certificate_is_used_without_a_word_of_sslmode(query: str, server: Server) -> None:
    problem = await refused(f"{server.url()}?sslcert=/nowhere/client.crt&sslkey=/nowhere/client.key{query}")

    assert isinstance(problem.error, SettingsError)
    assert "sslcert, sslkey cannot be used: No such file" in problem.error.what


@pytest.mark.parametrize("sslmode", ["allow", "prefer"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGSSLNEGOTIATION", "direct"),
        ("PGSSLCERT", "/nowhere/client.crt"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv9"),
        ("PGGSSLIB", "none"),
    ],
)
async def test_libpq_s_variables_change_nothing_of_an_address(
    name: str, value: str, sslmode: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    async with opened(f"{database.url}?sslmode={sslmode}") as session:
        found = session.database

    assert found == database.name


async def test_a_wrong_password_is_told_whichever_way_is_tried_last(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLCERT", "/nowhere/client.crt")

    for sslmode in ("allow", "prefer"):
        problem = await refused(f"{server.url(password='wrong')}?sslmode={sslmode}")
        assert problem.error.sqlstate == "28P01"


async def test_a_server_that_is_no_postgresql_is_told() -> None:
    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            problem = await refused(f"postgresql://u:p@127.0.0.1:{port}/x", timeout_seconds=3)
            group.cancel_scope.cancel()

    assert f"127.0.0.1:{port}" in problem.error.what
    assert "u:***@" in problem.error.what
