"""The real tools as judges: pgready goes on where a tool stopped, and the tool where pgready stopped.

Each test runs for each tool of harness.peers. Afterwards the tool must find nothing to complain of, and
history rows (but for their times) and schema must equal what the tool alone makes of the same folder.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from harness.database import Database
from harness.peers import PEERS
from harness.peers.peer import Peer, Ran, Step
from harness.processes import Pgready
from pgready.dialects import detect
from pgready.files import read_folder

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]

STEPS = (
    Step(1, "people", "CREATE TABLE people (id int PRIMARY KEY, name text);", "DROP TABLE people;"),
    Step(
        2,
        "greeting",
        "CREATE FUNCTION greeting(who text) RETURNS text LANGUAGE sql RETURN 'hello ' || who;",
        "DROP FUNCTION greeting(text);",
    ),
    Step(3, "pets", "CREATE TABLE pets (id int, owner int REFERENCES people);", "DROP TABLE pets;"),
    Step(4, "rows", "INSERT INTO people VALUES (1, 'Ann'), (2, 'a;b');", "DELETE FROM people;"),
    Step(5, "index", "CREATE INDEX pets_owner ON pets (owner);", "DROP INDEX pets_owner;"),
)
MERGED = Step(2, "merged", "CREATE TABLE merged (id int);", "DROP TABLE merged;")
WITHOUT_2 = (STEPS[0], STEPS[2])
BROKEN = Step(6, "broken", "CREATE TABLE half (id int);\nSELECT missing FROM people;", "DROP TABLE half;")
MENDED = Step(6, "broken", "CREATE TABLE half (id int);", "DROP TABLE half;")
CONCURRENT = Step(
    6,
    "concurrent",
    "CREATE INDEX CONCURRENTLY people_name ON people (name);",
    "DROP INDEX CONCURRENTLY people_name;",
    transactional=False,
)

Up = Callable[..., Awaitable[Any]]
State = tuple[list[tuple[Any, ...]], str]


@pytest.fixture(scope="module", params=PEERS, ids=lambda peer: peer.__name__)
def peer(request: pytest.FixtureRequest) -> Peer:
    made: Peer = request.param()
    return made


REVERTING = pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.reverts], indirect=True)


@pytest.fixture
def up(peer: Peer, pgready: Callable[..., Awaitable[Any]]) -> Up:
    """`pgready up` on a folder of the peer's."""
    named = ("--dialect", peer.dialect) if peer.named else ()

    async def run(folder: Path, database: Database, *flags: str) -> Any:
        env = {"DATABASE_URL": database.url}
        return await pgready("up", "--dir", str(folder), *named, *flags, env=env)

    return run


@pytest.fixture
def folder(peer: Peer, tmp_path: Path) -> Path:
    """All STEPS, as the peer writes them."""
    peer.write(tmp_path / "migrations", STEPS)
    return tmp_path / "migrations"


@pytest.fixture
def part(peer: Peer, tmp_path: Path) -> Path:
    """The first three of them."""
    peer.write(tmp_path / "part", STEPS[:3])
    return tmp_path / "part"


async def state(peer: Peer, database: Database) -> State:
    return await database.fetch(peer.rows), database.dump()


def accepted(ran: Ran) -> None:
    assert ran.ok, ran.output


def worked(done: Any) -> None:
    assert done.exit_code == 0, done.stderr


async def test_what_pgready_leaves_equals_what_the_tool_leaves(
    peer: Peer, up: Up, folder: Path, database: Database, other: Database
) -> None:
    accepted(peer.up(folder, other.url))

    worked(await up(folder, database))

    assert await state(peer, database) == await state(peer, other)


async def test_the_tool_finds_nothing_to_do_behind_pgready(
    peer: Peer, up: Up, folder: Path, database: Database
) -> None:
    worked(await up(folder, database))
    before = await state(peer, database)

    accepted(peer.up(folder, database.url))

    assert await state(peer, database) == before


async def test_pgready_finds_nothing_to_do_behind_the_tool(
    peer: Peer, up: Up, folder: Path, database: Database
) -> None:
    accepted(peer.up(folder, database.url))
    before = await state(peer, database)

    worked(await up(folder, database))

    assert await state(peer, database) == before


async def test_pgready_goes_on_where_the_tool_stopped(
    peer: Peer, up: Up, folder: Path, part: Path, database: Database, other: Database
) -> None:
    accepted(peer.up(folder, other.url))
    accepted(peer.up(part, database.url))

    worked(await up(folder, database))
    accepted(peer.up(folder, database.url))

    assert await state(peer, database) == await state(peer, other)


async def test_the_tool_goes_on_where_pgready_stopped(
    peer: Peer, up: Up, folder: Path, part: Path, database: Database, other: Database
) -> None:
    accepted(peer.up(folder, other.url))
    worked(await up(part, database))

    accepted(peer.up(folder, database.url))

    assert await state(peer, database) == await state(peer, other)


async def test_the_tool_goes_on_with_a_history_that_was_adopted_and_ejected(
    peer: Peer,
    pgready: Callable[..., Awaitable[Any]],
    part: Path,
    folder: Path,
    tmp_path: Path,
    database: Database,
    other: Database,
) -> None:
    accepted(peer.up(part, database.url))
    accepted(peer.up(folder, other.url))
    env = {"DATABASE_URL": database.url}
    theirs = ("--dir", str(folder), "--dialect", peer.dialect)
    native = tmp_path / "native"

    worked(await pgready("adopt", *theirs, "--to", str(native), env=env))
    worked(await pgready("up", "--dir", str(native), "--dialect", "native", env=env))
    worked(await pgready("eject", *theirs, env=env))
    ejected = await database.fetch(peer.rows)
    accepted(peer.up(folder, database.url))

    assert ejected == await database.fetch(peer.rows) == await other.fetch(peer.rows)


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS if not detect.make(peer.dialect).generator], indirect=True
)
async def test_the_tool_runs_what_new_writes(
    peer: Peer, pgready: Pgready, part: Path, database: Database
) -> None:
    accepted(peer.up(part, database.url))
    told = await pgready("new", "extra", "--dir", part, "--dialect", peer.dialect)
    fill(Path(told.stdout.splitlines()[0]), "CREATE TABLE extra (id int);")

    accepted(peer.up(part, database.url))

    assert [tuple(row) for row in await database.fetch("SELECT to_regclass('extra')::text")] == [("extra",)]


def fill(script: Path, sql: str) -> None:
    """Write *sql* where *script* has room for it: behind its first marker, if it has any."""
    marker, _, rest = script.read_text().partition("\n")  # of tern's the first line is empty
    script.write_text(f"{marker}\n{sql}\n{rest}")


@REVERTING
async def test_what_the_tool_reverts_pgready_applies_again(
    peer: Peer, up: Up, folder: Path, database: Database, other: Database
) -> None:
    accepted(peer.up(folder, other.url))
    worked(await up(folder, database))

    accepted(peer.down(folder, database.url))
    worked(await up(folder, database))
    accepted(peer.up(folder, database.url))

    assert await state(peer, database) == await state(peer, other)


@REVERTING
async def test_what_a_dialect_reverts_equals_what_the_tool_reverts(
    peer: Peer, up: Up, folder: Path, database: Database, other: Database
) -> None:
    worked(await up(folder, database))
    worked(await up(folder, other))
    accepted(peer.down(folder, other.url))

    await revert_newest(peer, folder, database)
    after = await state(peer, database), await state(peer, other)
    accepted(peer.up(folder, database.url))
    accepted(peer.up(folder, other.url))

    assert after[0] == after[1]
    assert await state(peer, database) == await state(peer, other)


async def revert_newest(peer: Peer, folder: Path, database: Database) -> None:
    """Run the newest migration's revert and forget it, as `pgready down` does."""
    dialect, read = detect.read(read_folder(str(folder)), dialect=peer.dialect, namespace="default")
    async with database.connect() as connection:
        rows = [dict(row) for row in await connection.fetch(dialect.select_history(frozenset()))]
        newest = read.migrations[-1]
        applied = next(each for each in dialect.match(rows, read) if each.version == newest.version)
        assert newest.revert is not None
        await connection.execute(newest.revert.text)
        await connection.execute(dialect.forget(applied))


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.runs_concurrently], indirect=True)
async def test_a_concurrent_index_leaves_what_the_tool_leaves(
    peer: Peer, up: Up, folder: Path, database: Database, other: Database
) -> None:
    peer.write(folder, [CONCURRENT])
    accepted(peer.up(folder, other.url))

    worked(await up(folder, database))
    await database.execute("DROP SCHEMA pgready CASCADE")  # our journal is all that differs
    accepted(peer.up(folder, database.url))

    assert await state(peer, database) == await state(peer, other)


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.merges], indirect=True)
async def test_a_file_merged_below_the_newest_is_applied_where_the_history_can_tell(
    peer: Peer, up: Up, tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "merged"
    peer.write(folder, WITHOUT_2)
    accepted(peer.up(folder, database.url))
    peer.write(folder, [MERGED])

    done = await up(folder, database)
    before = await state(peer, database)
    accepted(peer.up(folder, database.url))

    worked(done)
    assert ("out of order" in done.stdout + done.stderr) is peer.sees_merged
    assert await database.value("SELECT to_regclass('merged') IS NOT NULL") is peer.sees_merged
    assert await state(peer, database) == before


async def test_what_fails_with_pgready_leaves_no_trace_that_the_tool_minds(
    peer: Peer, up: Up, folder: Path, database: Database, other: Database
) -> None:
    worked(await up(folder, database))
    before = await state(peer, database)
    peer.write(folder, [BROKEN])

    failed = await up(folder, database)
    after = await state(peer, database)
    peer.write(folder, [MENDED])
    accepted(peer.up(folder, database.url))
    accepted(peer.up(folder, other.url))

    assert failed.exit_code == 1
    assert after == before
    assert await state(peer, database) == await state(peer, other)


async def test_what_failed_with_the_tool_is_refused_until_resolved_where_it_says_so(
    peer: Peer, up: Up, folder: Path, database: Database, other: Database, pgready: Any
) -> None:
    peer.write(folder, [BROKEN])
    assert not peer.up(folder, database.url).ok
    peer.write(folder, [MENDED])

    first = await up(folder, database)
    if peer.leaves_failed_row:
        flags = ("--dir", str(folder), "--dialect", peer.dialect)
        version = peer.version(BROKEN)
        env = {"DATABASE_URL": database.url}
        worked(await pgready("repair", version, "--not-done", *flags, env=env))
        await database.execute("DROP SCHEMA pgready CASCADE")  # repair keeps who did it, and why
        worked(await up(folder, database))
    accepted(peer.up(folder, database.url))
    accepted(peer.up(folder, other.url))

    assert first.exit_code == (6 if peer.leaves_failed_row else 0)
    assert not peer.leaves_failed_row or "pgready repair" in first.stderr
    assert await state(peer, database) == await state(peer, other)


LOCKING = [peer for peer in PEERS if peer.locks]


@pytest.mark.parametrize("peer", LOCKING, indirect=True)
async def test_the_tool_waits_for_a_key_that_pgready_holds(
    peer: Peer, folder: Path, database: Database
) -> None:
    dialect = detect.make(peer.dialect)
    ran: list[Ran] = []

    async def start() -> None:
        ran.append(await anyio.to_thread.run_sync(peer.up, folder, database.url))

    async with database.connect() as ours, anyio.create_task_group() as group:
        for key in dialect.lock_keys(database.name):
            await ours.execute(f"SELECT pg_advisory_lock({key})")
        group.start_soon(start)
        while not await database.value(peer.waiting):
            await anyio.sleep(0.01)
        nothing = await database.value("SELECT to_regclass('people') IS NULL")
        await ours.execute("SELECT pg_advisory_unlock_all()")

    accepted(ran[0])
    assert nothing


@pytest.mark.parametrize("peer", LOCKING, indirect=True)
async def test_started_at_one_moment_nothing_is_applied_twice(
    peer: Peer, up: Up, tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "race"
    for number in range(1, 51):
        steps = [
            Step(2 * number - 1, "table", f"CREATE TABLE t{number} (n int);", "SELECT 1;"),
            Step(2 * number, "row", f"INSERT INTO t{number} VALUES (1);", "SELECT 1;"),
        ]
        peer.write(folder, steps)
        ran: list[Ran] = []

        async with anyio.create_task_group() as group:

            async def start_peer() -> None:
                ran.append(await anyio.to_thread.run_sync(peer.up, folder, database.url))  # noqa: B023

            group.start_soon(start_peer)
            done = await up(folder, database)

        worked(done)
        accepted(ran[0])
        assert await database.value(f"SELECT count(*) FROM t{number}") == 1
