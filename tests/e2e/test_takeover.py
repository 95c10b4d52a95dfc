"""`baseline`, `adopt` and `eject`: histories that come and go, and no migration that is run for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from harness.database import Database
from harness.processes import Pgready, Result, Running
from pgready.database import lock
from pgready.dialects.native import HISTORY

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

GOOSE = {
    "00001_cats.sql": "-- +goose Up\nCREATE TABLE cats (id int);\n-- +goose Down\nDROP TABLE cats;\n",
    "00002_index.sql": (
        "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY cats_id ON cats (id);\n"
        "-- +goose Down\nDROP INDEX CONCURRENTLY cats_id;\n"
    ),
    "00003_dogs.sql": "-- +goose Up\nCREATE TABLE dogs (id int);\n",
}
NATIVE = {"0001_cats.sql": "CREATE TABLE cats (id int);\n", "0002_dogs.sql": "CREATE TABLE dogs (id int);\n"}


CATS_TWICE = "CREATE TABLE IF NOT EXISTS cats (id int);\nINSERT INTO cats VALUES (1);\n"
"""What shows in the data when it is run again."""


class Target:
    """A database, and the commands on it with a folder."""

    def __init__(self, pgready: Pgready, database: Database) -> None:
        self._pgready = pgready
        self._environment = {"PGREADY_DATABASE_URL": database.url, "PGREADY_LOG_FORMAT": "console"}
        self.database = database

    async def __call__(self, command: str, folder: Path, *arguments: str | Path, **environ: str) -> Result:
        env = {**self._environment, **environ}
        result = await self._pgready(command, *arguments, "--dir", folder, env=env)
        assert "Traceback" not in result.stderr
        return result

    def start(self, command: str, folder: Path) -> Running:
        return self._pgready.start(command, "--dir", folder, env=self._environment)

    async def terminate_who_waits(self) -> None:
        """End the backend that waits for a lock of ours, once there is one."""
        query = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE 'pgready %'
        """
        with anyio.fail_after(30):
            while not await self.database.value(query):
                await anyio.lowlevel.checkpoint()

    async def recorded(self) -> list[tuple[object, ...]]:
        return await self.database.fetch("SELECT version, name FROM pgready.history ORDER BY version")

    async def audited(self) -> list[tuple[object, ...]]:
        return await self.database.fetch("SELECT action, history, reason FROM pgready.audit ORDER BY id")

    async def goose_rows(self) -> list[int]:
        rows = await self.database.fetch("SELECT version_id FROM goose_db_version ORDER BY version_id")
        return [version for (version,) in rows]


@pytest.fixture
def target(pgready: Pgready, database: Database) -> Target:
    return Target(pgready, database)


@pytest.fixture
async def with_goose(target: Target, sql_folder: SqlFolder) -> Path:
    """A folder of goose's, the first two of which are applied in its own history."""
    folder = sql_folder({name: text for name, text in GOOSE.items() if name != "00003_dogs.sql"})
    assert (await target("up", folder)).exit_code == 0
    (folder / "00003_dogs.sql").write_text(GOOSE["00003_dogs.sql"])
    return folder


# baseline


async def test_a_baseline_takes_a_schema_for_applied_and_up_goes_on_from_there(
    target: Target, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(NATIVE)
    await target.database.execute("CREATE TABLE cats (id int)")

    baseline = await target("baseline", folder, "0001", "--reason", "made by hand in 2019")
    up = await target("up", folder)

    assert baseline.exit_code == up.exit_code == 0
    assert await target.recorded() == [("0001", "cats"), ("0002", "dogs")]
    assert await target.audited() == [("baseline", "pgready.history:default", "made by hand in 2019")]


@pytest.mark.parametrize(
    ("dialect", "names", "took", "said"),
    [
        ("native", ("1_a.sql", "2_b.sql"), "SELECT DISTINCT duration_ms FROM pgready.history", None),
        ("sqlx", ("1_a.sql", "2_b.sql"), "SELECT DISTINCT execution_time FROM _sqlx_migrations", -1),
        (
            "flyway",
            ("V1__a.sql", "V2__b.sql"),
            "SELECT DISTINCT execution_time FROM flyway_schema_history",
            0,
        ),
    ],
)
async def test_a_baseline_does_not_say_how_long_took_what_it_did_not_run(
    dialect: str,
    names: tuple[str, ...],
    took: str,
    said: int | None,
    target: Target,
    sql_folder: SqlFolder,
) -> None:
    folder = sql_folder(dict.fromkeys(names, "SELECT 1;"))

    result = await target("baseline", folder, "--dialect", dialect)

    assert result.exit_code == 0
    assert await target.database.fetch(took) == [(said,)]


async def test_a_baseline_works_in_a_peers_history_too(target: Target, sql_folder: SqlFolder) -> None:
    folder = sql_folder(GOOSE)

    result = await target("baseline", folder)

    assert result.exit_code == 0
    assert await target.goose_rows() == [0, 1, 2, 3]
    assert await target.database.value("SELECT to_regclass('cats') IS NULL")


async def test_a_baseline_is_refused_where_there_is_a_history(target: Target, sql_folder: SqlFolder) -> None:
    folder = sql_folder(NATIVE)
    await target("up", folder)

    result = await target("baseline", folder, "0001")

    assert result.exit_code == 6
    assert "0001 is recorded" in result.stderr


async def test_a_version_behind_the_baseline_is_a_history_too(target: Target, sql_folder: SqlFolder) -> None:
    folder = sql_folder(NATIVE)
    await target("up", folder)
    await target.database.execute("DELETE FROM pgready.history WHERE version = '0001'")

    result = await target("baseline", folder, "0001")

    assert result.exit_code == 6
    assert "0002 is recorded" in result.stderr


async def test_a_baseline_of_flyways_stands_for_what_is_before_it(
    target: Target, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(
        {
            "V1__cats.sql": "CREATE TABLE cats (id int);",
            "B1__all.sql": "CREATE TABLE cats (id int);",
            "V2__dogs.sql": "CREATE TABLE dogs (id int);",
        }
    )
    await target.database.execute("CREATE TABLE cats (id int)")

    baseline = await target("baseline", folder, "B1")
    up = await target("up", folder)

    assert baseline.exit_code == up.exit_code == 0, baseline.stderr
    rows = await target.database.fetch("SELECT version, type FROM flyway_schema_history ORDER BY 1")
    assert rows == [("1", "SQL_BASELINE"), ("2", "SQL")]


async def test_a_dry_run_of_a_baseline_changes_nothing(target: Target, sql_folder: SqlFolder) -> None:
    result = await target("baseline", sql_folder(NATIVE), "0001", "--dry-run")

    assert result.exit_code == 0
    assert "would record: 1 version up to 0001 is taken for applied; none was run" in result.stdout
    assert await target.database.value("SELECT to_regnamespace('pgready') IS NULL")


async def test_a_baseline_that_lost_the_lock_records_nothing_and_may_be_given_again(
    target: Target, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(NATIVE)
    async with target.database.connect() as other:
        await other.execute(f"SELECT pg_advisory_lock({lock.keys_for(HISTORY).fence})")
        result = await target("baseline", folder)

    assert result.exit_code == 5
    assert "the migration lock was lost" in result.stderr and "hint: " in result.stderr
    assert await target.database.value("SELECT to_regnamespace('pgready') IS NULL")


async def test_who_lost_the_connection_in_a_commit_is_told_where_to_look(
    target: Target, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(NATIVE)
    await target("up", folder)
    await target.database.execute("DELETE FROM pgready.history")
    async with target.database.connect() as other, other.transaction():
        await other.execute("LOCK TABLE pgready.history IN SHARE MODE")
        baseline = target.start("baseline", folder)
        await target.terminate_who_waits()
        result = await baseline.wait(30)

    assert result.exit_code == 3, result.stderr
    assert "the connection was lost while this was recorded" in result.stderr
    assert "pgready status" in result.stderr


async def test_the_audit_needs_no_right_to_create_schemas_where_its_schema_is_there(
    target: Target, sql_folder: SqlFolder
) -> None:
    role = await target.database.role()
    await target.database.execute(f"CREATE SCHEMA pgready AUTHORIZATION {role.name}")
    await target.database.execute(f"GRANT CREATE ON SCHEMA public TO {role.name}")

    result = await target("baseline", sql_folder(GOOSE), PGREADY_DATABASE_URL=role.url)

    assert result.exit_code == 0, result.stderr
    assert await target.audited() == [("baseline", "public.goose_db_version", None)]


async def test_who_may_not_keep_the_audit_is_told_what_to_grant(
    target: Target, sql_folder: SqlFolder
) -> None:
    role = await target.database.role()
    await target.database.execute(f"GRANT CREATE ON SCHEMA public TO {role.name}")

    result = await target("baseline", sql_folder(GOOSE), PGREADY_DATABASE_URL=role.url)

    assert result.exit_code == 4
    assert "pgready.audit" in result.stderr
    assert f'GRANT CREATE ON DATABASE "{target.database.name}" TO "{role.name}"' in result.stderr
    assert await target.database.value("SELECT to_regclass('goose_db_version') IS NULL")


async def test_the_audit_names_the_history_where_it_lies(target: Target, sql_folder: SqlFolder) -> None:
    await target.database.execute("CREATE SCHEMA shop")
    url = f"{target.database.url}?options=-csearch_path%3Dshop"

    result = await target("baseline", sql_folder(GOOSE), PGREADY_DATABASE_URL=url)

    assert result.exit_code == 0, result.stderr
    assert await target.audited() == [("baseline", "shop.goose_db_version", None)]


# adopt


async def test_an_adopted_folder_is_native_and_nothing_is_run_again(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    to = tmp_path / "sql"

    adopt = await target("adopt", with_goose, "--to", to)
    up = await target("up", to, "--dialect", "native")

    assert adopt.exit_code == up.exit_code == 0
    assert await target.recorded() == [("00001", "cats"), ("00002", "index"), ("00003", "dogs")]
    assert "version=00003" in up.stderr and "version=00001" not in up.stderr
    assert sorted(path.name for path in (to / "migrations").iterdir()) == [
        "00001_cats.down.sql",
        "00001_cats.sql",
        "00002_index.down.sql",
        "00002_index.sql",
        "00003_dogs.sql",
    ]


async def test_an_adopted_history_keeps_when_it_was_applied(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    await target.database.execute("UPDATE goose_db_version SET tstamp = '2019-05-04 12:00'")

    await target("adopt", with_goose, "--to", tmp_path / "sql")

    assert await target.database.value("SELECT bool_and(applied_at < '2020-01-01') FROM pgready.history")


async def test_adopting_leaves_the_peers_table_as_it_is(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    await target("adopt", with_goose, "--to", tmp_path / "sql")

    assert await target.goose_rows() == [0, 1, 2]


async def test_adopting_does_not_overwrite_a_folder(target: Target, with_goose: Path, tmp_path: Path) -> None:
    to = tmp_path / "sql"
    to.mkdir()
    (to / "mine.txt").write_text("mine")

    result = await target("adopt", with_goose, "--to", to)

    assert result.exit_code == 2
    assert [path.name for path in to.iterdir()] == ["mine.txt"]
    assert await target.recorded() == []


async def test_the_command_to_give_next_names_the_written_folder(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    to = tmp_path / "our sql"

    result = await target("adopt", with_goose, "--to", to, "--namespace", "shop")

    assert f"next: pgready up --dir '{to}' --dialect native --namespace shop\n" in result.stdout
    assert "keeps nothing apart" not in result.stdout + result.stderr


async def test_a_rehearsed_adoption_says_what_the_real_one_would(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note").write_text("mine")

    taken = await target("adopt", with_goose, "--to", tmp_path / "taken", "--dry-run")
    free = await target("adopt", with_goose, "--to", tmp_path / "free", "--dry-run")

    assert taken.exit_code == 2
    assert "is not empty" in taken.stderr
    assert free.exit_code == 0, free.stderr
    assert not (tmp_path / "free").exists()


async def test_a_file_that_is_gone_is_not_adopted_in_silence(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    (with_goose / "00001_cats.sql").unlink()

    result = await target("adopt", with_goose, "--to", tmp_path / "sql")

    assert result.exit_code == 6
    assert not (tmp_path / "sql").exists()


async def test_adopting_waits_for_a_native_run_and_writes_nothing_meanwhile(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    async with target.database.connect() as other:
        await other.execute(f"SELECT pg_advisory_lock({lock.keys_for(HISTORY).main})")
        result = await target("adopt", with_goose, "--to", tmp_path / "sql", PGREADY_LOCK_TIMEOUT="0.5s")

    assert result.exit_code == 5
    assert not (tmp_path / "sql").exists()


async def test_a_repeatable_that_our_history_has_already_is_adopted_as_well(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    (with_goose / "repeatable").mkdir()
    (with_goose / "repeatable" / "views.sql").write_text("CREATE OR REPLACE VIEW kittens AS SELECT 1;\n")
    await target("up", with_goose)

    adopt = await target("adopt", with_goose, "--to", tmp_path / "sql")
    up = await target("up", tmp_path / "sql", "--dialect", "native")

    assert adopt.exit_code == up.exit_code == 0, adopt.stderr
    assert "migration.applied" not in up.stderr


async def test_a_missing_file_is_not_adopted_though_the_policy_allows_it(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    (with_goose / "00001_cats.sql").unlink()

    result = await target("adopt", with_goose, "--to", tmp_path / "sql", "--missing", "allow")

    assert result.exit_code == 6
    assert "pgready repair" in result.stderr


@pytest.mark.parametrize("history", ["pgready.history:default", "public.goose_db_version"])
async def test_what_is_partly_applied_is_not_adopted(
    target: Target, with_goose: Path, tmp_path: Path, history: str
) -> None:
    await target.database.execute(
        "INSERT INTO pgready.journal (history, kind, version, segment, state, checksum, recorded_by)"
        f" VALUES ('{history}', 'versioned', '77', 0, 'done', 'c', 'test')"
    )

    result = await target("adopt", with_goose, "--to", tmp_path / "sql")

    assert result.exit_code == 6
    assert "77" in result.stderr and "partly applied" in result.stderr


async def test_an_adoption_that_lost_the_native_lock_is_given_again(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    async with target.database.connect() as other:
        await other.execute(f"SELECT pg_advisory_lock({lock.keys_for(HISTORY).fence})")
        lost = await target("adopt", with_goose, "--to", tmp_path / "sql")
    nothing_yet = await target.recorded()

    again = await target("adopt", with_goose, "--to", tmp_path / "sql")

    assert (lost.exit_code, nothing_yet, again.exit_code) == (5, [], 0)
    assert await target.recorded() == [("00001", "cats"), ("00002", "index")]


async def test_the_audit_of_an_adoption_names_both_histories(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    await target("adopt", with_goose, "--to", tmp_path / "sql")

    assert await target.audited() == [("adopt", "public.goose_db_version, pgready.history:default", None)]


# eject


async def test_an_ejected_history_is_the_peers_again(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    to = tmp_path / "sql"
    await target("adopt", with_goose, "--to", to)
    await target("up", to, "--dialect", "native")

    eject = await target("eject", with_goose)
    status = await target("status", with_goose, "--exit-code")

    assert eject.exit_code == status.exit_code == 0
    assert await target.goose_rows() == [0, 1, 2, 3]
    assert await target.recorded() == []


async def test_a_native_history_goes_to_a_tool_that_was_never_there(
    target: Target, sql_folder: SqlFolder
) -> None:
    await target("up", sql_folder(NATIVE))
    goose = {
        "00001_cats.sql": "-- +goose Up\nCREATE TABLE cats (id int);\n",
        "00002_dogs.sql": "-- +goose Up\n\nCREATE TABLE dogs (id int); -- woof\n",
    }

    folder = sql_folder(goose)

    result = await target("eject", folder)

    assert result.exit_code == 0
    assert await target.goose_rows() == [0, 1, 2]
    assert f"next: pgready up --dir {folder} --dialect goose\n" in result.stdout


async def test_what_is_handed_over_was_applied_when_the_native_history_says(
    target: Target, sql_folder: SqlFolder
) -> None:
    await target("up", sql_folder(NATIVE))
    await target.database.execute("""
        UPDATE pgready.history SET applied_at = '2024-02-29 12:00+00', duration_ms = 61000
        WHERE version = '0001';
        UPDATE pgready.history SET applied_at = 'infinity' WHERE version = '0002'
    """)
    flyway = {"V1__cats.sql": "CREATE TABLE cats (id int);", "V2__dogs.sql": "CREATE TABLE dogs (id int);"}

    result = await target("eject", sql_folder(flyway))
    rows = await target.database.fetch("""
        SELECT version, installed_on = timestamptz '2024-02-29 12:00+00',
               installed_on > now() - interval '1 hour', execution_time
        FROM flyway_schema_history ORDER BY installed_rank
    """)

    assert result.exit_code == 0, result.stderr
    assert rows == [("1", True, False, 61000), ("2", False, True, 0)]


async def test_a_row_without_a_file_is_not_handed_over(target: Target, sql_folder: SqlFolder) -> None:
    await target("up", sql_folder(NATIVE))

    result = await target(
        "eject", sql_folder({"00001_cats.sql": "-- +goose Up\nCREATE TABLE cats (id int);"})
    )

    assert result.exit_code == 6
    assert "0002" in result.stderr
    assert await target.recorded() == [("0001", "cats"), ("0002", "dogs")]


async def test_a_pending_file_before_a_recorded_one_is_not_left_behind(
    target: Target, sql_folder: SqlFolder
) -> None:
    await target("up", sql_folder(NATIVE))
    goose = {
        "00001_cats.sql": "-- +goose Up\nCREATE TABLE cats (id int);\n",
        "00002_birds.sql": "-- +goose Up\nCREATE TABLE birds (id int);\n",
        "00003_dogs.sql": "-- +goose Up\nCREATE TABLE dogs (id int);\n",
    }

    result = await target("eject", sql_folder(goose))

    assert result.exit_code == 6
    assert "00002 is pending" in result.stderr
    assert await target.recorded() == [("0001", "cats"), ("0002", "dogs")]


async def test_the_namespace_that_has_nothing_to_hand_over_is_named(
    target: Target, sql_folder: SqlFolder
) -> None:
    result = await target("eject", sql_folder(GOOSE), "--namespace", "shop")

    assert result.exit_code == 6
    assert "in the namespace shop" in result.stderr and "--namespace" in result.stderr


async def test_what_was_ejected_is_not_run_again_by_who_still_has_the_native_folder(
    target: Target, sql_folder: SqlFolder
) -> None:
    old = sql_folder({"0001_cats.sql": CATS_TWICE})
    await target("up", old)
    await target("eject", sql_folder({"00001_cats.sql": f"-- +goose Up\n{CATS_TWICE}"}))

    result = await target("up", old)

    assert result.exit_code == 6
    assert "was handed over to public.goose_db_version (pgready eject, " in result.stderr
    assert await target.database.value("SELECT count(*) FROM cats") == 1


async def test_a_namespace_that_reads_like_two_is_known_to_be_ejected(
    target: Target, sql_folder: SqlFolder
) -> None:
    old, namespace = sql_folder({"0001_cats.sql": CATS_TWICE}), ("--namespace", "a, b")
    peer = sql_folder({"00001_cats.sql": f"-- +goose Up\n{CATS_TWICE}"})
    await target("up", old, *namespace)
    await target("eject", peer, *namespace)
    (old / "0002_more.sql").write_text(CATS_TWICE)

    result = await target("up", old, *namespace)

    assert result.exit_code == 6
    assert "pgready.history:a, b was handed over to public.goose_db_version" in result.stderr
    assert await target.database.value("SELECT count(*) FROM cats") == 1


async def test_a_table_that_reads_like_two_is_known_to_be_adopted(
    target: Target, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    peer = sql_folder({"00001_cats.sql": f"-- +goose Up\n{CATS_TWICE}"})
    await target("up", peer, GOOSE_TABLE="public.a, b")
    await target("adopt", peer, "--to", tmp_path / "sql", GOOSE_TABLE="public.a, b")
    (peer / "00002_more.sql").write_text(f"-- +goose Up\n{CATS_TWICE}")

    result = await target("up", peer, GOOSE_TABLE="public.a, b")

    assert result.exit_code == 6
    assert "public.a, b was taken over by pgready.history:default" in result.stderr
    assert await target.database.value("SELECT count(*) FROM cats") == 1


async def test_plain_files_that_were_ejected_are_not_native_any_more(
    target: Target, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_cats.sql": CATS_TWICE})
    await target("up", folder)
    await target("eject", folder, "--dialect", "sqlx")

    result = await target("up", folder)

    assert result.exit_code == 2
    assert await target.database.value("SELECT count(*) FROM cats") == 1


async def test_what_is_pending_in_an_adopted_history_is_left_to_the_native_folder(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    await target("adopt", with_goose, "--to", tmp_path / "sql")

    result = await target("up", with_goose)

    assert result.exit_code == 6
    assert "was taken over by pgready.history:default (pgready adopt, " in result.stderr
    assert await target.goose_rows() == [0, 1, 2]


async def test_what_was_adopted_is_not_taken_back_behind_the_native_historys_back(
    target: Target, with_goose: Path, tmp_path: Path
) -> None:
    (with_goose / "00003_dogs.sql").unlink()
    await target("adopt", with_goose, "--to", tmp_path / "sql")

    result = await target("down", with_goose, "--yes")

    assert result.exit_code == 6
    assert "was taken over by pgready.history:default" in result.stderr
    assert await target.goose_rows() == [0, 1, 2]


async def test_no_repair_opens_again_what_was_adopted(
    target: Target, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder = sql_folder({"1_cats.sql": CATS_TWICE})
    await target("up", folder, "--dialect", "sqlx")
    (folder / "2_more.sql").write_text(CATS_TWICE)
    await target("adopt", folder, "--dialect", "sqlx", "--to", tmp_path / "sql")
    await target("up", tmp_path / "sql")
    (folder / "1_cats.sql").write_text(f"{CATS_TWICE}-- edited since\n")

    repaired = await target("repair", folder, "1", "--dialect", "sqlx")
    result = await target("up", folder, "--dialect", "sqlx")

    assert (repaired.exit_code, result.exit_code) == (6, 6)
    assert "was taken over by pgready.history:default" in repaired.stderr
    assert "pgready repair" not in result.stderr
    assert await target.database.value("SELECT count(*) FROM cats") == 2


async def test_no_baseline_opens_again_what_was_ejected(target: Target, sql_folder: SqlFolder) -> None:
    old = sql_folder({"0001_cats.sql": CATS_TWICE})
    await target("up", old)
    await target("eject", sql_folder({"00001_cats.sql": f"-- +goose Up\n{CATS_TWICE}"}))

    result = await target("baseline", old)

    assert result.exit_code == 6
    assert "was handed over to public.goose_db_version" in result.stderr
    assert await target.recorded() == []


async def test_who_may_not_read_the_audit_does_not_run_what_was_adopted(
    target: Target, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    role = await target.database.role()
    await target.database.execute(f"GRANT CREATE ON SCHEMA public TO {role.name}")
    folder = sql_folder({"1_cats.sql": CATS_TWICE})
    await target("up", folder, "--dialect", "sqlx")
    await target.database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role.name}")
    (folder / "2_more.sql").write_text("INSERT INTO cats VALUES (1);\n")
    await target("adopt", folder, "--dialect", "sqlx", "--to", tmp_path / "sql")
    await target("up", tmp_path / "sql")

    result = await target("up", folder, "--dialect", "sqlx", PGREADY_DATABASE_URL=role.url)

    assert result.exit_code == 6, result.stderr
    assert "was taken over by pgready.history:default" in result.stderr
    assert await target.database.value("SELECT count(*) FROM cats") == 2


async def test_who_was_ejected_comes_back_by_adoption(
    target: Target, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    await target("up", sql_folder({"0001_cats.sql": CATS_TWICE}))
    peer = sql_folder({"00001_cats.sql": f"-- +goose Up\n{CATS_TWICE}"})
    await target("eject", peer)
    back = tmp_path / "sql"
    await target("adopt", peer, "--to", back)
    (back / "migrations" / "00002_dogs.sql").write_text("CREATE TABLE dogs (id int);\n")

    result = await target("up", back)

    assert result.exit_code == 0
    assert await target.recorded() == [("00001", "cats"), ("00002", "dogs")]


async def test_there_is_nobody_to_hand_a_native_folder_to(target: Target, sql_folder: SqlFolder) -> None:
    result = await target("eject", sql_folder(NATIVE))

    assert result.exit_code == 2
    assert "--dialect" in result.stderr
