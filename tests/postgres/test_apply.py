"""A whole folder applied to a real server: in order, once, resumed where it stopped, told as it goes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream

import pgready
from harness.database import Database
from pgready.core import tally
from pgready.core.errors import LockNotObtained, MigrationFailed, PgreadyError
from pgready.core.events import (
    ConnectionLost,
    Event,
    LockTaken,
    MigrationApplied,
    MigrationStarted,
    ReadyReached,
    ServerNotice,
    StatementsRan,
)
from pgready.core.events import (
    MigrationFailed as MigrationFailedEvent,
)
from pgready.core.tokens import token_checksum
from pgready.database import lock
from pgready.dialects.native import HISTORY

Folder = Callable[[Mapping[str, str | bytes]], Path]

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LEDGER = "CREATE TABLE ledger (n int);"
WRITTEN = "SELECT n FROM ledger ORDER BY n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


async def migrate(database: Database, folder: Path) -> list[Event]:
    events: list[Event] = []
    await pgready.migrate(database.url, dir=folder, on_event=events.append)
    return events


async def failed(database: Database, folder: Path) -> tuple[PgreadyError, list[Event]]:
    events: list[Event] = []
    with pytest.raises(PgreadyError) as problem:
        await pgready.migrate(database.url, dir=folder, on_event=events.append)
    return problem.value, events


async def test_versions_run_by_number_and_once(database: Database, sql_folder: Folder) -> None:
    numbers = (10, 9, 2, 1)
    scripts = {f"{n}_x.sql": f"INSERT INTO ledger VALUES ({n});" for n in numbers}
    folder = sql_folder({**scripts, "0_ledger.sql": LEDGER})

    first, second = await migrate(database, folder), await migrate(database, folder)

    applied = [event.version for event in first if isinstance(event, MigrationApplied)]
    assert applied == ["0", "1", "2", "9", "10"]
    assert not [event for event in second if isinstance(event, MigrationStarted | MigrationApplied)]
    assert await database.fetch(WRITTEN) == [(n,) for n in sorted(numbers)]


async def test_a_value_that_a_commit_without_begin_made_can_be_used_behind_it(
    database: Database, sql_folder: Folder
) -> None:
    color = "CREATE TYPE color AS ENUM ('red');\nCREATE TABLE paint (c color);"
    script = "ALTER TYPE color ADD VALUE 'blue';\nCOMMIT;\nINSERT INTO paint VALUES ('blue');"
    folder = sql_folder({"1_color.sql": color, "2_blue.sql": script})

    first, second = await migrate(database, folder), await migrate(database, folder)

    assert [event.version for event in first if isinstance(event, MigrationApplied)] == ["1", "2"]
    assert not [event for event in second if isinstance(event, MigrationStarted | MigrationApplied)]
    assert await database.fetch("SELECT CAST(c AS text) FROM paint") == [("blue",)]


async def test_what_is_recorded_says_who_when_and_how_long(database: Database, sql_folder: Folder) -> None:
    await migrate(database, sql_folder({"1_nap.sql": "SELECT pg_sleep(0.1);"}))

    (row,) = await database.fetch(
        "SELECT version, name, segments, duration_ms BETWEEN 100 AND 30000, applied_by <> '',"
        " pgready_version, applied_at BETWEEN now() - interval '1 minute' AND now(),"
        " length(checksum), length(token_checksum) FROM pgready.history"
    )
    assert row == ("1", "nap", 1, True, True, pgready.__version__, True, 64, 64)


async def test_every_way_to_run_is_recorded_with_how_long_it_took(
    database: Database, sql_folder: Folder
) -> None:
    nap = "CREATE FUNCTION nap(n int) RETURNS int IMMUTABLE BEGIN ATOMIC SELECT n FROM pg_sleep(0.1); END;"
    scripts = {
        "1_ledger.sql": f"{LEDGER} INSERT INTO ledger VALUES (1); {nap}",
        "2_single.sql": "CREATE INDEX CONCURRENTLY slow ON ledger (nap(n));",
        "3_parts.sql": "BEGIN; SELECT pg_sleep(0.1); COMMIT; BEGIN; SELECT 1; COMMIT;",
        "4_whole.sql": "SELECT pg_sleep(0.1);",
    }

    await migrate(database, sql_folder(scripts))

    slow = "SELECT version FROM pgready.history WHERE duration_ms BETWEEN 100 AND 30000 ORDER BY 1"
    assert [version for version in await database.fetch(slow) if version != ("1",)] == [
        ("2",),
        ("3",),
        ("4",),
    ]


@pytest.mark.parametrize("name", [r'U&"ab\00e9"', "u&\"ab!00e9\" UESCAPE '!'"])
async def test_an_index_with_an_escaped_name_is_not_taken_for_built_where_its_build_failed(
    name: str, database: Database, sql_folder: Folder
) -> None:
    index = f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {name} ON ledger (n);"
    twice = f"{LEDGER} INSERT INTO ledger VALUES (1), (1);"
    folder = sql_folder({"1_ledger.sql": twice, "2_index.sql": index})
    await failed(database, folder)
    await database.execute("TRUNCATE ledger")

    await migrate(database, folder)

    valid = "SELECT relname::text, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    assert await database.fetch(f"{valid} WHERE indrelid = 'ledger'::regclass") == [("abé", True)]


async def test_a_resumed_script_is_recorded_with_what_its_earlier_parts_took(
    database: Database, sql_folder: Folder
) -> None:
    parts = "BEGIN; SELECT pg_sleep(0.1); COMMIT; VACUUM; BEGIN; SELECT 1 / {}; COMMIT;"
    await failed(database, sql_folder({"1_parts.sql": parts.format(0)}))

    events = await migrate(database, sql_folder({"1_parts.sql": parts.format(1)}))

    (told,) = (event.duration_ms for event in events if isinstance(event, MigrationApplied))
    assert told is not None
    assert 100 <= told < 30_000
    assert await database.value("SELECT duration_ms FROM pgready.history") in range(100, 30_000)


ENDS_ITS_SESSION_ONCE = """
SELECT CASE WHEN nextval('tries') = 1 THEN pg_terminate_backend(pg_backend_pid(), 5000) END;
SELECT 1 FROM ledger;
"""
TWO_AND_A_LOSS = {
    "1_ledger.sql": f"{LEDGER} CREATE SEQUENCE tries;",
    "2_lost.sql": ENDS_ITS_SESSION_ONCE,
}


async def test_a_failure_names_what_was_applied_before_the_connection_was_lost_too(
    database: Database, sql_folder: Folder
) -> None:
    problem, events = await failed(database, sql_folder({**TWO_AND_A_LOSS, "3_bad.sql": "SELECT 1 / 0;"}))

    assert sum(isinstance(event, ConnectionLost) for event in events) == 1
    assert problem.done == "nothing of 3 was applied; 2 before it were applied in this run"


async def test_who_loses_the_lock_to_another_says_what_was_applied_before(
    database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder(TWO_AND_A_LOSS)
    async with database.connect() as other, anyio.create_task_group() as group:
        waited = "SELECT pg_advisory_lock($1)"

        def queue(event: Event) -> None:
            if isinstance(event, LockTaken):
                group.start_soon(other.fetchval, waited, lock.keys_for(HISTORY).main)

        nap = "SELECT pg_sleep(0.3);"
        (folder / "2_lost.sql").write_text(nap + ENDS_ITS_SESSION_ONCE)
        with pytest.raises(LockNotObtained) as problem:
            await pgready.migrate(database.url, dir=folder, on_event=queue, lock_timeout="1s")

    assert problem.value.done == "1 was applied in this run"


@asynccontextmanager
async def swallowing_the_commit_of(version: str, database: Database) -> AsyncIterator[str]:
    """The URL of a network that ends the connection instead of passing on that *version* is committed."""
    recording, swallowed = False, list[str]()
    record, committed = b"INSERT INTO pgready.history", b"COMMIT\0"

    async def serve(client: SocketStream) -> None:
        nonlocal recording
        async with client, await anyio.connect_tcp("127.0.0.1", database.server.port) as server:

            async def pass_up() -> None:
                nonlocal recording
                async for data in client:
                    if record in data and f"'{version}'".encode() in data and not swallowed:
                        recording = True
                    await server.send(data)
                group.cancel_scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(pass_up)
                async for data in server:
                    if recording and committed in data:
                        swallowed.append(version)
                        recording = False
                        break
                    await client.send(data)
                group.cancel_scope.cancel()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            yield database.url.replace(f":{database.server.port}/", f":{port}/")
            group.cancel_scope.cancel()
    assert swallowed == [version]


@pytest.mark.parametrize("script", ["SELECT pg_sleep(0.1);", "CREATE INDEX CONCURRENTLY i ON ledger (n);"])
async def test_what_was_committed_without_an_answer_is_told_as_applied(
    script: str, database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder({"1_ledger.sql": LEDGER, "2_lost.sql": script, "3_more.sql": "SELECT 1;"})
    events: list[Event] = []
    async with swallowing_the_commit_of("2", database) as url:
        status = await pgready.migrate(url, dir=folder, on_event=events.append)

    assert sum(isinstance(event, ConnectionLost) for event in events) == 1
    assert [each.version for each in events if isinstance(each, MigrationApplied)] == ["1", "2", "3"]
    assert [each.applied for each in events if isinstance(each, ReadyReached)] == [3]
    recorded = "SELECT applied_at, duration_ms FROM pgready.history WHERE version = '2'"
    shown = status.migrations[1]
    assert await database.fetch(recorded) == [(shown.applied_at, shown.duration_ms)]


async def test_a_connection_that_is_lost_again_and_again_is_told_with_how_often(
    database: Database, sql_folder: Folder
) -> None:
    script = "SELECT pg_terminate_backend(pg_backend_pid(), 5000); SELECT 1;"
    problem, events = await failed(database, sql_folder({"1_lost.sql": script}))

    losses = sum(isinstance(event, ConnectionLost) for event in events)
    counted = reduce(lambda counts, event: tally.advance(counts, event, NOW), events, tally.Tally())
    assert problem.what == f"the connection was lost again and again (gave up after {losses} times in a row)"
    assert counted.retries == {"connection_lost": losses - 1}
    assert counted.connect_attempts == losses


async def test_a_statement_whose_record_is_refused_is_not_told_as_undone(
    database: Database, sql_folder: Folder
) -> None:
    await migrate(database, sql_folder({"1_ledger.sql": LEDGER}))
    await database.execute("ALTER TABLE pgready.history ADD CHECK (version <> '2')")
    files = {"1_ledger.sql": LEDGER, "2_index.sql": "CREATE INDEX CONCURRENTLY i ON ledger (n);"}

    problem, _ = await failed(database, sql_folder(files))

    assert problem.done == "part 1 of 1 of 2 (up to line 1) stays applied; nothing else was run"
    assert await database.value("SELECT to_regclass('i') IS NOT NULL")


async def test_each_row_has_the_token_checksum_of_its_own_script(
    database: Database, sql_folder: Folder
) -> None:
    long = "".join(f"SELECT {n}; -- padding\n" for n in range(4000))  # compiled in a thread
    texts = {"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT  2; VACUUM;", "3_c.sql": long, "4_d.sql": "SELECT 4;"}

    await migrate(database, sql_folder(texts))

    recorded = await database.fetch("SELECT version, token_checksum FROM pgready.history ORDER BY version")
    assert recorded == [(name[0], token_checksum(text)) for name, text in texts.items()]


@pytest.mark.parametrize("good", [2, 120])
async def test_nothing_runs_where_one_of_the_pending_cannot_be_read(
    good: int, database: Database, sql_folder: Folder
) -> None:
    scripts = {f"{n:03}_x.sql": "SELECT 1;" for n in range(good)}  # many are compiled under the lock only
    folder = sql_folder({**scripts, "999_x.sql": "SELECT 'never ends;"})

    with pytest.raises(PgreadyError, match="unterminated quoted string") as failure:
        await migrate(database, folder)

    assert failure.value.done == "nothing was run"
    assert await database.fetch(
        "SELECT to_regnamespace('pgready'), count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    ) == [(None, 0)]


PARTS = [
    "INSERT INTO ledger VALUES (1);",
    "CREATE INDEX CONCURRENTLY ledger_n ON ledger (n);",
    "INSERT INTO ledger VALUES (2);",
    "VACUUM ledger;",
    "BEGIN;\nINSERT INTO ledger VALUES (3);\nCOMMIT;",
    "INSERT INTO ledger VALUES (4);",
]


@pytest.mark.parametrize(
    ("name", "text", "place", "said"),
    [
        (
            "1_a.sql",
            "SELECT 1;\nSELECT 'é',\n  '日本';\nSELECT 2;",
            "1_a.sql:3:4",
            'character with byte sequence 0xe6 0x97 0xa5 in encoding "UTF8" has no equivalent in encoding '
            '"LATIN1"',
        ),
        ("1_日本.sql", "SELECT 1;", "None", "what became of 1 could not be recorded in pgready.history"),
    ],
    ids=["script", "name"],
)
async def test_a_character_that_the_database_cannot_hold_is_told_where_it_is(
    name: str, text: str, place: str, said: str, database: Database, sql_folder: Folder
) -> None:
    other = f"{database.name}_latin"
    await database.execute(f"CREATE DATABASE {other} TEMPLATE template0 ENCODING 'LATIN1'")

    with pytest.raises(MigrationFailed) as problem:
        await pgready.migrate(database.server.url(other), dir=sql_folder({name: text}))

    await database.execute(f"DROP DATABASE {other} WITH (FORCE)")
    assert str(problem.value.place) == place
    assert problem.value.what.startswith(said)
    assert "script's end" not in problem.value.what
    assert problem.value.done == "nothing of 1 was applied; nothing else was run"


async def test_a_deferred_constraint_fails_at_the_end_of_the_part_that_broke_it(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE TABLE p (x int PRIMARY KEY);"
        "CREATE TABLE c (x int, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)"
    )
    text = "-- one\nBEGIN; INSERT INTO c VALUES (1, 2); COMMIT;\nINSERT INTO p VALUES (2);\n"

    problem, _ = await failed(database, sql_folder({"1_a.sql": text}))

    assert str(problem.place) == "1_a.sql:2:35"
    assert problem.what.endswith("(when the transaction that ends here was committed)")


@pytest.mark.parametrize("fails_before", range(len(PARTS) + 1))
async def test_a_script_goes_on_at_the_part_where_it_stopped(
    fails_before: int, database: Database, sql_folder: Folder
) -> None:
    broken = "\n".join([*PARTS[:fails_before], "BEGIN;\nSELECT 1 / 0;\nCOMMIT;", *PARTS[fails_before:]])
    ledger = {"0_ledger.sql": LEDGER}

    error, _ = await failed(database, sql_folder({**ledger, "1_parts.sql": broken}))
    again, _ = await failed(database, sql_folder({**ledger, "1_parts.sql": broken}))
    await migrate(database, sql_folder({**ledger, "1_parts.sql": "\n".join(PARTS)}))

    assert error.sqlstate == again.sqlstate == "22012"
    assert error.place == again.place
    assert await database.fetch(WRITTEN) == [(1,), (2,), (3,), (4,)]
    assert await database.fetch("SELECT segments FROM pgready.history WHERE version = '1'") == [(6,)]
    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


async def test_what_is_done_of_a_script_that_was_cut_off_is_not_sent_ahead_again(
    database: Database, sql_folder: Folder
) -> None:
    done = "INSERT INTO ledger VALUES (2);"
    broken = f"{done}\nCREATE INDEX CONCURRENTLY i ON nobody (n);"
    await failed(database, sql_folder({"0_ledger.sql": LEDGER, "2_cut.sql": broken}))

    late = {"1_late.sql": "INSERT INTO ledger VALUES (1);"}
    await migrate(database, sql_folder({"0_ledger.sql": LEDGER, "2_cut.sql": done, **late}))

    assert await database.fetch(WRITTEN) == [(1,), (2,)]
    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


async def test_scripts_before_a_failing_one_stay_and_those_behind_it_wait(
    database: Database, sql_folder: Folder
) -> None:
    scripts = {
        "1_a.sql": LEDGER,
        "2_b.sql": "INSERT INTO ledger VALUES (2); SELECT 1 / 0;",
        "3_c.sql": "INSERT INTO ledger VALUES (3);",
    }

    error, events = await failed(database, sql_folder(scripts))

    assert error.done == "nothing of 2 was applied; 1 before it was applied in this run"
    assert [event.version for event in events if isinstance(event, MigrationStarted)] == ["1", "2"]
    assert [event.version for event in events if isinstance(event, MigrationFailedEvent)] == ["2"]
    assert await database.fetch("SELECT version FROM pgready.history") == [("1",)]
    assert await database.fetch(WRITTEN) == []


async def test_notices_and_progress_are_events(database: Database, sql_folder: Folder) -> None:
    text = (
        "DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'beware'; END $$;\nSELECT pg_sleep(0.4);\n"
        + "SELECT 1;\nSELECT pg_sleep(0.4);\n" * 2
    )

    events = await migrate(database, sql_folder({"1_a.sql": text}))

    assert [event for event in events if isinstance(event, ServerNotice)] == [
        ServerNotice("NOTICE", "hello", "1"),
        ServerNotice("WARNING", "beware", "1"),
    ]
    progress = [event for event in events if isinstance(event, StatementsRan)]
    assert progress[0].statements in range(1, 5)
    assert [event.statements for event in progress] == sorted(event.statements for event in progress)
    assert {(event.version, event.total) for event in progress} == {("1", 6)}


async def test_a_dump_that_silences_notices_shows_its_progress(
    database: Database, sql_folder: Folder
) -> None:
    """pg_dump's header sets client_min_messages; COPY data counts as the statement that it is."""
    text = (
        "SET client_min_messages = warning;\nCREATE TABLE a (n int);\nCOPY a FROM stdin;\n1\n\\.\n"
        + "SELECT pg_sleep(0.2);\nCOPY a FROM stdin;\n2\n\\.\n" * 4
    )

    events = await migrate(database, sql_folder({"1_dump.sql": text}))

    progress = [event.statements for event in events if isinstance(event, StatementsRan)]
    assert progress
    assert max(progress) >= 5
    assert await database.value("SELECT count(*) FROM a") == 5


async def test_a_script_without_a_transaction_is_recorded_step_by_step(
    database: Database, sql_folder: Folder
) -> None:
    text = "-- pgready: no-transaction\n" + LEDGER + "\nINSERT INTO ledger VALUES (1);\n{}\n"
    broken = sql_folder({"1_a.sql": text.format("SELECT 1 / 0;")})

    error, _ = await failed(database, broken)
    await migrate(database, sql_folder({"1_a.sql": text.format("INSERT INTO ledger VALUES (2);")}))

    assert isinstance(error, MigrationFailed)
    assert await database.fetch(WRITTEN) == [(1,), (2,)]


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
async def test_a_default_isolation_of_the_role_does_not_blind_the_fence(
    isolation: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        f"ALTER DATABASE {database.name} SET default_transaction_isolation = '{isolation}'"
    )
    folder = sql_folder(
        {"1_a.sql": "CREATE TABLE a AS SELECT current_setting('transaction_isolation') AS i;"}
    )

    await migrate(database, folder)

    assert await database.value("SELECT i FROM a") == "read committed"


async def test_a_default_of_read_only_transactions_keeps_nobody_from_migrating(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    text = "CREATE TABLE a (n int);\nVACUUM a;\nCREATE INDEX CONCURRENTLY a_n ON a (n);\nSELECT 1;"

    await migrate(database, sql_folder({"1_a.sql": text}))

    assert await database.value("SELECT count(*) FROM pgready.history") == 1


PLANT = """
INSERT INTO pgready.history (namespace, kind, version, name, checksum, segments, applied_by, pgready_version)
SELECT namespace, kind, '3', 'x', '{checksum}', 1, 'another', '1' FROM pgready.history WHERE version = '1'
"""


@pytest.mark.parametrize("key", ["SELECT 1", "ALTER TABLE pgready.history DROP CONSTRAINT history_pkey;"])
@pytest.mark.parametrize(
    "script", ["INSERT INTO ledger VALUES (2);", "CREATE TABLE ledger (n int);"], ids=["passes", "fails"]
)
async def test_what_another_recorded_since_we_looked_is_not_applied_again(
    script: str, key: str, database: Database, sql_folder: Folder
) -> None:
    await migrate(database, sql_folder({"1_x.sql": LEDGER}))
    await database.execute(key)
    folder = sql_folder({"1_x.sql": LEDGER, "2_nap.sql": "SELECT pg_sleep(1);", "3_x.sql": script})
    checksum = hashlib.sha256(script.encode()).hexdigest()
    events: list[Event] = []

    async with anyio.create_task_group() as group:
        group.start_soon(plant_while_it_sleeps, database, PLANT.format(checksum=checksum))
        await pgready.migrate(database.url, dir=folder, on_event=events.append)

    assert [event.version for event in events if isinstance(event, MigrationApplied)] == ["2"]
    assert await database.fetch(
        "SELECT version, applied_by = 'another' FROM pgready.history WHERE version = '3'"
    ) == [("3", True)]
    assert await database.fetch(WRITTEN) == []


async def plant_while_it_sleeps(database: Database, statement: str) -> None:
    asleep = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    with anyio.fail_after(30):
        while not await database.value(asleep):
            await anyio.lowlevel.checkpoint()
    await database.execute(statement)


@pytest.mark.parametrize(
    ("text", "sqlstate", "cure"),
    [
        (
            "SET transaction_read_only = on;",
            "25006",
            "the script made its transaction read-only: remove that",
        ),
        ("DROP SCHEMA pgready CASCADE;", "42P01", "the script removed that table"),
    ],
)
async def test_a_script_that_keeps_its_record_from_being_written_is_told_so(
    text: str, sqlstate: str, cure: str, database: Database, sql_folder: Folder
) -> None:
    error, _ = await failed(database, sql_folder({"1_a.sql": text}))

    assert error.sqlstate == sqlstate
    assert cure in (error.hint or "")
    assert "not at fault" not in (error.hint or "")


async def test_who_refuses_the_history_itself_is_told_with_what_was_done_and_what_next(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE 'no DDL for you' USING ERRCODE = '22P02'; END $$;"
        "CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no()"
    )

    error, _ = await failed(database, sql_folder({"1_a.sql": "SELECT 1;"}))

    assert error.what == "the history's tables could not be made: no DDL for you"
    assert error.done == "no migration was run"
    assert (error.hint or "").endswith("then: pgready up")
