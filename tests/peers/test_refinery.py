"""What refinery makes of odd names, and of files that say that they may be merged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.peers.refinery import Refinery

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]

GOLDEN = Path(__file__).parents[1] / "dialects" / "refinery" / "all-forms" / "input"
NAMED = ("--dialect", "refinery")


@pytest.fixture(scope="module")
def refinery() -> Refinery:
    return Refinery()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every form of file but the program, which refinery's command cannot run either."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "m", ignore=shutil.ignore_patterns("*.rs")))


async def test_a_folder_of_every_form_leaves_what_refinery_leaves(
    refinery: Refinery, folder: Path, database: Database, other: Database, pgready: Any
) -> None:
    ran = refinery.up(folder, other.url)
    assert ran.ok, ran.output

    done = await pgready("up", *NAMED, "--dir", folder, env={"DATABASE_URL": database.url})

    assert done.exit_code == 0, done.stderr
    assert await database.fetch(refinery.rows) == await other.fetch(refinery.rows)
    assert database.dump() == other.dump()


async def test_what_refinery_merged_below_the_newest_is_applied(
    refinery: Refinery, folder: Path, database: Database, pgready: Any
) -> None:
    assert refinery.up(folder, database.url).ok
    (folder / "U4__merged.sql").write_text("CREATE TABLE merged (id int);")
    ran = refinery.up(folder, database.url)
    assert ran.ok, ran.output

    done = await pgready("up", *NAMED, "--dir", folder, env={"DATABASE_URL": database.url})

    assert done.exit_code == 0, done.stderr
    assert "ready: 7 applied" in done.stdout


async def test_a_renamed_file_is_changed_for_both(
    refinery: Refinery, folder: Path, database: Database, pgready: Any
) -> None:
    assert refinery.up(folder, database.url).ok
    (folder / "V1__people.sql").rename(folder / "V1__persons.sql")

    done = await pgready("up", *NAMED, "--dir", folder, env={"DATABASE_URL": database.url})

    assert done.exit_code == 6
    assert "V1__persons.sql: changed after it was applied" in done.stderr
    assert not refinery.up(folder, database.url).ok
