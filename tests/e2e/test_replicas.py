"""Promise 1: any number of replicas started at once on an empty server apply each migration exactly once."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import httpx
import pytest

from harness import files, oracle
from harness.database import Database
from harness.oracle import LEDGER, noted
from harness.processes import Pgready, Running
from harness.server import Server

REPLICAS = int(os.environ.get("PGREADY_TEST_REPLICAS") or 12)
DAEMONS = int(os.environ.get("PGREADY_TEST_DAEMONS") or 4)
"""How many start at once: `PGREADY_TEST_REPLICAS=50 PGREADY_TEST_DAEMONS=10` for a machine that is yours."""

PATIENCE_SECONDS = 60 + 4 * max(REPLICAS, DAEMONS)

DECLARED = """
extensions = ["pg_trgm", "uuid-ossp?", "extension_that_nobody_has?"]

[[role]]
name = "replica_readers"

[[role]]
name = "replica_app"
password_env = "APP_PASSWORD"
member_of = ["replica_readers"]

[[schema]]
name = "media"

[[extension]]
name = "hstore"
schema = "media"

[[grant]]
privileges = ["usage"]
on = { schema = "media" }
to = "replica_readers"

[[grant]]
privileges = ["connect"]
on = "database"
to = ["replica_readers", "replica_app"]

[[default_privileges]]
privileges = ["select"]
on = "tables"
schema = "media"
to = "replica_readers"

[[default_privileges]]
privileges = ["insert", "update"]
on = "tables"
schema = "media"
to = "replica_app"
"""

_PLAIN = range(3, 12)
FOLDER = {
    "pgready.toml": DECLARED,
    "sql/bootstrap/settings.sql": f"""
{LEDGER}
ALTER ROLE replica_app SET search_path = media;
{noted("bootstrap")}
""",
    "sql/migrations/0001_titles.sql": f"""
CREATE TABLE media.titles (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO media.titles SELECT n, 'title ' || n FROM generate_series(1, 5000) n;
{noted("0001")}
""",
    "sql/migrations/0002_index.sql": f"""
{noted("0002 before")}
CREATE INDEX CONCURRENTLY titles_name ON media.titles USING gin (name public.gin_trgm_ops);
{noted("0002 after")}
""",
    **{
        f"sql/migrations/{number:04}_table.sql": (
            f"CREATE TABLE media.t{number} (id bigint REFERENCES media.titles);\n{noted(f'{number:04}')}"
        )
        for number in _PLAIN
    },
    "sql/migrations/0012_index.sql": "CREATE INDEX CONCURRENTLY t3_id ON media.t3 (id);",
    "sql/repeatable/shelf.sql": f"CREATE OR REPLACE VIEW media.shelf AS TABLE media.titles; {noted('shelf')}",
    "sql/checks/names.sql": "SELECT id FROM media.titles WHERE name = '';",
}
EXPECTED_LEDGER = [
    "bootstrap", "0001", "0002 before", "0002 after", *(f"{number:04}" for number in _PLAIN), "shelf",
]  # fmt: skip
EXPECTED_VERSIONS = [f"{number:04}" for number in range(1, 13)]

# The server writes the SQLSTATE of every line into its log. These are the marks of a race that was lost.
SETTINGS = {"log_line_prefix": "%m [%p] <%e> ", "max_connections": "400"}
_RACES = re.compile(r"<(40P01|XX\w{3}|40001|57014)> (?:ERROR|FATAL|PANIC).*")


@pytest.fixture
async def empty_server(anyio_backend: str) -> AsyncIterator[Server]:
    """A server of its own with nothing on it: roles belong to the whole cluster."""
    with Server.running(SETTINGS) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return files.write(tmp_path / "app", FOLDER)


def environment(server: Server) -> dict[str, str]:
    return {"PGREADY_DATABASE_URL": server.url("media_library"), "APP_PASSWORD": "the app's own"}


async def knocking_at_once(server: Server, start: Callable[[], Running], count: int) -> list[Running]:
    """*count* replicas, all of which the server lets in at the same moment, however long they take to start.

    A stopped server answers nobody, while the kernel takes connections for it.
    """
    os.kill(server.pid, signal.SIGSTOP)
    try:
        running = [start() for _ in range(count)]
        for each in running:
            await each.wait_for("target.located", PATIENCE_SECONDS)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    return running


async def all_ends(running: list[Running]) -> list[int | None]:
    """The exit codes, once all have ended."""
    with anyio.fail_after(PATIENCE_SECONDS):
        for each in running:
            await each.wait(PATIENCE_SECONDS)
    return [each.exit_code for each in running]


async def assert_applied_once(server: Server) -> None:
    """Each migration, and the bootstrap script, happened once; everything that is declared is there."""
    database = Database(server, "media_library")
    found = await oracle.outcome(database)

    assert list(found.ledger) == EXPECTED_LEDGER
    assert [row[1] for row in found.history if row[0] == "versioned"] == EXPECTED_VERSIONS
    assert len(found.history) == len(EXPECTED_VERSIONS) + 2
    assert found.journal == ()
    assert await oracle.leftovers(database, within_seconds=5, indexes=False) == oracle.NOTHING
    assert await database.value("SELECT bool_and(indisvalid) FROM pg_index")
    assert (
        await database.value("SELECT count(*) FROM pg_extension WHERE extname IN ('pg_trgm', 'hstore')") == 2
    )
    assert await database.value("SELECT pg_has_role('replica_app', 'replica_readers', 'MEMBER')")
    assert await database.value("SELECT has_table_privilege('replica_readers', 'media.t5', 'SELECT')")
    assert await database.value("SELECT has_table_privilege('replica_app', 'media.t5', 'INSERT')")


def races(server: Server) -> list[str]:
    """Lines of the server's log that tell of a deadlock, an internal error or a cancelled statement."""
    return [match.group() for match in _RACES.finditer(server.log.read_text(errors="replace"))]


@pytest.mark.timeout(PATIENCE_SECONDS * 2)
async def test_replicas_started_at_once_on_an_empty_server_apply_everything_once(
    empty_server: Server, folder: Path, pgready: Pgready
) -> None:
    running = await knocking_at_once(
        empty_server, lambda: pgready.start("up", env=environment(empty_server), cwd=folder), REPLICAS
    )

    codes = await all_ends(running)

    failures = [each.stderr for each in running if each.exit_code]
    assert codes == [0] * REPLICAS, "\n\n".join(failures[:3])
    await assert_applied_once(empty_server)
    assert races(empty_server) == []
    applied = sum(each.stderr.count('"event":"migration.applied"') for each in running)
    assert applied == len(EXPECTED_VERSIONS) + 2


@pytest.mark.timeout(PATIENCE_SECONDS * 2)
async def test_daemons_started_at_once_on_an_empty_server_all_become_ready(
    empty_server: Server, folder: Path, pgready: Pgready
) -> None:
    command = ("serve", "--port", "0")
    running = await knocking_at_once(
        empty_server, lambda: pgready.start(*command, env=environment(empty_server), cwd=folder), DAEMONS
    )

    for each in running:
        await each.wait_for("stop with Ctrl-C", PATIENCE_SECONDS)
    async with httpx.AsyncClient(timeout=30) as client:
        answers = [(await client.get(_ready_url(each))).status_code for each in running]
    for each in running:  # each watches its target on one connection
        each.signal(signal.SIGTERM)
    ends = [(await each.wait()).exit_code for each in running]

    assert answers == [200] * DAEMONS
    assert ends == [0] * DAEMONS
    await assert_applied_once(empty_server)
    assert races(empty_server) == []


def _ready_url(daemon: Running) -> str:
    found = re.search(r"http://\S+/ready", daemon.stdout)
    assert found is not None, daemon.stdout
    return found.group()
