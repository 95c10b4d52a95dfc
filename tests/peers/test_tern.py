"""What tern makes of odd files, of its settings and of its older tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.peers.peer import Step
from harness.peers.tern import Tern

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]

GOLDEN = Path(__file__).parents[1] / "dialects" / "tern"
TABLE = "CREATE TABLE schema_version (version int4 NOT NULL); INSERT INTO schema_version VALUES (0);"


@pytest.fixture(scope="module")
def tern() -> Tern:
    return Tern()


async def test_a_folder_of_every_form_leaves_what_tern_leaves(
    tern: Tern, database: Database, other: Database, pgready: Any
) -> None:
    folder = GOLDEN / "both-ways" / "input"
    ran = tern.up(folder, other.url)
    assert ran.ok, ran.output

    done = await pgready("up", "--dir", folder, env={"DATABASE_URL": database.url})
    await database.execute("DROP SCHEMA pgready CASCADE")  # the journal of what is outside a transaction

    assert done.exit_code == 0, done.stderr
    assert database.dump() == other.dump()


@pytest.mark.parametrize("case", ["bad-gaps", "bad-names", "templates-and-separators"])
def test_a_folder_that_is_refused_is_refused_by_tern(tern: Tern, database: Database, case: str) -> None:
    assert not tern.up(GOLDEN / case / "input", database.url).ok


async def test_a_table_of_before_its_primary_key_is_taken_up_by_both(
    tern: Tern, tmp_path: Path, database: Database, pgready: Any
) -> None:
    await database.execute(TABLE)
    tern.write(tmp_path / "m", [Step(1, "a", "CREATE TABLE a (id int);", "DROP TABLE a;")])

    done = await pgready("up", "--dir", tmp_path / "m", env={"DATABASE_URL": database.url})
    ran = tern.down(tmp_path / "m", database.url)

    assert done.exit_code == 0, done.stderr
    assert ran.ok, ran.output
    assert await database.fetch("SELECT version FROM schema_version") == [(0,)]


async def test_its_settings_say_which_table_it_is(
    tern: Tern, tmp_path: Path, database: Database, pgready: Any
) -> None:
    folder, conf = tmp_path / "migrations", tmp_path / "tern.conf"
    conf.write_text("[database]\nversion_table = Ops.Done\n")
    await database.execute("CREATE SCHEMA ops")
    tern.write(folder, [Step(1, "a", "CREATE TABLE a (id int);", "DROP TABLE a;")])
    flags = ("--migrations", folder, "--config", conf, "--conn-string", database.url)
    ran = tern.run("migrate", *flags)
    assert ran.ok, ran.output
    tern.write(folder, [Step(2, "b", "CREATE TABLE b (id int);", "DROP TABLE b;")])

    done = await pgready("up", "--dir", tmp_path, env={"DATABASE_URL": database.url})

    assert done.exit_code == 0, done.stderr
    assert await database.fetch("SELECT version FROM ops.done") == [(2,)]
