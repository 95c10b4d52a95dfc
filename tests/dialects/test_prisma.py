"""Prisma's rows and checksums."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.database import Database
from pgready.core.errors import FolderError
from pgready.core.model import Folder, Outcome, SourceFile
from pgready.dialects.prisma import Prisma

OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0")
NAME = "20260101000000_init"


def folder_of(text: str) -> tuple[Prisma, Folder]:
    prisma = Prisma()
    return prisma, prisma.read([SourceFile(f"{NAME}/migration.sql", text.encode())])


def row(text: str, *, finished: bool = True, name: str = NAME) -> dict[str, Any]:
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return {
        "checksum": checksum, "migration_name": name, "started_at": 1, "finished_at": 2 if finished else None
    }  # fmt: skip


@pytest.mark.parametrize("recorded", ["SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n"])
@pytest.mark.parametrize("found", ["SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n"])
def test_other_line_ends_are_no_change(recorded: str, found: str) -> None:
    prisma, folder = folder_of(found)

    assert prisma.match([row(recorded)], folder)[0].checksum == folder.migrations[0].checksum


def test_another_text_is_a_change() -> None:
    prisma, folder = folder_of("SELECT 1;")

    assert prisma.match([row("SELECT 2;")], folder)[0].checksum != folder.migrations[0].checksum


def test_a_row_that_is_neither_finished_nor_rolled_back_failed() -> None:
    prisma, folder = folder_of("SELECT 1;")

    assert [each.success for each in prisma.match([row("SELECT 1;", finished=False)], folder)] == [False]


def test_a_lock_file_that_cannot_be_read_is_a_problem() -> None:
    with pytest.raises(FolderError) as refused:
        Prisma().read(
            [SourceFile("migration_lock.toml", b"provider ="), SourceFile(f"{NAME}/migration.sql", b"")]
        )

    assert refused.value.problems[0].startswith("migration_lock.toml: ")


def test_a_row_without_a_folder_keeps_its_name() -> None:
    prisma, folder = folder_of("SELECT 1;")

    assert [each.version for each in prisma.match([row("x", name="gone")], folder)] == ["gone"]


async def test_what_is_recorded_late_began_before_it_was_applied(database: Database) -> None:
    prisma, folder = folder_of("SELECT 1;")
    (migration,) = folder.migrations
    await database.execute(prisma.create_history())
    await database.execute(prisma.record(migration, OUTCOME, frozenset()))
    update = prisma.backdate(migration, datetime(2024, 2, 29, 12, tzinfo=UTC), 1500, frozenset())
    assert update is not None
    await database.execute(update)

    ((started_at, finished_at),) = await database.fetch(f"SELECT started_at, finished_at FROM {prisma.table}")

    assert (started_at, finished_at) == (
        datetime(2024, 2, 29, 11, 59, 58, 500_000, UTC),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
    )
