"""A fresh database for each test, on the session's server."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from .server import SUPERUSER, Server

_numbers = itertools.count(1)


def _fresh(prefix: str) -> str:
    return f"{prefix}_{os.getpid()}_{next(_numbers)}"


class Role:
    """A login role of one test."""

    def __init__(self, server: Server, name: str, database: str, password: str) -> None:
        self.name = name
        self.password = password
        self.url = server.url(database, name, password)


class Database:
    """An empty database; every call opens a connection of its own, so none stays behind to be counted."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.url = server.url(name)
        self._roles: list[str] = []

    @classmethod
    @asynccontextmanager
    async def fresh(cls, server: Server) -> AsyncIterator[Database]:
        """Yield a new empty database; it and its roles are dropped at the end, whoever is connected."""
        database = cls(server, _fresh("test"))
        async with connected(server, "postgres") as admin:
            await admin.execute(f"CREATE DATABASE {database.name} TEMPLATE template0")
        try:
            yield database
        finally:
            await database._drop()

    @asynccontextmanager
    async def connect(self, user: str = SUPERUSER) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection over the server's socket, as *user*, without password."""
        async with connected(self.server, self.name, user) as connection:
            yield connection

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows as tuples, which compare and print plainly."""
        async with self.connect() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

    async def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row."""
        async with self.connect() as connection:
            return await connection.fetchval(sql, *values)

    async def execute(self, sql: str) -> None:
        """Run a script of one or more statements."""
        async with self.connect() as connection:
            await connection.execute(sql)

    async def role(self, prefix: str = "role", options: str = "LOGIN") -> Role:
        """A new role with a password of its own; dropped after the test with all that it owns here."""
        name = _fresh(prefix)
        password = f"{name} has:a/password"
        await self.execute(f"CREATE ROLE {name} {options} PASSWORD '{password}'")
        self._roles.append(name)
        return Role(self.server, name, self.name, password)

    def dump(self, *options: str) -> str:
        """pg_dump's schema, without what differs between runs (comments, blank lines, its random key)."""
        text = self.server.dump(self.name, *(options or ("--schema-only",)))
        noise = re.compile(r"--|\\(un)?restrict |$")
        return "\n".join(line for line in text.splitlines() if not noise.match(line)) + "\n"

    async def _drop(self) -> None:
        async with connected(self.server, "postgres") as admin:
            await admin.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            for name in self._roles:
                await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@asynccontextmanager
async def connected(
    server: Server, database: str, user: str = SUPERUSER
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to any database of *server*, over its socket."""
    connection = await asyncpg.connect(
        host=str(server.socket_directory), port=server.port, user=user, database=database,
        server_settings={"application_name": "test"}, password=server.password,
    )  # fmt: skip
    try:
        yield connection
    finally:
        await connection.close(timeout=5)
