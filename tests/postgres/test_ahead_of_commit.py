"""The next migration is sent before the one in front of it is committed, and runs only if that was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import pytest

import pgready
from harness import oracle
from harness.database import Database
from pgready.core.errors import MigrationFailed
from pgready.core.events import ConnectionLost, Event, MigrationApplied, MigrationRetried, ServerNotice
from pgready.database import execute
from pgready.database.session import Session

Folder = Callable[[Mapping[str, str | bytes]], Path]

MADE = "CREATE TABLE {};"
LATE = """
CREATE TABLE late (n int);
CREATE TABLE twice (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO twice VALUES (1), (1);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER again AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION again();
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sent_ahead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scripts that were sent before the one in front of them was committed."""
    texts: list[str] = []
    send = execute.send_ahead

    def noted(session: Session, text: str, *more: object, **and_more: object) -> execute.Sent | None:
        sent = send(session, text, *more, **and_more)  # type: ignore[arg-type]
        texts.extend([text] if sent else [])
        return sent

    monkeypatch.setattr(execute, "send_ahead", noted)
    return texts


async def migrate(database: Database, folder: Path, events: list[Event], **settings: str) -> None:
    await pgready.migrate(database.url, dir=folder, on_event=events.append, **settings)


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not holds():
            await anyio.sleep(0.01)


async def recorded(database: Database) -> list[str]:
    rows = await database.fetch("SELECT version FROM pgready.history ORDER BY version")
    return [str(version) for (version,) in rows]


@pytest.mark.parametrize(
    "failing",
    [
        "CREATE TALBE b (n int);",  # nothing of its message runs, not even its BEGIN
        "CREATE TABLE b (n int); SELECT 1 / 0;",
        "INSERT INTO late VALUES (1);",  # its COMMIT is refused
        "CREATE TABLE b (n int); DO $$BEGIN RAISE EXCEPTION 'no'; END$$;",
    ],
    ids=["not parsed", "in the middle", "at its commit", "at its end"],
)
async def test_what_stands_behind_a_failing_one_is_sent_and_does_not_run(
    failing: str, database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    behind = MADE.format("c (n int)")
    folder = sql_folder({"1_a.sql": LATE, "2_b.sql": failing, "3_c.sql": behind, "4_d.sql": "SELECT 4;"})

    with pytest.raises(MigrationFailed) as problem:
        await migrate(database, folder, [])

    assert behind in sent_ahead
    assert problem.value.place is not None
    assert problem.value.place.file.endswith("2_b.sql")
    assert await recorded(database) == ["1"]
    assert await database.value("SELECT to_regclass('b') IS NULL AND to_regclass('c') IS NULL")


async def test_all_but_the_first_is_sent_ahead_and_runs_once_in_its_order(
    database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    scripts = {f"{n}_x.sql": f"INSERT INTO ledger VALUES ({n});" for n in range(10, 40)}
    folder = sql_folder(
        {"1_ledger.sql": "CREATE TABLE ledger (n int, id int GENERATED ALWAYS AS IDENTITY);"} | scripts
    )

    events: list[Event] = []
    await migrate(database, folder, events)

    assert sent_ahead == list(scripts.values())
    assert await database.fetch("SELECT n FROM ledger ORDER BY id") == [(n,) for n in range(10, 40)]
    applied = [event.version for event in events if isinstance(event, MigrationApplied)]
    assert applied == ["1", *(str(n) for n in range(10, 40))]


async def test_only_what_is_one_small_transaction_is_sent_ahead(
    database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    copied = "COPY a FROM stdin;\n1\n\\.\n"
    long = "INSERT INTO a VALUES (1);\n" * 20_000
    scripts = {
        "1_a.sql": "CREATE TABLE a (n int);",
        "2_copied.sql": copied,
        "3_after_copied.sql": "SELECT 3;",
        "4_long.sql": long,
        "5_after_long.sql": "SELECT 5;",
        "6_single.sql": "CREATE INDEX CONCURRENTLY i ON a (n);",
        "7_after_single.sql": "SELECT 7;",
        "8_parts.sql": "BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;",
        "9_after_parts.sql": "SELECT 9;",
        "9.5_reads_otherwise.sql".replace(".5", "5"): "SET standard_conforming_strings = off; SELECT '\\\\';",
    }

    await migrate(database, sql_folder(scripts), [])

    assert sent_ahead == ["SELECT 3;", "SELECT 5;", "SELECT 9;"]
    assert len(await recorded(database)) == len(scripts)


async def test_each_is_refused_at_its_own_place_and_those_before_it_stay(
    database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder(
        {"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 2;", "3_c.sql": "SELECT 3;\nSELECT nothing;\n"}
    )

    with pytest.raises(MigrationFailed) as problem:
        await migrate(database, folder, [])

    place = problem.value.place
    assert place is not None
    assert (place.line, place.column) == (2, 8)
    assert problem.value.done is not None
    assert "2 before it were applied" in problem.value.done
    assert await recorded(database) == ["1", "2"]


async def test_a_notice_is_told_of_the_version_that_it_came_from(
    database: Database, sql_folder: Folder
) -> None:
    say = "DO $$BEGIN RAISE NOTICE 'of %', {}; END$$;"
    events: list[Event] = []

    await migrate(database, sql_folder({f"{n}_x.sql": say.format(n) for n in range(1, 9)}), events)

    notices = [(event.version, event.message) for event in events if isinstance(event, ServerNotice)]
    assert notices == [(str(n), f"of {n}") for n in range(1, 9)]


async def test_what_was_sent_behind_one_that_waits_for_a_table_is_sent_again(
    database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    await database.execute("CREATE TABLE busy (n int); CREATE TABLE ledger (n int)")
    add = "INSERT INTO ledger VALUES ({});"
    folder = sql_folder(
        {
            "1_a.sql": add.format(1),
            "2_b.sql": f"ALTER TABLE busy ADD COLUMN x int; {add.format(2)}",
            "3_c.sql": add.format(3),
            "4_d.sql": add.format(4),
        }
    )
    events: list[Event] = []

    async with database.connect() as other, anyio.create_task_group() as group:
        await other.execute("BEGIN; LOCK TABLE busy")
        group.start_soon(migrate, database, folder, events)
        await until(lambda: any(isinstance(event, MigrationRetried) for event in events))
        await other.execute("COMMIT")

    assert sent_ahead.count(add.format(3)) > 1
    assert await database.fetch("SELECT n FROM ledger") == [(1,), (2,), (3,), (4,)]
    assert await recorded(database) == ["1", "2", "3", "4"]


async def test_a_cancelled_run_leaves_neither_what_ran_nor_what_was_sent(
    database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    nap, behind = "CREATE TABLE b (n int); SELECT pg_sleep(600);", MADE.format("c (n int)")
    folder = sql_folder({"1_a.sql": "SELECT 1;", "2_b.sql": nap, "3_c.sql": behind})

    async with anyio.create_task_group() as group:
        group.start_soon(migrate, database, folder, [])
        await until(lambda: behind in sent_ahead)
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()

    assert await recorded(database) == ["1"]
    assert await database.value("SELECT to_regclass('b') IS NULL AND to_regclass('c') IS NULL")
    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_lost_connection_leaves_what_was_sent_to_the_next_one(
    database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    await database.execute("CREATE TABLE ledger (n int); CREATE SEQUENCE tries")
    add = "INSERT INTO ledger VALUES ({});"
    folder = sql_folder(
        {
            "1_a.sql": add.format(1),
            "2_b.sql": f"SELECT CASE nextval('tries') WHEN 1 THEN pg_terminate_backend(pg_backend_pid()) END;"
            f" SELECT pg_sleep(0.01); {add.format(2)}",
            "3_c.sql": add.format(3),
        }
    )

    await migrate(database, folder, [])

    assert await database.fetch("SELECT n FROM ledger") == [(1,), (2,), (3,)]
    assert await recorded(database) == ["1", "2", "3"]


async def test_no_more_is_ahead_than_a_busy_server_has_room_for(
    database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    long = f"SELECT '{'ä' * 7_000}';\n"
    scripts = {f"{n}_x.sql": f"{long}CREATE TABLE t{n} (n int);" for n in range(1, 9)}
    ahead: list[int] = []

    def noted(event: Event) -> None:
        if isinstance(event, MigrationApplied):
            ahead.append(len(sent_ahead) + 1 - int(event.version))

    await pgready.migrate(database.url, dir=sql_folder(scripts), on_event=noted)

    assert max(ahead) == 2  # of 14 kB each, within 32


async def test_who_gives_up_between_two_does_not_leave_the_next_ones_running(
    database: Database, sql_folder: Folder, sent_ahead: list[str]
) -> None:
    folder = sql_folder({"1_a.sql": "SELECT 1;"} | {f"{n}_x.sql": "SELECT pg_sleep(1);" for n in range(2, 6)})

    def fails(event: Event) -> None:
        if isinstance(event, MigrationApplied):
            raise ValueError("the application's own")

    with pytest.raises(ExceptionGroup):
        await pgready.migrate(database.url, dir=folder, on_event=fails)
    left = await oracle.leftovers(database, within_seconds=10, indexes=False)

    assert left == oracle.NOTHING  # so that nothing more can come
    assert len(sent_ahead) == 4
    assert await recorded(database) == ["1"]


async def test_what_the_lost_backend_still_commits_is_told_once_the_lock_is_free(
    database: Database, sql_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[Session] = []
    send = execute.send_ahead

    def noted(session: Session, *more: object, **and_more: object) -> execute.Sent | None:
        sessions.append(session)
        return send(session, *more, **and_more)  # type: ignore[arg-type]

    monkeypatch.setattr(execute, "send_ahead", noted)
    events: list[Event] = []

    def cut(event: Event) -> None:
        events.append(event)
        if isinstance(event, MigrationApplied) and event.version == "1":
            sessions[0].connection._transport.abort()  # type: ignore[attr-defined]

    folder = sql_folder({"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT pg_sleep(0.6);", "3_c.sql": "SELECT 3;"})
    await pgready.migrate(database.url, dir=folder, on_event=cut)

    assert any(isinstance(event, ConnectionLost) for event in events)
    applied = [event.version for event in events if isinstance(event, MigrationApplied)]
    assert sorted(applied) == await recorded(database) == ["1", "2", "3"]


@pytest.mark.parametrize("ahead", ["", "SELECT 3;"], ids=["alone", "with another ahead"])
async def test_what_was_refused_is_told_though_the_connection_ends_with_its_rollback(
    ahead: str, database: Database, sql_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(session: Session) -> None:
        session.connection.terminate()

    monkeypatch.setattr(Session, "_rollback", ends)
    folder = sql_folder(
        {"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 1 / 0;"} | ({"3_c.sql": ahead} if ahead else {})
    )

    with pytest.raises(MigrationFailed, match="division by zero"):
        await migrate(database, folder, [])

    assert await recorded(database) == ["1"]


async def test_another_connection_that_a_script_lost_is_not_ours(
    database: Database, sql_folder: Folder
) -> None:
    lost = "DO $$BEGIN RAISE 'could not establish connection' USING ERRCODE = '08001'; END$$;"
    events: list[Event] = []

    with pytest.raises(MigrationFailed) as problem:
        await migrate(database, sql_folder({"1_a.sql": f"SELECT 1;\n{lost}"}), events)

    assert (problem.value.sqlstate, problem.value.place and problem.value.place.line) == ("08001", 2)
    assert not any(isinstance(event, ConnectionLost) for event in events)


async def test_a_place_in_a_text_of_the_servers_own_is_not_taken_for_one_in_the_script(
    database: Database, sql_folder: Folder
) -> None:
    made = "CREATE TABLE t (a text, b int); CREATE INDEX i ON t (b) WHERE a = 'x';"
    changed = "SELECT 1;\n\nALTER TABLE t ALTER COLUMN a TYPE int USING 1;\nSELECT 2;"

    with pytest.raises(MigrationFailed, match="operator does not exist") as problem:
        await migrate(database, sql_folder({"1_a.sql": made, "2_b.sql": changed}), [])

    assert problem.value.place is not None
    assert (problem.value.place.file[-7:], problem.value.place.line) == ("2_b.sql", 3)
