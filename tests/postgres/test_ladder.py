"""A table that somebody else keeps locked: who he is is told, we wait a little, and give up in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import asyncpg
import pytest

import pgready
from harness.database import Database
from harness.server import Server
from pgready.core.errors import LockNotObtained, MigrationFailed
from pgready.core.events import Blocked, Event, HistoryLocked, MigrationRetried, MigrationStarted
from pgready.core.ladder import rungs_ms

Folder = Callable[[Mapping[str, str | bytes]], Path]

ADD = {"1_a.sql": "ALTER TABLE busy ADD COLUMN y int;"}
MADE = {"0_made.sql": "SELECT 1;"}
COLUMNS = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'busy'::regclass AND attnum > 0"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def held(
    database: Database, name: str = "billing", lock: str = "LOCK TABLE busy"
) -> AsyncIterator[int]:
    """A session of that name, idle in a transaction that keeps the table; its pid."""
    await database.execute("CREATE TABLE IF NOT EXISTS busy (x int)")
    async with database.connect() as holder:
        await holder.execute(f"SET application_name = '{name}'; BEGIN; {lock}")
        yield await holder.fetchval("SELECT pg_backend_pid()")


async def test_a_prepared_transaction_that_holds_it_is_named(sql_folder: Folder) -> None:
    with Server.running({"max_prepared_transactions": "2"}) as server:
        async with Database.fresh(server) as database:
            await database.execute("CREATE TABLE busy (x int)")
            await database.execute("BEGIN; LOCK TABLE busy; PREPARE TRANSACTION 'left''over'")
            await database.execute("BEGIN; SELECT 1; PREPARE TRANSACTION 'innocent'")
            with pytest.raises(LockNotObtained) as given_up:
                await pgready.migrate(database.url, dir=sql_folder(ADD), relation_lock_timeout="3s")
            for name in ("left''over", "innocent"):
                await database.execute(f"ROLLBACK PREPARED '{name}'")

    assert "by prepared transaction 'left''over', until COMMIT PREPARED or" in given_up.value.what
    assert "innocent" not in given_up.value.what


async def test_after_the_budget_it_gives_up_and_says_who_it_was(
    database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []

    async with held(database) as pid:
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url, dir=sql_folder(ADD), on_event=events.append, relation_lock_timeout="3s"
            )

    blocked = [event for event in events if isinstance(event, Blocked)]
    assert (blocked[0].holders[0].pid, blocked[0].holders[0].application_name) == (pid, "billing")
    assert blocked[0].holders[0].state == "idle in transaction"
    assert f"by pid {pid}, billing, idle in transaction" in given_up.value.what
    assert given_up.value.exit_code == 5
    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert await database.value(COLUMNS) == 1


async def test_each_try_waits_longer_for_the_table_than_the_one_before(
    database: Database, sql_folder: Folder
) -> None:
    began: list[float] = []
    waited_ms: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, MigrationStarted):
            began.append(anyio.current_time())
        if isinstance(event, MigrationRetried):
            waited_ms.append(1000 * (anyio.current_time() - began[-1]))

    async with held(database):
        with pytest.raises(LockNotObtained):
            await pgready.migrate(
                database.url, dir=sql_folder(ADD), on_event=on_event, relation_lock_timeout="3s"
            )

    assert len(waited_ms) >= 3
    assert all(waited >= rung for waited, rung in zip(waited_ms, rungs_ms(1000), strict=False)), waited_ms


async def test_it_goes_on_once_the_table_is_free(database: Database, sql_folder: Folder) -> None:
    events: list[Event] = []
    blocked = anyio.Event()

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, Blocked):
            blocked.set()

    folder = sql_folder(ADD)
    async with anyio.create_task_group() as group, held(database) as pid:
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=on_event))
        await blocked.wait()

    retries = [event for event in events if isinstance(event, MigrationRetried)]
    assert [event.attempt for event in retries] == list(range(1, len(retries) + 1))
    assert retries[0].reason == "a table was locked: canceling statement due to lock timeout"
    assert (retries[0].sqlstate, str(retries[0].place)) == ("55P03", "1_a.sql:1:1")
    assert next(event.holders[0].pid for event in events if isinstance(event, Blocked)) == pid
    assert await database.value(COLUMNS) == 2
    assert await database.value("SELECT count(*) FROM pgready.history") == 1


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE made (x int);\nINSERT INTO made VALUES (1);\nALTER TABLE busy ADD COLUMN y int;",
        "CREATE TABLE made (x int);\nCOPY made FROM stdin;\n1\n\\.\nALTER TABLE busy ADD COLUMN y int;",
        "CREATE TABLE made (x int);\nINSERT INTO made VALUES (1);\n"
        "DO $$ BEGIN ALTER TABLE busy ADD COLUMN y int; END $$;",
    ],
    ids=["plain", "copy", "block"],
)
async def test_what_ran_before_the_table_was_asked_for_is_done_once(
    text: str, database: Database, sql_folder: Folder
) -> None:
    retried = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, MigrationRetried):
            retried.set()

    folder = sql_folder({"1_a.sql": text})
    async with anyio.create_task_group() as group, held(database):
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=on_event))
        await retried.wait()

    assert await database.fetch("SELECT x FROM made") == [(1,)]
    assert await database.value(COLUMNS) == 2


async def test_a_script_that_the_server_ends_for_a_deadlock_is_tried_again(
    database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []
    text = "-- pgready: lock-timeout=0\nLOCK TABLE other; ALTER TABLE busy ADD COLUMN y int;"
    folder = sql_folder({"1_a.sql": text})
    await database.execute("CREATE TABLE busy (x int); CREATE TABLE other (x int)")

    async with database.connect() as holder, anyio.create_task_group() as group:
        await holder.execute("BEGIN; SET LOCAL deadlock_timeout = '1h'; LOCK TABLE busy")
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=events.append))
        await until_awaited(database, "busy")
        await holder.execute("LOCK TABLE other; COMMIT")

    assert [event.attempt for event in events if isinstance(event, MigrationRetried)] == [1]
    assert await database.value(COLUMNS) == 2


async def until_awaited(database: Database, table: str) -> None:
    """Until somebody waits for *table*."""
    with anyio.fail_after(30):
        while not await database.value(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass", table
        ):
            await anyio.sleep(0.01)


async def test_a_script_s_own_lock_timeout_is_kept_to_and_tried_again(
    database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []
    text = "-- pgready: lock-timeout=50ms\nALTER TABLE busy ADD COLUMN y int;"

    async with held(database):
        with pytest.raises(LockNotObtained):
            await pgready.migrate(
                database.url,
                dir=sql_folder({"1_a.sql": text}),
                on_event=events.append,
                relation_lock_timeout="1s",
            )

    assert sum(isinstance(event, MigrationStarted) for event in events) >= 3


async def test_a_concurrent_index_waits_as_long_as_it_takes_and_says_for_whom(
    database: Database, sql_folder: Folder
) -> None:
    blocked = anyio.Event()
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, Blocked):
            blocked.set()

    folder = sql_folder({"1_a.sql": "CREATE INDEX CONCURRENTLY busy_x ON busy (x);"})
    async with (
        anyio.create_task_group() as group,
        held(database, lock="INSERT INTO busy VALUES (1)") as pid,
    ):
        group.start_soon(
            lambda: pgready.migrate(
                database.url, dir=folder, on_event=on_event, relation_lock_timeout="100ms"
            )
        )
        await blocked.wait()

    assert next(event.holders[0].pid for event in events if isinstance(event, Blocked)) == pid
    assert await database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'busy_x'::regclass")


async def test_a_concurrent_index_under_the_script_s_own_timeout_fails_by_name_and_is_healed(
    database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder(
        {"1_a.sql": "SET lock_timeout = '200ms';\n\nCREATE INDEX CONCURRENTLY busy_x ON busy (x);"}
    )
    async with held(database, lock="INSERT INTO busy VALUES (1)"):
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=folder)

    await pgready.migrate(database.url, dir=folder)

    assert failed.value.sqlstate == "55P03"
    assert str(failed.value.place) == "1_a.sql:3:1"
    assert await database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'busy_x'::regclass")
    assert await database.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'busy_x%'") == 1


@pytest.mark.parametrize("made_by_us", [True, False], ids=["healed", "found"])
async def test_what_keeps_a_half_built_index_from_being_dropped_is_told_as_its_own(
    made_by_us: bool, database: Database, sql_folder: Folder
) -> None:
    build = "CREATE INDEX CONCURRENTLY busy_x ON busy (x);"
    folder = sql_folder({**MADE, "1_a.sql": f"SELECT 1;\nSET lock_timeout = '200ms';\n{build}"})
    await database.execute("CREATE TABLE busy (x int)")
    async with held(database, lock="INSERT INTO busy VALUES (1)"):
        async with database.connect() as other:
            if not made_by_us:
                await other.execute("SET lock_timeout = '200ms'")
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await other.execute(build)
            with pytest.raises(MigrationFailed):
                await pgready.migrate(database.url, dir=folder)
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=folder)

    assert (failed.value.sqlstate, str(failed.value.place)) == ("55P03", "1_a.sql:3:1")
    assert failed.value.done == (
        "part 1 of 2 of 1 (up to line 2) stays applied, and the statement that failed may have happened in "
        "part; nothing else was run"
    )
    assert failed.value.hint == "what it left is seen to by: pgready up"
    await pgready.migrate(database.url, dir=folder)
    assert await database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'busy_x'::regclass")


async def test_a_locked_history_does_not_make_a_script_keep_its_tables_from_others(
    database: Database, sql_folder: Folder
) -> None:
    """Others may wait behind a try, but for no longer than it waits itself."""
    events: list[Event] = []
    folder = sql_folder({**MADE, **ADD})
    await pgready.migrate(database.url, dir=sql_folder(MADE))

    async with held(database, lock="LOCK TABLE pgready.history IN SHARE MODE") as pid:
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url, dir=folder, on_event=events.append, relation_lock_timeout="3s"
            )

    assert sum(isinstance(event, MigrationRetried) for event in events) >= 2
    assert f"by pid {pid}, billing, idle in transaction" in given_up.value.what
    assert await database.value(COLUMNS) == 1


@pytest.mark.parametrize("directive", ["lock-timeout=0", "lock-timeout=300ms"])
async def test_its_record_does_not_wait_without_end_for_a_script_that_does(
    directive: str, database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder({**MADE, "1_a.sql": f"-- pgready: {directive}\nALTER TABLE busy ADD COLUMN y int;"})
    await pgready.migrate(database.url, dir=sql_folder(MADE))

    async with held(database, lock="LOCK TABLE pgready.history IN SHARE MODE"):
        with pytest.raises(LockNotObtained):
            await pgready.migrate(database.url, dir=folder, relation_lock_timeout="500ms")

    assert await database.value(COLUMNS) == 1


async def test_who_locks_the_history_is_told_to_whoever_looks_and_in_the_end_it_gives_up(
    database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []
    await pgready.migrate(database.url, dir=sql_folder(MADE))

    async with held(database, lock="LOCK TABLE pgready.history") as pid:
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url,
                dir=sql_folder({**MADE, **ADD}),
                on_event=events.append,
                relation_lock_timeout="2s",
            )

    told = [event for event in events if isinstance(event, HistoryLocked)]
    assert [holder.pid for holder in told[0].holders] == [pid]
    assert [event.waited_seconds for event in told] == sorted(event.waited_seconds for event in told)
    assert given_up.value.what.startswith(f"the history stayed locked for 2 s by pid {pid}, billing, idle")


async def test_it_goes_on_once_the_history_is_free(database: Database, sql_folder: Folder) -> None:
    locked = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, HistoryLocked):
            locked.set()

    await pgready.migrate(database.url, dir=sql_folder(MADE))
    folder = sql_folder({**MADE, **ADD})
    async with anyio.create_task_group() as group, held(database, lock="LOCK TABLE pgready.history"):
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=on_event))
        await locked.wait()

    assert await database.value(COLUMNS) == 2


async def test_the_mark_of_what_runs_alone_waits_for_a_locked_journal_and_gives_up(
    database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []
    text = "CREATE INDEX CONCURRENTLY busy_x ON busy (x);"
    await pgready.migrate(database.url, dir=sql_folder(MADE))
    async with held(database, lock="LOCK TABLE pgready.journal IN SHARE MODE") as pid:
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url,
                dir=sql_folder({**MADE, "1_a.sql": text}),
                on_event=events.append,
                relation_lock_timeout="4s",
            )

    assert any(isinstance(event, MigrationRetried) for event in events)
    assert f"pid {pid}, billing" in given_up.value.what
    assert await database.value("SELECT to_regclass('busy_x') IS NULL")


RAISES = """SELECT 1;
DO $$ BEGIN
    RAISE EXCEPTION 'balance mismatch' USING ERRCODE = 'serialization_failure', DETAIL = 'row 7';
END $$;"""


@pytest.mark.parametrize(
    ("text", "said", "sqlstate", "detail"),
    [
        (RAISES, "balance mismatch", "40001", "row 7"),
        ("SELECT 1;\nLOCK TABLE busy NOWAIT;", 'could not obtain lock on relation "busy"', "55P03", ""),
    ],
)
async def test_what_is_tried_again_is_told_as_what_the_server_said_of_it(
    text: str, said: str, sqlstate: str, detail: str, database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []

    async with held(database):
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url,
                dir=sql_folder({"1_a.sql": text}),
                on_event=events.append,
                relation_lock_timeout="500ms",
            )

    retried = next(event for event in events if isinstance(event, MigrationRetried))
    locked = sqlstate == "55P03"
    assert said in retried.reason
    assert ("a table was locked" in retried.reason, "stayed locked" in given_up.value.what) == (
        locked,
        locked,
    )
    assert said in given_up.value.what
    for told in (retried, given_up.value):
        assert (told.sqlstate, str(told.place)) == (sqlstate, "1_a.sql:2:1")
        assert detail in (told.detail or "")
    assert given_up.value.done == "nothing of 1 was applied; nothing else was run"


LOCKS = """
CREATE TABLE done (x int);
CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO done VALUES (1); {} LOCK TABLE busy; END $$;
"""
OWN = "-- pgready: no-transaction lock-timeout=150ms\n"


@pytest.mark.parametrize(
    "text",
    [
        "VACUUM FULL busy;",
        "SET lock_timeout = '200ms';\nVACUUM FULL busy;",
        f"{OWN}CLUSTER busy USING busy_x;",
        f"{OWN}CALL p();",
    ],
)
async def test_what_runs_alone_gives_others_way_and_is_tried_again(
    text: str, database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []
    await database.execute("CREATE TABLE busy (x int); CREATE INDEX busy_x ON busy (x);" + LOCKS.format(""))
    folder = sql_folder({"1_a.sql": text})

    async with held(database, lock="SELECT FROM busy"):
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url, dir=folder, on_event=events.append, relation_lock_timeout="2s"
            )
    left = await database.fetch("SELECT segment FROM pgready.journal WHERE state = 'started'")
    await pgready.migrate(database.url, dir=folder)

    assert sum(isinstance(event, MigrationRetried) for event in events) >= 3
    assert given_up.value.sqlstate == "55P03"
    assert str(given_up.value.place).startswith("1_a.sql:")
    assert left == []
    assert await database.value("SELECT count(*) FROM pgready.history") == 1


async def test_what_waited_for_a_lock_behind_a_commit_of_its_own_is_not_tried_again(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(LOCKS.format("COMMIT;"))
    folder = sql_folder({"1_a.sql": f"{OWN}CALL p();"})

    async with held(database, lock="SELECT FROM busy"):
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=folder)

    assert failed.value.sqlstate == "55P03"
    assert "pgready repair 1 --done | --not-done" in (failed.value.hint or "")
    assert await database.fetch("SELECT x FROM done") == [(1,)]


async def test_a_procedure_that_may_have_committed_waits_as_long_as_it_takes(
    database: Database, sql_folder: Folder
) -> None:
    events: list[Event] = []
    blocked = anyio.Event()

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, Blocked):
            blocked.set()

    await database.execute(LOCKS.format("COMMIT;"))
    folder = sql_folder({"1_a.sql": "-- pgready: no-transaction\nCALL p();"})
    async with anyio.create_task_group() as group, held(database, lock="SELECT FROM busy"):
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=on_event))
        await blocked.wait()

    assert not [event for event in events if isinstance(event, MigrationRetried)]
    assert await database.fetch("SELECT x FROM done") == [(1,)]


async def test_each_pause_between_two_tries_is_made_once(
    database: Database, sql_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    slept: list[float] = []
    sleep = anyio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(anyio, "sleep", noted)
    async with held(database):
        with pytest.raises(LockNotObtained):
            await pgready.migrate(
                database.url, dir=sql_folder(ADD), on_event=events.append, relation_lock_timeout="2s"
            )

    paused = [event.delay_seconds for event in events if isinstance(event, MigrationRetried)]
    assert paused
    assert [slept.count(seconds) for seconds in paused] == [1] * len(paused)


async def test_a_script_that_resets_its_lock_timeout_has_the_servers_own(
    database: Database, sql_folder: Folder
) -> None:
    text = (
        "CREATE TABLE seen (said text); CREATE PROCEDURE see() LANGUAGE plpgsql AS $$ BEGIN\n"
        "INSERT INTO seen VALUES (current_setting('lock_timeout')); COMMIT; END $$;\n"
        "SET lock_timeout = '2s'; RESET lock_timeout;\nCOMMIT;\nCALL see();"
    )

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": f"-- pgready: no-transaction\n{text}"}))

    assert await database.value("SELECT said FROM seen") == "0"


async def test_a_mark_that_cannot_be_taken_back_is_not_told_as_taken_back(
    database: Database, sql_folder: Folder
) -> None:
    await pgready.migrate(database.url, dir=sql_folder(MADE))
    await database.execute(
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN\n"
        "PERFORM pg_advisory_xact_lock(77); RAISE 'nope'; END $$"
    )
    folder = sql_folder(MADE | {"1_a.sql": "-- pgready: no-transaction\nCALL p();"})
    failures: list[MigrationFailed] = []

    async def migrate() -> None:
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=folder)
        failures.append(failed.value)

    async with database.connect() as other, database.connect() as keeper:
        await other.fetchval("SELECT pg_advisory_lock(77)")
        async with anyio.create_task_group() as group:
            group.start_soon(migrate)
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not await database.value(waits):
                await anyio.sleep(0.02)
            await keeper.execute("BEGIN; LOCK TABLE pgready.journal")
            await other.fetchval("SELECT pg_advisory_unlock_all()")

    (failure,) = failures
    assert failure.what.startswith("nope")
    assert "nothing of 1 was applied" not in (failure.done or "")
    assert await database.value("SELECT count(*) FROM pgready.journal WHERE state = 'started'") == 1


@pytest.mark.parametrize(
    "text",
    [
        "-- pgready: no-transaction\nCALL made();",
        f"{OWN}DO $$ BEGIN INSERT INTO done VALUES (1); COMMIT; END $$;",
    ],
    ids=["call", "do"],
)
async def test_the_record_of_what_no_probe_can_tell_of_waits_as_long_as_it_takes(
    text: str, database: Database, sql_folder: Folder
) -> None:
    blocked: list[Blocked] = []
    again = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, Blocked):
            blocked.append(event)
            if len(blocked) == 2:
                again.set()

    await database.execute(
        "CREATE TABLE done (x int);"
        "CREATE PROCEDURE made() LANGUAGE sql BEGIN ATOMIC INSERT INTO done VALUES (1); END"
    )
    await pgready.migrate(database.url, dir=sql_folder(MADE))
    folder = sql_folder({**MADE, "1_a.sql": text})
    async with (
        anyio.create_task_group() as group,
        held(database, lock="LOCK TABLE pgready.history IN SHARE MODE") as pid,
    ):
        group.start_soon(
            lambda: pgready.migrate(
                database.url, dir=folder, on_event=on_event, relation_lock_timeout="500ms"
            )
        )
        await again.wait()

    assert {holder.pid for event in blocked for holder in event.holders} == {pid}
    assert await database.fetch("SELECT x FROM done") == [(1,)]
    assert await database.value("SELECT count(*) FROM pgready.history") == 2
