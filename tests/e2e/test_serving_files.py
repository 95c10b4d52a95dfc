"""A daemon and its folder: a failure that is mended, a request, and the development loop of --watch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import httpx

from harness import oracle
from harness.daemon import Daemon
from harness.database import Database
from harness.oracle import noted
from harness.processes import Pgready

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

ONE = {"migrations/0001_a.sql": oracle.LEDGER + noted("0001")}
BROKEN = {**ONE, "migrations/0002_b.sql": f"CREATE TABEL b (id integer);{noted('0002')}"}
VIEW = "CREATE OR REPLACE VIEW number AS SELECT {} AS number;"


async def ledger(database: Database) -> list[str]:
    return [row[0] for row in await database.fetch("SELECT entry FROM ledger ORDER BY id")]


async def test_a_failed_daemon_tries_again_when_the_file_is_mended(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(BROKEN)
    daemon = Daemon(pgready, folder, database)
    await daemon.told("run.failed")
    failed = await daemon.readiness()

    (folder / "migrations/0002_b.sql").write_text(f"CREATE TABLE b (id integer);{noted('0002')}")
    await daemon.told("run.ready")
    mended = await daemon.readiness()

    assert (failed[0], mended[0]) == (503, 200)
    assert failed[1]["failure"]["place"]["file"] == "migrations/0002_b.sql"
    assert failed[1]["failure"]["hint"] == "mend it; it is tried again when a file changes, and on SIGHUP"
    assert mended[1]["failure"] is None
    assert await ledger(database) == ["0001", "0002"]


async def test_the_page_says_how_many_the_last_run_applied_and_not_all_since_the_start(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database, "--watch")
    (folder / "migrations/0002_b.sql").write_text("CREATE TABLE b (id integer);")
    runs = await daemon.told("run.ready", times=2)
    async with httpx.AsyncClient(base_url=await daemon.url()) as client:
        page = (await client.get("/", headers={"accept": "text/html"})).text

    assert [run["applied"] for run in runs] == [1, 1]
    assert "All 2 migrations are applied, 1 of them by this run in" in page


async def test_a_failed_daemon_does_not_try_again_by_itself(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = Daemon(pgready, sql_folder(BROKEN), database, "--watch")
    await daemon.told("run.failed")

    async with database.connect() as connection:  # a look and some glances later
        while await connection.fetchval(_GLANCES) < 5:
            await anyio.sleep(0.05)

    assert len(daemon.events("run.failed")) == len(daemon.events("migration.failed")) == 1


_GLANCES = """
SELECT floor(extract(epoch FROM clock_timestamp() - backend_start) / 0.3)::int
FROM pg_stat_activity WHERE application_name LIKE 'pgready %' AND datname = current_database()
UNION ALL SELECT 0 ORDER BY 1 DESC LIMIT 1
"""


async def test_a_failed_daemon_is_ready_once_another_has_done_the_work(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await database.execute("CREATE TABLE b (id integer)")
    folder = sql_folder({**ONE, "migrations/0002_b.sql": f"CREATE TABLE b (id integer);{noted('0002')}"})
    daemon = Daemon(pgready, folder, database)
    await daemon.told("run.failed")

    await database.execute("DROP TABLE b")
    await pgready("up", "--dir", folder, env={"PGREADY_DATABASE_URL": database.url})
    await daemon.told("run.ready")

    assert len(daemon.events("history.changed")) >= 1
    assert await ledger(database) == ["0001", "0002"]


async def test_sighup_asks_for_another_try(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await database.execute("CREATE TABLE b (id integer)")
    folder = sql_folder({**ONE, "migrations/0002_b.sql": f"CREATE TABLE b (id integer);{noted('0002')}"})
    daemon = Daemon(pgready, folder, database)
    await daemon.told("run.failed")

    await database.execute("DROP TABLE b")  # nothing that the daemon could see
    daemon.running.signal(signal.SIGHUP)
    await daemon.told("run.ready")

    assert [event["by"] for event in daemon.events("retry.requested")] == ["SIGHUP"]
    assert await ledger(database) == ["0001", "0002"]


async def test_sighup_applies_new_files_without_watch(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database)
    (folder / "migrations/0002_b.sql").write_text(noted("0002"))

    daemon.running.signal(signal.SIGHUP)
    await daemon.told("run.ready", 2)

    assert await ledger(database) == ["0001", "0002"]


async def test_sighup_in_mid_run_is_heeded_after_it(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await database.execute("CREATE TABLE held (id integer)")
    slow = f"LOCK TABLE held; CREATE TABLE b (id integer);{noted('0002')}"
    folder = sql_folder({**ONE, "migrations/0002_b.sql": slow})
    await database.execute("CREATE TABLE b (id integer)")
    async with database.connect() as other:
        await other.execute("BEGIN; LOCK TABLE held")
        daemon = Daemon(pgready, folder, database)
        await daemon.told("migration.retried")
        daemon.running.signal(signal.SIGHUP)
        await daemon.told("retry.requested")
        await other.execute("COMMIT")
    await daemon.told("run.failed", 2)

    await database.execute("DROP TABLE b")
    daemon.running.signal(signal.SIGHUP)
    await daemon.told("run.ready")

    assert len(daemon.events("run.failed")) == 2, "one for each try, none for nothing"
    assert await ledger(database) == ["0001", "0002"]


async def test_files_are_watched_without_holding_a_connection(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = Daemon(pgready, folder, database, "--watch", "--poll-interval", "0")
    await daemon.told("run.ready")

    (folder / "migrations/0002_b.sql").write_text(noted("0002"))
    await daemon.told("run.ready", 2)

    assert await ledger(database) == ["0001", "0002"]
    assert await oracle.leftovers(database, within_seconds=5) == oracle.NOTHING


async def test_a_new_file_is_applied_as_it_appears(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database, "--watch")

    (folder / "migrations/0002_b.sql").write_text(noted("0002"))
    await daemon.told("run.ready", 2)

    assert daemon.events("folder.changed")[0]["paths"] == ["migrations/0002_b.sql"]
    assert await ledger(database) == ["0001", "0002"]


async def test_a_half_written_file_is_told_and_waited_for(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database, "--watch")
    file = folder / "migrations/0002_b.sql"

    file.write_text(f"{noted('0002')} CREATE TABLE b (id integer, name text DEFAULT 'half")
    await daemon.told("run.failed")
    half = await daemon.readiness()
    file.write_text(f"{noted('0002')} CREATE TABLE b (id integer, name text DEFAULT 'half');")
    await daemon.told("run.ready", 2)
    whole = await daemon.readiness()

    assert (half[0], whole[0]) == (503, 200)
    assert half[1]["failure"]["place"]["file"] == "migrations/0002_b.sql"
    assert await ledger(database) == ["0001", "0002"]
    assert daemon.running.exit_code is None


async def test_a_file_that_grows_is_not_touched_before_it_is_at_rest(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database, "--watch")

    with (folder / "migrations/0002_b.sql").open("w", buffering=1) as file:
        for number in range(1_000_000):
            file.write(f"{noted(f'0002 {number}')}\n")
            await anyio.sleep(0.02)
            if daemon.events("folder.unsettled"):
                break
    runs_meanwhile = len(daemon.events("run.ready")) + len(daemon.events("run.failed"))
    await daemon.told("run.ready", 2)

    assert runs_meanwhile == 1
    assert daemon.events("folder.unsettled")[0]["paths"] == ["migrations/0002_b.sql"]
    assert await ledger(database) == ["0001", *(f"0002 {each}" for each in range(number + 1))]


async def test_an_empty_migration_is_waited_for_until_it_says_something(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database, "--watch")
    file = folder / "migrations/0002_b.sql"

    file.write_text("-- what it will do\n")
    (told,) = await daemon.told("folder.unsettled")
    empty = await daemon.readiness()
    file.write_text(f"-- what it does\n{noted('0002')}")
    await daemon.told("run.ready", 2)

    assert (told["paths"], told["reason"]) == (["migrations/0002_b.sql"], "no statement yet")
    assert empty[0] == 503
    assert await ledger(database) == ["0001", "0002"]


async def test_a_file_that_is_replaced_by_renaming_is_applied(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder = sql_folder(BROKEN)
    daemon = Daemon(pgready, folder, database, "--watch")
    await daemon.told("run.failed")
    (tmp_path / "new").write_text(noted("0002"))

    (tmp_path / "new").replace(folder / "migrations/0002_b.sql")
    await daemon.told("run.ready")

    assert await ledger(database) == ["0001", "0002"]


async def test_a_link_that_leads_nowhere_is_told_and_unready_until_it_leads_somewhere(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database, "--watch")

    (folder / "migrations/0002_b.sql").symlink_to(tmp_path / "0002")
    (failed,) = await daemon.told("run.failed")
    dangling = await daemon.readiness()
    (tmp_path / "0002").write_text(noted("0002"))
    await daemon.told("run.ready", 2)

    assert dangling[0] == 503
    assert failed["message"] == "migrations/0002_b.sql: cannot be read: No such file or directory"
    assert await ledger(database) == ["0001", "0002"]


async def test_a_name_that_is_not_utf_8_is_told_and_does_not_end_the_daemon(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    daemon = await Daemon.ready(pgready, folder, database, "--watch")
    notes = folder / os.fsdecode(b"notes_caf\xe9.txt")

    notes.write_text("")
    (unwatched,) = await daemon.told("folder.unwatched")
    (failed,) = await daemon.told("run.failed")
    refused = await daemon.readiness()
    notes.unlink()
    (folder / "migrations/0002_b.sql").write_text(noted("0002"))
    await daemon.running.until(lambda: applied([daemon]) == ["0001", "0002"], "0002")
    await daemon.told("run.ready", 2)

    assert "notes_caf" in unwatched["reason"]
    assert failed["message"] == "b'notes_caf\\xe9.txt': its name is not UTF-8"
    assert (refused[0], refused[1]["failure"]["message"]) == (503, failed["message"])
    assert len(daemon.events("folder.unwatched")) == 1
    assert await ledger(database) == ["0001", "0002"]


async def test_a_changed_view_is_made_again_at_once(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({**ONE, "repeatable/number.sql": VIEW.format(1)})
    daemon = await Daemon.ready(pgready, folder, database, "--watch")

    (folder / "repeatable/number.sql").write_text(VIEW.format(2))
    await daemon.told("run.ready", 2)

    assert await database.value("SELECT number FROM number") == 2
    assert await ledger(database) == ["0001"]


async def test_a_folder_that_is_swapped_as_a_whole_is_noticed(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to(sql_folder(ONE))
    daemon = await Daemon.ready(pgready, link, database, "--watch")
    (tmp_path / "next").symlink_to(sql_folder({**ONE, "migrations/0002_b.sql": noted("0002")}))

    (tmp_path / "next").replace(link)
    await daemon.told("run.ready", 2)
    (link / "migrations/0003_c.sql").write_text(noted("0003"))
    await daemon.told("run.ready", 3)

    assert await ledger(database) == ["0001", "0002", "0003"]


async def test_two_daemons_that_watch_apply_each_file_once(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({**ONE, "repeatable/number.sql": VIEW.format(0)})
    daemons = [await Daemon.ready(pgready, folder, database, "--watch") for _ in range(2)]

    for number in range(2, 5):
        (folder / f"migrations/000{number}_x.sql").write_text(noted(f"000{number}"))
        (folder / "repeatable/number.sql").write_text(VIEW.format(number))
        for daemon in daemons:
            await daemon.running.until(
                lambda daemon=daemon, number=number: f"000{number}" in applied(daemons),  # type: ignore[misc]
                f"000{number}",
            )
        for daemon in daemons:
            while (await daemon.readiness())[1]["counts"]["applied"] != number + 1:
                await anyio.sleep(0.05)
    statuses = [(await daemon.readiness())[0] for daemon in daemons]

    assert statuses == [200, 200]
    assert await ledger(database) == ["0001", "0002", "0003", "0004"]
    assert await database.value("SELECT number FROM number") == 4
    assert [event for daemon in daemons for event in daemon.events("run.failed")] == []


def applied(daemons: list[Daemon]) -> list[str]:
    return [event["version"] for daemon in daemons for event in daemon.events("migration.applied")]
