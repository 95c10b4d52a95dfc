"""`pgready repair`: what an error names as the way out is the way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.database import Database
from harness.processes import Pgready
from harness.target import Target

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

PROCEDURE = """
CREATE TABLE ledger (entry text);
CREATE TABLE held (id integer);
CREATE PROCEDURE slow() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger VALUES ('called');
    COMMIT;
    LOCK TABLE held;
END $$;
"""
CALL = "-- pgready: no-transaction\nCALL slow();\n"
CALL_AND_MORE = CALL + "INSERT INTO ledger VALUES ('after');\n"


class Books(Target):
    """A target whose ledger says what its procedure has done."""

    async def killed_in_mid_call(self) -> None:
        """Start `up`, and kill it while its CALL has committed something and waits for more."""
        async with self.database.connect() as other, other.transaction():
            await other.execute("LOCK TABLE held")
            running = self.start("up")
            await running.until(lambda: "migration.blocked" in running.stderr, "the CALL to be blocked")
            running.kill()

    async def entries(self) -> list[str]:
        return [entry for (entry,) in await self.database.fetch("SELECT entry FROM ledger")]


@pytest.fixture
def target(pgready: Pgready, database: Database, sql_folder: SqlFolder) -> Books:
    """An empty database and an empty folder."""
    return Books(pgready, database, sql_folder({}))


@pytest.fixture(params=[CALL, CALL_AND_MORE], ids=["the last part", "a part before others"])
async def uncertain(request: pytest.FixtureRequest, target: Books) -> Books:
    """A target whose 0001 was killed in a CALL that nothing can tell about."""
    await target.database.execute(PROCEDURE)
    target.write("0001_call.sql", request.param)
    await target.killed_in_mid_call()
    return target


async def test_a_procedure_killed_in_the_middle_is_uncertain_and_names_the_way_out(uncertain: Books) -> None:
    result = await uncertain("up")

    assert result.exit_code == 6
    assert "0001_call.sql:2:1" in result.stderr
    assert f"pgready repair 0001 --dir {uncertain.folder} --done | --not-done" in result.stderr
    assert await uncertain.entries() == ["called"]


async def test_what_is_said_to_be_not_done_runs_again(uncertain: Books) -> None:
    repaired = await uncertain("repair", "0001", "--not-done")
    again = await uncertain("up")

    assert repaired.exit_code == 0, repaired.stderr
    assert "will be run again" in repaired.stdout
    assert "next: pgready up" in repaired.stdout
    assert again.exit_code == 0, again.stderr
    assert (await uncertain.entries())[:2] == ["called", "called"]
    assert await uncertain.database.value("SELECT count(*) FROM pgready.journal") == 0


async def test_what_is_said_to_be_done_is_not_run_again(uncertain: Books) -> None:
    more = "after" in (uncertain.folder / "0001_call.sql").read_text()

    repaired = await uncertain("repair", "0001", "--done")
    again = await uncertain("up")

    assert repaired.exit_code == 0, repaired.stderr
    assert again.exit_code == 0, again.stderr
    assert await uncertain.entries() == ["called", "after"][: 1 + more]
    assert await uncertain.recorded() == ["0001"]
    assert await uncertain.database.value("SELECT count(*) FROM pgready.journal") == 0


@pytest.mark.parametrize("answer", ["--done", "--not-done"])
async def test_a_dry_run_records_nothing(answer: str, uncertain: Books) -> None:
    everything = "SELECT (SELECT array_agg(j) FROM pgready.journal j), (SELECT count(*) FROM pgready.history)"
    before = await uncertain.database.fetch(everything)

    result = await uncertain("repair", "0001", answer, "--dry-run")

    assert result.exit_code == 0
    assert result.stdout.startswith("would record: 0001: part 1 of")
    assert await uncertain.database.fetch(everything) == before


async def test_a_statement_that_is_still_running_is_not_for_repair_to_judge(
    target: Books, pgready: Pgready
) -> None:
    await target.database.execute(PROCEDURE)
    target.write("0001_call.sql", CALL)
    environment = {"PGREADY_DATABASE_URL": target.database.url}
    async with target.database.connect() as other, other.transaction():
        await other.execute("LOCK TABLE held")
        running = pgready.start("up", "--dir", target.folder, env=environment)
        await running.until(lambda: "migration.blocked" in running.stderr, "the CALL to be blocked")

        at_once = await target("repair", "0001", "--done", "--lock-timeout", "1s")
        patient = pgready.start("repair", "0001", "--done", "--dir", target.folder, env=environment)
        await patient.until(lambda: "lock.waited" in patient.stderr, "the wait for the lock")

    assert at_once.exit_code == 5
    assert re.search("held by another: pid [0-9]+, pgready", at_once.stderr)
    assert (await running.wait()).exit_code == 0
    ended = await patient.wait()
    assert ended.exit_code == 2, ended.stderr
    assert "it is applied" in ended.stderr
    assert await target.recorded() == ["0001"]


@pytest.mark.parametrize(
    ("text", "before"),
    [
        pytest.param("CREATE TABLE a (id bigint);", 6, id="changed"),
        pytest.param("-- why\nCREATE TABLE a (id integer);", 0, id="changed cosmetically"),
    ],
)
async def test_a_changed_file_is_accepted(text: str, before: int, target: Books) -> None:
    target.write("0001_a.sql", "CREATE TABLE a (id integer);")
    await target("up")
    target.write("0001_a.sql", text)

    refused = await target("up")
    repaired = await target("repair", "0001")
    after = await target("up")

    assert refused.exit_code == before
    assert "changed" in refused.stderr + refused.stdout
    assert "pgready repair 0001" in refused.stderr + refused.stdout
    assert repaired.exit_code == 0, repaired.stderr
    assert after.exit_code == 0
    assert "changed" not in after.stderr + after.stdout


async def test_a_file_that_is_gone_is_accepted(target: Books) -> None:
    target.write("0001_a.sql", "CREATE TABLE a (id integer);")
    target.write("0002_b.sql", "CREATE TABLE b (id integer);")
    await target("up")
    (target.folder / "0001_a.sql").unlink()

    refused = await target("up")
    repaired = await target("repair", "0001")
    after = await target("up")

    assert refused.exit_code == 6
    assert "pgready repair 0001" in refused.stderr
    assert repaired.exit_code == 0, repaired.stderr
    assert after.exit_code == 0, after.stderr
    assert await target.recorded() == ["0002"]
    assert await target.database.value("SELECT to_regclass('a') IS NOT NULL")


async def test_the_newest_file_is_only_gone_where_somebody_says_so(target: Books) -> None:
    target.write("0001_a.sql", "CREATE TABLE a (id integer);")
    target.write("0002_b.sql", "CREATE TABLE b (id integer);")
    await target("up")
    (target.folder / "0002_b.sql").unlink()

    warned = await target("up")
    refused = await target("repair", "0002")
    repaired = await target("repair", "0002", "--gone")
    after = await target("up")

    assert warned.exit_code == 0
    assert re.search(r"pgready repair 0002 --dir \S+ --gone", warned.stderr)
    assert refused.exit_code == 2
    assert "--gone" in refused.stderr
    assert repaired.exit_code == 0, repaired.stderr
    assert await target.recorded() == ["0001"]
    assert "newer than" not in after.stderr


async def test_a_file_that_is_there_is_not_gone(target: Books) -> None:
    target.write("0001_a.sql", "CREATE TABLE a (id integer);")
    await target("up")

    refused = await target("repair", "0001", "--gone")

    assert refused.exit_code == 2
    assert "its file is there" in refused.stderr
    assert await target.recorded() == ["0001"]


async def test_the_row_of_a_renamed_file_gets_its_new_version_and_nothing_runs_again(target: Books) -> None:
    target.write(
        "0003_book.sql",
        "CREATE TABLE IF NOT EXISTS ledger (entry text);\nINSERT INTO ledger VALUES ('book');\n",
    )
    await target("up")
    (target.folder / "0003_book.sql").rename(target.folder / "0002_book.sql")
    history = "SELECT applied_at, duration_ms, applied_by FROM pgready.history"
    before = await target.database.fetch(history)

    refused = await target("up")
    repaired = await target("repair", "0003")
    up = await target("up")

    assert "pgready repair 0003" in refused.stderr
    assert (refused.exit_code, repaired.exit_code, up.exit_code) == (6, 0, 0)
    assert await target.entries() == ["book"]
    assert await target.database.fetch(history) == before


async def test_a_file_edited_behind_its_done_parts_is_accepted(target: Books) -> None:
    target.write("0001_a.sql", "CREATE TABLE a (id integer);\nVACUUM;\nSELECT 1 / 0;")
    failed = await target("up")
    target.write("0001_a.sql", "CREATE TABLE a (id bigint);\nVACUUM;\nCREATE TABLE b (id integer);")

    refused = await target("up")
    repaired = await target("repair", "0001")
    after = await target("up")

    assert failed.exit_code == 1
    assert refused.exit_code == 6
    assert "pgready repair 0001" in refused.stderr
    assert repaired.exit_code == 0, repaired.stderr
    assert after.exit_code == 0, after.stderr
    assert await target.recorded() == ["0001"]
    assert await target.database.value("SELECT to_regclass('b') IS NOT NULL")


async def test_the_parts_of_a_repeatable_that_was_edited_are_never_taken_for_done(target: Books) -> None:
    (target.folder / "repeatable").mkdir()
    view = "CREATE OR REPLACE VIEW v AS SELECT {} AS n;\nCREATE INDEX CONCURRENTLY i ON {} (entry);\n"
    await target.database.execute(PROCEDURE)
    target.write("repeatable/v.sql", view.format(1, "nobody"))
    await target("up")
    target.write("repeatable/v.sql", view.format(2, "ledger"))

    repaired = await target("repair", "v")
    planned = await target("plan")
    up = await target("up")

    assert repaired.exit_code == 2
    assert "v: there is nothing to accept; it is partly applied" in repaired.stderr
    assert "done already" not in planned.stdout
    assert up.exit_code == 0, up.stderr
    assert await target.database.value("SELECT n FROM v") == 2


async def test_what_was_started_of_a_repeatable_that_was_edited_is_not_done(target: Books) -> None:
    await target.database.execute(PROCEDURE)
    (target.folder / "repeatable").mkdir()
    target.write("repeatable/0001_call.sql", CALL)
    await target.killed_in_mid_call()
    target.write("repeatable/0001_call.sql", "INSERT INTO ledger VALUES ('edited');\n")

    refused = await target("up")
    done = await target("repair", "0001_call", "--done")
    not_done = await target("repair", "0001_call", "--not-done")
    up = await target("up")

    assert refused.exit_code == 6
    assert "pgready repair 0001_call" in refused.stderr and "--not-done" in refused.stderr
    assert done.exit_code == 2
    assert "say --not-done" in done.stderr
    assert (not_done.exit_code, up.exit_code) == (0, 0)
    assert await target.entries() == ["called", "edited"]


async def test_a_file_cut_off_behind_its_done_parts_is_accepted(target: Books) -> None:
    target.write("0001_a.sql", "CREATE TABLE a (id integer);\nVACUUM;\nSELECT 1 / 0;")
    await target("up")
    target.write("0001_a.sql", "CREATE TABLE a (id integer);")

    refused = await target("up")
    repaired = await target("repair", "0001")
    after = await target("up")

    assert refused.exit_code == 6
    assert repaired.exit_code == 0, repaired.stderr
    assert after.exit_code == 0, after.stderr
    assert await target.recorded() == ["0001"]
    assert await target.database.value("SELECT count(*) FROM pgready.journal") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("001",), "there is no such version (did you mean 0001?)"),
        (("0001",), "0001: there is nothing to accept; it is applied"),
        (("0001", "--done"), "0001: no statement of it is waiting for an answer; it is applied"),
        (("0002", "--not-done"), "0002: no statement of it is waiting for an answer; it is pending"),
        (
            ("0000", "--not-done"),
            "0000: no statement of it is waiting for an answer; it is applied (changed)",
        ),
        (("0003",), "0003: a newer release may have its file; if that is gone for good, say --gone"),
        ((), "Missing argument 'VERSION'"),
    ],
)
async def test_wrong_use_is_told(arguments: tuple[str, ...], words: str, target: Books) -> None:
    for name in ("0000_z.sql", "0001_a.sql", "0003_c.sql"):
        target.write(name, "SELECT 1;")
    await target("up")
    (target.folder / "0003_c.sql").unlink()
    target.write("0000_z.sql", "SELECT 0;")
    target.write("0002_b.sql", "SELECT 2;")

    result = await target("repair", *arguments)

    assert result.exit_code == 2
    assert words in result.stderr


async def test_a_file_that_was_recorded_while_it_was_empty_is_run_after_all(target: Books) -> None:
    await target("new", "first")
    first = await target("up")
    target.write("0001_first.sql", "CREATE TABLE filled_in ();")
    refused = await target("up")
    repaired = await target("repair", "0001", "--not-done")
    after = await target("up")

    assert first.exit_code == 0
    assert first.stderr.count("0001_first.sql: no statement in it applies 0001") == 1
    assert refused.exit_code == 6
    assert "nothing of it has run" in refused.stderr
    assert f"pgready repair 0001 --dir {target.folder} --not-done" in refused.stderr
    assert repaired.exit_code == 0, repaired.stderr
    assert after.exit_code == 0, after.stderr
    assert await target.exists("filled_in")


async def test_a_role_that_may_not_write_is_told(target: Books, pgready: Pgready) -> None:
    reader = await target.database.role("reader")
    target.write("0001_a.sql", "SELECT 1;")
    await target("up")
    await target.database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA pgready TO {reader.name}")
    target.write("0001_a.sql", "SELECT 2;")

    result = await pgready("repair", "0001", "--dir", target.folder, env={"DATABASE_URL": reader.url})

    assert result.exit_code == 4, result.stderr
    assert "permission denied" in result.stderr
