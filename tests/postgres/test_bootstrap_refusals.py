"""What the server refuses a bootstrap, or does by half: judged by the catalogue, and told with its cure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from harness.database import Database, Role
from pgready.core.bootstrap import Declared, Grant
from pgready.core.dsn import parse
from pgready.core.errors import AccessDenied
from pgready.core.events import Bootstrapped, Event
from pgready.database.bootstrap import bootstrap_target, look
from pgready.database.connect import open_session
from pgready.database.session import Session

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def session_at(url: str) -> AsyncIterator[Session]:
    session = await open_session(parse(url), application_name="test bootstrap")
    try:
        yield session
    finally:
        await session.close()


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
