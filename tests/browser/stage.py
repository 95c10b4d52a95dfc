"""A daemon in any state that the page can show, each of them real."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import asyncpg
from anyio.abc import SocketStream, TaskGroup, TaskStatus

from harness import files
from harness.database import Database, connected
from harness.processes import Pgready, Running
from harness.server import HOST, Server, free_port
from pgready.database import lock
from pgready.dialects.native import HISTORY

NAMES = (
    "titles",
    "seasons_and_episodes",
    "genres",
    "people_and_credits",
    "accounts_and_profiles",
    "viewing_sessions",
    "viewing_statistics",
)
PAST = {
    f"migrations/{number:04}_{name}.sql": f"CREATE TABLE {name} (id integer);"
    for number, name in enumerate(NAMES, 1)
}
# The pause is in the server, so that an index on titles takes as long as one on a large table would.
LONG_AGO = """
UPDATE pgready.history SET
    applied_at = applied_at - (8 - version::integer) * interval '8 days 5 hours 13 minutes',
    duration_ms = (ARRAY[230, 180, 90, 610, 220, 480, 1840])[version::integer],
    applied_by = 'web-7d9f-x2k4l';
INSERT INTO titles SELECT generate_series(1, 1500);
CREATE FUNCTION pause(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN IF $1 > 0 THEN PERFORM pg_sleep(0.002); END IF; RETURN $1; END $$;
"""
LARGE = """
TRUNCATE titles;
INSERT INTO titles SELECT generate_series(-60000, 90000);
"""
INDEX = {
    "migrations/0008_index_title_search.sql": "CREATE INDEX CONCURRENTLY title_search ON titles (pause(id));",
    "migrations/0009_favourite_genre.sql": "ALTER TABLE accounts_and_profiles ADD favourite_genre integer;",
    "migrations/0010_title_embeddings.sql": "CREATE TABLE title_embeddings (title integer, model text);",
}
COMMENTED = {
    "migrations/0004_people_and_credits.sql": """-- Who was part of what.
CREATE TABLE people_and_credits (id integer);"""
}
LATER = COMMENTED | {
    f"migrations/{number:04}_{name}.sql": f"CREATE TABLE {name} AS SELECT generate_series(1, {rows}) AS id;"
    for number, (name, rows) in enumerate(
        {
            "favourite_genres": 100_000,
            "watch_lists": 400_000,
            "ratings": 900_000,
            "title_embeddings": 200_000,
            "subtitles": 10,
            "audio_tracks": 600_000,
        }.items(),
        8,
    )
}
BLOCKED = {
    "migrations/0008_favourite_genre.sql": """
INSERT INTO genres VALUES (1);
INSERT INTO genres VALUES (2);
INSERT INTO genres VALUES (3);
ALTER TABLE accounts_and_profiles ADD favourite_genre integer;
CREATE TABLE genre_names (id integer);
""",
}
BROKEN = {
    "migrations/0008_index_genres.sql": "CREATE INDEX genres_id ON genres (id);",
    "migrations/0009_shelf.sql": """-- What a profile is shown first.
CREATE VIEW shelf AS
SELECT titles.id, titles.name FROM titles JOIN genres USING (id);
""",
    "migrations/0010_title_embeddings.sql": "CREATE TABLE title_embeddings (title integer, model text);",
}


POD = {"PGREADY_ENV": "production", "POD_NAME": "web-5c8b-q7r2p"}


class Daemon:
    """`pgready serve` on a free port, at *url*."""

    def __init__(self, running: Running, url: str) -> None:
        self.running = running
        self.url = url


class Stage:
    """A database `media` on *server*, where seven migrations were applied over the past weeks."""

    def __init__(self, server: Server, home: Path) -> None:
        self.server = server
        self.media = Database(server, "media")
        self.pgready = Pgready(home / "processes")
        self._home = home
        self._folders = 0

    @classmethod
    @asynccontextmanager
    async def built(cls, server: Server, home: Path) -> AsyncIterator[Stage]:
        stage = cls(server, home)
        async with connected(server, "postgres") as admin:
            await admin.execute("CREATE DATABASE media")
            try:
                before = await stage.pgready(
                    "up", "--dir", stage.folder({}), env={"DATABASE_URL": stage.media.url}
                )
                assert before.exit_code == 0, before.stderr
                await stage.media.execute(LONG_AGO)
                yield stage
            finally:
                stage.pgready.close()
                await admin.execute("DROP DATABASE media WITH (FORCE)")

    def folder(self, more: Mapping[str, str]) -> Path:
        self._folders += 1
        return files.write(self._home / f"sql-{self._folders}", {**PAST, **more})

    def write(self, name: str, text: str) -> None:
        """Change a file of the newest folder."""
        files.write(self._home / f"sql-{self._folders}", {name: text})

    async def serve(self, more: Mapping[str, str], *options: str, url: str | None = None) -> Daemon:
        """A daemon that has *more* migrations than were applied in the past."""
        running = self.pgready.start(
            "serve", "--dir", self.folder(more), "--port", "0", *options,
            env={"DATABASE_URL": url or self.media.url, **POD},
        )  # fmt: skip
        await running.wait_for("listening on http")
        found = re.search(r"listening on (http://[^ \"]+)", running.stderr)
        assert found is not None
        return Daemon(running, found[1])

    @asynccontextmanager
    async def another(self, name: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A session of somebody else's."""
        async with self.media.connect() as other:
            await other.execute(f"SET application_name = '{name}'")
            yield other


class Relay:
    """A port of this machine where nobody listens, until it is opened and leads to *server*."""

    def __init__(self, server: Server, group: TaskGroup) -> None:
        self.port = free_port()
        self._server = server
        self._group = group
        self._open = anyio.CancelScope()

    def url(self, database: Database) -> str:
        parts = urlsplit(database.url)
        return parts._replace(netloc=parts.netloc.replace(f":{self._server.port}", f":{self.port}")).geturl()

    async def open(self) -> None:
        await self._group.start(self._listen)

    def close(self) -> None:
        """Cut whoever is connected, and let nobody in."""
        self._open.cancel()
        self._open = anyio.CancelScope()

    async def _listen(self, *, task_status: TaskStatus[None]) -> None:
        with self._open:
            async with await anyio.create_tcp_listener(local_host=HOST, local_port=self.port) as listener:
                task_status.started()
                await listener.serve(self._join)

    async def _join(self, client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp(HOST, self._server.port) as backend,
            anyio.create_task_group() as group,
        ):
            group.start_soon(_pump, client, backend, group)
            group.start_soon(_pump, backend, client, group)


async def _pump(source: SocketStream, sink: SocketStream, group: TaskGroup) -> None:
    try:
        async for data in source:
            await sink.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    group.cancel_scope.cancel()


# The states


@asynccontextmanager
async def connecting(stage: Stage) -> AsyncIterator[Daemon]:
    nobody = stage.media.url.replace(f":{stage.server.port}", f":{free_port()}")
    yield await stage.serve({}, "--connect-timeout", "10m", url=nobody)


@asynccontextmanager
async def waiting(stage: Stage) -> AsyncIterator[Daemon]:
    async with stage.another("pgready web-7d9f-m8s6k") as other:
        await other.fetchval("SELECT pg_advisory_lock($1)", lock.keys_for(HISTORY).main)
        yield await stage.serve(INDEX)


@asynccontextmanager
async def building(stage: Stage) -> AsyncIterator[Daemon]:
    await stage.media.execute(LARGE)
    yield await stage.serve(INDEX)


@asynccontextmanager
async def blocked(stage: Stage) -> AsyncIterator[Daemon]:
    async with stage.another("psql") as other:
        await other.execute("BEGIN; SELECT FROM accounts_and_profiles")
        yield await stage.serve(BLOCKED)


@asynccontextmanager
async def failed(stage: Stage) -> AsyncIterator[Daemon]:
    yield await stage.serve(BROKEN)


@asynccontextmanager
async def ready(stage: Stage) -> AsyncIterator[Daemon]:
    yield await stage.serve(LATER)


State = Callable[[Stage], AbstractAsyncContextManager[Daemon]]

STATES: Mapping[str, tuple[State, str, str]] = {
    "connecting": (connecting, "Connecting", "attempt"),
    "waiting": (waiting, "Waiting for the lock", "pgready web-7d9f-m8s6k"),
    "migrating": (building, "Migrating", "blocks"),
    "blocked": (blocked, "Waiting for a table lock", "psql"),
    "failed": (failed, "Failed", "SQLSTATE"),
    "ready": (ready, "Ready", "All 13 migrations are applied"),
}
"""How to get there, the word for it, and what else the page then says."""
