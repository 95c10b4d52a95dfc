"""`pgready down`: back the way it came, with its record, or not at all."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from harness.database import Database
from harness.processes import Pgready
from harness.target import Target

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

FILES = {
    "0001_cats.sql": "CREATE TABLE cats (id int);\n",
    "0001_cats.down.sql": "DROP TABLE cats;\n",
    "0002_index.sql": "CREATE INDEX CONCURRENTLY cats_id ON cats (id);\n",
    "0002_index.down.sql": "DROP INDEX CONCURRENTLY cats_id;\n",
    "0003_dogs.sql": "CREATE TABLE dogs (id int);\n",
    "0003_dogs.down.sql": "DROP TABLE dogs;\n",
}


BACKENDS_DROPPING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'DROP INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'
"""


BEGUN = """
INSERT INTO pgready.journal (history, kind, version, segment, state, checksum, recorded_by)
VALUES ('pgready.history:default', 'versioned', '0002', -1, 'started', '', 'the dead')
"""
"""What a `down` of 0002 that was killed leaves in the journal."""


@pytest.fixture
async def target(pgready: Pgready, database: Database, sql_folder: SqlFolder) -> Target:
    applied = Target(pgready, database, sql_folder(FILES))
    assert (await applied("up")).exit_code == 0
    return applied


async def test_the_last_migration_is_taken_back_with_its_record(target: Target) -> None:
    result = await target("down", "--yes", "--reason", "too early")

    assert result.exit_code == 0
    assert "migration.reverted" in result.stderr
    assert await target.recorded() == ["0001", "0002"]
    assert not await target.exists("dogs")
    audited = await target.database.fetch("SELECT action, what, reason FROM pgready.audit")
    assert audited == [("down", "0003 reverted", "too early")]


async def test_several_go_newest_first_also_what_runs_outside_a_transaction(target: Target) -> None:
    result = await target("down", "--all", "--yes")

    assert result.exit_code == 0
    assert await target.recorded() == []
    assert not await target.exists("cats")


async def test_a_way_back_that_was_not_filled_in_takes_nothing_back(
    pgready: Pgready, database: Database, sql_folder: SqlFolder
) -> None:
    target = Target(pgready, database, sql_folder({}))
    await target("new", "cats", "--down")
    target.write("0001_cats.sql", FILES["0001_cats.sql"])
    await target("up")
    down = await target("down", "--yes")

    assert down.exit_code == 6
    assert "0001: nothing reverts it: 0001_cats.down.sql has no statement that does" in down.stderr
    assert "write what reverts it" in down.stderr
    assert await target.recorded() == ["0001"]


async def test_what_was_reverted_is_applied_again_by_up(target: Target) -> None:
    await target("down", "--to", "0001", "--yes")

    up = await target("up")

    assert up.exit_code == 0
    assert await target.recorded() == ["0001", "0002", "0003"]
    assert await target.exists("cats_id") and await target.exists("dogs")


async def test_a_down_that_died_behind_its_statement_is_simply_given_again(target: Target) -> None:
    await target("down", "--yes")
    await target.database.execute("DROP INDEX cats_id")
    await target.database.execute(BEGUN)

    result = await target("down", "--yes")

    assert result.exit_code == 0
    assert await target.recorded() == ["0001"]


async def test_what_a_killed_down_may_have_dropped_is_not_taken_for_applied(target: Target) -> None:
    await target("down", "--yes")
    async with target.database.connect() as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT FROM cats")
        running = target.start("down", "--yes")
        with anyio.fail_after(30):
            while not await target.database.value(BACKENDS_DROPPING):
                await anyio.lowlevel.checkpoint()
        running.signal(signal.SIGKILL)
        await running.wait()
        await holding.rollback()

    up = await target("up")
    down = await target("down", "--to", "0001", "--yes")

    assert up.exit_code == 6
    assert "a `down` of it began and did not end" in up.stderr
    assert "pgready down --to 0001" in up.stderr
    assert (down.exit_code, await target.recorded()) == (0, ["0001"])
    assert (await target("up")).exit_code == 0
    assert await target.exists("cats_id")


async def test_a_drop_that_was_refused_leaves_all_as_it_was(target: Target) -> None:
    await target("down", "--yes")
    target.write(
        "0002_index.down.sql", "-- pgready: statement-timeout=200ms\nDROP INDEX CONCURRENTLY cats_id;\n"
    )
    async with target.database.connect() as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("LOCK TABLE cats IN SHARE UPDATE EXCLUSIVE MODE")
        down = await target("down", "--yes")
        await holding.rollback()

    assert down.exit_code == 1
    assert "statement timeout" in down.stderr
    assert await target.database.fetch("SELECT version FROM pgready.journal") == []
    assert (await target("up")).exit_code == 0


async def test_a_drop_that_was_refused_is_told_though_its_mark_cannot_be_taken_back(target: Target) -> None:
    await target("down", "--yes")
    async with target.database.connect() as reader, target.database.connect() as other:
        await reader.execute("BEGIN; LOCK TABLE cats IN SHARE UPDATE EXCLUSIVE MODE")
        running = target.start("down", "--yes", "--relation-lock-timeout", "500ms")
        with anyio.fail_after(30):
            while not (pid := await target.database.value(BACKENDS_DROPPING)):
                await anyio.lowlevel.checkpoint()
        await other.execute("BEGIN; LOCK TABLE pgready.journal IN SHARE MODE")
        await other.execute("SELECT pg_cancel_backend($1)", pid)
        result = await running.wait()

    assert result.exit_code == 1
    assert "0002_index.down.sql:1:1: canceling statement due to user request" in result.stderr


async def test_what_keeps_a_half_built_index_is_told_as_the_way_back_s_own(target: Target) -> None:
    build = "CREATE INDEX CONCURRENTLY dogs_id ON dogs (id);"
    target.write("0003_dogs.down.sql", f"-- pgready: statement-timeout=200ms\n{build}\n")
    async with target.database.connect() as other:
        await other.execute("BEGIN; INSERT INTO dogs VALUES (1)")
        downs = [await target("down", "--yes") for _ in range(2)]

    for down in downs:
        assert down.exit_code == 1
        assert "0003_dogs.down.sql:2:1: canceling statement due to statement timeout" in down.stderr
        assert "done: 0003 is recorded as applied still; nothing else was run" in down.stderr
    assert (await target("down", "--yes")).exit_code == 0


@pytest.fixture
async def half_taken_back(target: Target) -> Target:
    """0003 is gone, and of 0002 one of two drops: the other is refused."""
    target.write("0002_index.down.sql", "DROP INDEX CONCURRENTLY cats_id; DROP INDEX CONCURRENTLY cats;\n")
    down = await target("down", "2", "--yes")
    assert (down.exit_code, await target.exists("cats_id")) == (1, False), down.stderr
    return target


async def test_a_way_back_mended_as_one_transaction_ends_what_died_half_way(half_taken_back: Target) -> None:
    half_taken_back.write("0002_index.down.sql", "DROP INDEX IF EXISTS cats_id;\n")

    down = await half_taken_back("down", "--to", "0001", "--yes")
    ups = [await half_taken_back("up") for _ in range(2)]

    assert [each.exit_code for each in (down, *ups)] == [0, 0, 0], ups[-1].stderr
    assert await half_taken_back.exists("cats_id")


@pytest.mark.parametrize(("answer", "left"), [("--done", ["0001"]), ("--not-done", ["0001", "0002"])])
async def test_who_ended_or_undid_a_half_way_back_by_hand_says_so(
    half_taken_back: Target, answer: str, left: list[str]
) -> None:
    if answer == "--not-done":
        await half_taken_back.database.execute("CREATE INDEX cats_id ON cats (id)")

    refused, asked = await half_taken_back("up"), await half_taken_back("repair", "0002")
    repair = await half_taken_back("repair", "0002", answer)

    assert (refused.exit_code, asked.exit_code, repair.exit_code) == (6, 2, 0)
    assert re.search(r"pgready repair 0002 --dir \S+ --done \| --not-done", refused.stderr)
    assert "--done or --not-done?" in asked.stderr
    assert await half_taken_back.recorded() == left
    assert (await half_taken_back("up")).exit_code == 0
    assert await half_taken_back.exists("cats_id")


async def test_what_is_applied_again_is_not_half_taken_back_any_more(half_taken_back: Target) -> None:
    half_taken_back.write("0002_index.sql", "CREATE INDEX cats_id ON cats (id);\n")  # one transaction
    await half_taken_back.database.execute("DELETE FROM pgready.history WHERE version = '0002'")

    ups = [await half_taken_back("up") for _ in range(2)]

    assert [up.exit_code for up in ups] == [0, 0], ups[-1].stderr
    assert await half_taken_back.exists("cats_id")


async def test_who_may_not_write_the_journal_takes_back_what_has_no_mark_in_it(target: Target) -> None:
    role = await target.database.role()
    await target("down", "--dry-run")
    await target.database.execute(
        f"ALTER TABLE dogs OWNER TO {role.name}; GRANT CREATE ON SCHEMA public TO {role.name};"
        f"GRANT ALL ON pgready.history TO {role.name}; GRANT CREATE ON SCHEMA pgready TO {role.name}"
    )

    result = await target("down", "--yes", PGREADY_DATABASE_URL=role.url)

    assert result.exit_code == 0, result.stderr
    assert await target.recorded() == ["0001", "0002"]


async def test_what_is_half_taken_back_is_known_under_another_spelling(half_taken_back: Target) -> None:
    for name in ("0002_index.sql", "0002_index.down.sql"):
        (half_taken_back.folder / name).rename(half_taken_back.folder / name.replace("0002", "2"))

    up = await half_taken_back("up")

    assert up.exit_code == 6
    assert "0002: a `down` of it began and did not end" in up.stderr


@pytest.fixture
async def completed_by_hand(target: Target) -> Target:
    """Of 0004 pgready did one part of two, and a person the other, and its record."""
    target.write(
        "0004_owls.sql", "CREATE TABLE owls (id int);\nCREATE INDEX CONCURRENTLY owls_id ON owls (no);\n"
    )
    target.write("0004_owls.down.sql", "DROP TABLE owls;\n")
    assert (await target("up")).exit_code == 1
    target.write(
        "0004_owls.sql", "CREATE TABLE owls (id int);\nCREATE INDEX CONCURRENTLY owls_id ON owls (id);\n"
    )
    checksum = hashlib.sha256((target.folder / "0004_owls.sql").read_bytes()).hexdigest()
    await target.database.execute("CREATE INDEX owls_id ON owls (id)")
    await target.database.execute(
        "INSERT INTO pgready.history (namespace, kind, version, name, checksum, segments, applied_by, "
        f"pgready_version) VALUES ('default', 'versioned', '0004', 'owls', '{checksum}', 2, 'somebody', '')"
    )
    return target


async def test_what_somebody_else_completed_is_warned_of_until_it_is_said_to_be_done(
    completed_by_hand: Target,
) -> None:
    warned, repair = await completed_by_hand("up"), await completed_by_hand("repair", "0004")
    silent = await completed_by_hand("up")

    assert (warned.exit_code, repair.exit_code, silent.exit_code) == (0, 0, 0)
    assert "the journal has parts of it still" in warned.stderr
    assert "pgready repair 0004" in warned.stderr
    assert "the journal has parts of it" not in silent.stderr


async def test_what_somebody_else_completed_is_made_anew_behind_a_down(completed_by_hand: Target) -> None:
    down, up = await completed_by_hand("down", "--yes"), await completed_by_hand("up")

    assert (down.exit_code, up.exit_code) == (0, 0)
    assert await completed_by_hand.exists("owls") and await completed_by_hand.exists("owls_id")


@pytest.mark.parametrize(
    ("way_back", "problem"),
    [
        ("CREATE INDEX CONCURRENTLY cats_id ON cats (name);\n", 'relation "cats_id" already exists'),
        ("DROP INDEX CONCURRENTLY cats_idd;\n", 'index "cats_idd" does not exist'),
    ],
)
async def test_a_way_back_that_finds_its_work_done_is_an_error_each_time(
    way_back: str, problem: str, target: Target
) -> None:
    await target("down", "--yes")
    target.write("0002_index.down.sql", way_back)
    await target.database.execute("ALTER TABLE cats ADD COLUMN name text")

    downs = [await target("down", "--yes") for _ in range(2)]  # the second must not take it for reverted

    assert [down.exit_code for down in downs] == [1, 1]
    assert all(problem in down.stderr for down in downs)
    assert await target.recorded() == ["0001", "0002"]
    assert (await target("up")).exit_code == 0


async def test_a_dry_run_says_what_would_be_run(target: Target) -> None:
    result = await target("down", "2", "--dry-run")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "would run: 0003: 0003_dogs.down.sql",
        "would run: 0002: 0002_index.down.sql",
    ]
    assert await target.recorded() == ["0001", "0002", "0003"]


async def test_where_nobody_can_be_asked_it_must_be_said(target: Target) -> None:
    result = await target("down")

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert "0003_dogs.down.sql" in result.stdout
    assert await target.exists("dogs")


async def test_what_has_no_way_back_is_refused_before_anything_runs(target: Target) -> None:
    (target.folder / "0001_cats.down.sql").unlink()

    result = await target("down", "--all", "--yes")

    assert result.exit_code == 6
    assert "0001: nothing reverts it" in result.stderr
    assert await target.recorded() == ["0001", "0002", "0003"]


async def test_a_way_back_that_could_stay_half_done_is_refused(target: Target) -> None:
    (target.folder / "0003_dogs.down.sql").write_text("DROP TABLE dogs;\nDROP INDEX CONCURRENTLY cats_id;\n")

    result = await target("down", "--yes")

    assert result.exit_code == 6
    assert "0003" in result.stderr
    assert await target.exists("dogs")


async def test_a_failing_way_back_leaves_all_as_it_was_and_shows_where(target: Target) -> None:
    (target.folder / "0003_dogs.down.sql").write_text("DROP TABLE dogs;\nDROP TABLE nobody;\n")

    result = await target("down", "--yes")

    assert result.exit_code == 1
    assert "0003_dogs.down.sql:2" in result.stderr
    assert "0003 is applied as before" in result.stderr
    assert await target.exists("dogs")
    assert await target.recorded() == ["0001", "0002", "0003"]


async def test_a_locked_table_is_waited_for_without_a_queue_behind(target: Target) -> None:
    async with target.database.connect() as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT FROM dogs")
        running = target.start("down", "--yes")
        await running.until(lambda: "migration.retried" in running.stderr, "the ladder to be climbed")
        await holding.rollback()
        result = await running.wait()

    assert result.exit_code == 0
    assert await target.recorded() == ["0001", "0002"]


async def test_the_record_of_what_ran_alone_is_tried_again_while_the_history_is_locked(
    target: Target,
) -> None:
    target.write("0003_dogs.down.sql", "VACUUM FULL dogs;\n")
    async with target.database.connect() as other:
        await other.execute("BEGIN; LOCK TABLE pgready.history IN SHARE MODE")
        given_up = await target("down", "--yes", "--relation-lock-timeout", "1s")
        running = target.start("down", "--yes")
        await running.until(lambda: "migration.retried" in running.stderr, "the ladder to be climbed")
        await other.execute("ROLLBACK")
        result = await running.wait()

    assert given_up.exit_code == 5
    assert "migration.retried" in given_up.stderr
    assert "could not be recorded in pgready.history: canceling statement" in given_up.stderr
    assert "done: 0003 is recorded as applied still; nothing else was run" in given_up.stderr
    assert "hint: end what holds it, then: pgready down" in given_up.stderr
    assert result.exit_code == 0
    assert await target.recorded() == ["0001", "0002"]
    assert await target.database.fetch("SELECT segment FROM pgready.journal") == []


async def test_a_version_that_does_not_exist_is_named(target: Target) -> None:
    result = await target("down", "--to", "0004", "--yes")

    assert result.exit_code == 2
    assert "0004" in result.stderr


async def test_a_version_with_two_rows_is_not_taken_back_and_its_script_not_blamed(
    pgready: Pgready, database: Database, sql_folder: SqlFolder
) -> None:
    files = {"V1__owls.sql": "CREATE TABLE owls (id int);", "U1__owls.sql": "DROP TABLE owls;"}
    owls = Target(pgready, database, sql_folder(files))
    await owls("up")
    await database.execute(
        "INSERT INTO flyway_schema_history"
        " VALUES (2, '1', 'owls', 'SQL', 'V1__owls.sql', NULL, 'app', now(), 1, true)"
    )

    result = await owls("down", "--yes")

    assert result.exit_code == 6, result.stderr
    assert "1: public.flyway_schema_history has another row that says" in result.stderr
    assert "1 is applied as before" in result.stderr
    assert "then: pgready down --all" in result.stderr
    assert "U1__owls.sql" not in result.stderr and "recorded meanwhile" not in result.stderr
    assert await owls.exists("owls")


async def test_a_goose_folder_goes_back_in_gooses_own_table(
    pgready: Pgready, database: Database, sql_folder: SqlFolder
) -> None:
    goose = "-- +goose Up\nCREATE TABLE owls (id int);\n-- +goose Down\nDROP TABLE owls;\n"
    owls = Target(pgready, database, sql_folder({"00001_owls.sql": goose}))
    await owls("up")

    result = await owls("down", "--yes")

    assert result.exit_code == 0
    assert not await owls.exists("owls")
    assert await database.fetch("SELECT version_id FROM goose_db_version") == [(0,)]


async def test_that_a_drop_began_is_journaled_for_a_goose_folder_too(
    pgready: Pgready, database: Database, sql_folder: SqlFolder
) -> None:
    make = "-- +goose Up\nCREATE TABLE owls (id int);\n-- +goose Down\nDROP TABLE owls;\n"
    index = (
        "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX owls_id ON owls (id);\n"
        "-- +goose Down\n-- +goose StatementBegin\nDROP INDEX CONCURRENTLY {};\n-- +goose StatementEnd\n"
    )
    folder = sql_folder({"00001_owls.sql": make, "00002_index.sql": index.format("owls_id")})
    owls = Target(pgready, database, folder)
    await owls("up")
    owls.write("00002_index.sql", index.format("owls_id, owls_other"))  # refused by the server

    refused = await owls("down", "--yes")
    kept = await database.fetch("SELECT version FROM pgready.journal")
    owls.write("00002_index.sql", index.format("owls_id"))
    result = await owls("down", "--yes")

    assert (refused.exit_code, kept) == (1, []), refused.stderr
    assert result.exit_code == 0
    assert not await owls.exists("owls_id")
    assert await database.fetch("SELECT version FROM pgready.journal") == []


async def test_a_count_that_failed_half_way_goes_on_to_its_goal_and_no_further(target: Target) -> None:
    (target.folder / "0004_owls.sql").write_text("CREATE TABLE owls (id int);\n")
    (target.folder / "0004_owls.down.sql").write_text("DROP TABLE owls;\n")
    await target("up")
    (target.folder / "0003_dogs.down.sql").write_text("DROP TABLE nobody;\n")

    failed = await target("down", "2", "--yes")
    (target.folder / "0003_dogs.down.sql").write_text("DROP TABLE dogs;\n")
    again = await target("down", "--to", "0002", "--yes")

    assert failed.exit_code == 1
    assert f"then: pgready down --to 0002 --dir {target.folder}\n" in failed.stderr
    assert "0003 is applied as before; 1 before it was reverted" in failed.stderr
    assert again.exit_code == 0
    assert await target.recorded() == ["0001", "0002"]


async def test_a_row_of_another_spelling_goes_too(target: Target) -> None:
    for name in ("0003_dogs.sql", "0003_dogs.down.sql"):
        (target.folder / name).rename(target.folder / name.replace("0003", "3"))

    result = await target("down", "--yes")

    assert result.exit_code == 0
    assert await target.recorded() == ["0001", "0002"]


async def test_an_index_that_cannot_be_told_apart_is_not_dropped(target: Target) -> None:
    await target("down", "--yes")
    await target.database.execute("CREATE SCHEMA later; ALTER INDEX cats_id RENAME TO cats_old")
    await target.database.execute("CREATE TABLE later.x (id int); CREATE INDEX cats_id ON later.x (id)")
    await target.database.execute(f"ALTER DATABASE {target.database.name} SET search_path = public, later")
    await target.database.execute(BEGUN)

    result = await target("down", "--yes")

    assert result.exit_code == 6
    assert "nothing can tell" in result.stderr
    assert await target.exists("later.cats_id")


async def test_a_view_that_went_with_its_table_is_made_again_by_up(target: Target) -> None:
    (target.folder / "repeatable").mkdir()
    target.write("repeatable/dog_names.sql", "CREATE VIEW dog_names AS SELECT id FROM dogs;\n")
    target.write("0003_dogs.down.sql", "DROP VIEW dog_names; DROP TABLE dogs;\n")
    await target("up")

    down = await target("down", "--yes")
    up = await target("up")

    assert down.exit_code == up.exit_code == 0
    assert await target.exists("dog_names")


async def test_which_views_are_made_again_is_said_before(target: Target) -> None:
    (target.folder / "repeatable").mkdir()
    target.write("repeatable/dog_names.sql", "CREATE VIEW dog_names AS SELECT id FROM dogs;\n")
    await target("up")

    result = await target("down", "--dry-run")

    assert result.stdout.splitlines() == [
        "would run: 0003: 0003_dogs.down.sql",
        "to be run again by the next up: dog_names",
    ]


async def test_who_lost_the_connection_in_a_way_back_is_told_how_to_go_on(target: Target) -> None:
    target.write("0003_dogs.down.sql", "DROP TABLE dogs; SELECT pg_sleep(60);\n")
    down = target.start("down", "--yes")
    terminate = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'PgSleep'
    """
    with anyio.fail_after(30):
        while not await target.database.value(terminate):
            await anyio.lowlevel.checkpoint()

    result = await down.wait()

    assert result.exit_code == 3
    assert "the server did not say which; nothing else was run" in result.stderr
    assert "then: pgready down --to 0002 " in result.stderr
    assert await target.recorded() == ["0001", "0002", "0003"]


async def test_a_repeatable_of_which_a_part_is_done_is_made_again_from_its_start(target: Target) -> None:
    (target.folder / "repeatable").mkdir()
    target.write(
        "repeatable/tally.sql",
        "CREATE MATERIALIZED VIEW tally AS SELECT id FROM dogs;\n"
        "CREATE UNIQUE INDEX CONCURRENTLY tally_id ON tally (id);\n",
    )
    target.write("0003_dogs.down.sql", "DROP MATERIALIZED VIEW tally; DROP TABLE dogs;\n")
    await target.database.execute("INSERT INTO dogs VALUES (1), (1)")
    failed = await target("up")

    down = await target("down", "--yes")
    up = await target("up")

    assert [each.exit_code for each in (failed, down, up)] == [1, 0, 0]
    assert await target.exists("tally_id")
