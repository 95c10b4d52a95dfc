"""refinery's checksums in both widths, as refinery itself computed them, and odd rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from harness.database import Database
from pgready.core.model import Applied, Folder, Outcome, SourceFile
from pgready.dialects.refinery import Refinery
from pgready.dialects.siphash import siphash13

OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0")
FILES = {"V1__initial.sql": "SELECT 1;", "V02__größe_2.sql": "SELECT 'ü';\r\n", "U300__x.sql": ""}
NARROW = ["701382154757890431", "4811675588362677533", "16335559580634196401"]
WIDE = ["3330196516202730252", "9609021348334398463", "2849194783251689950"]


def made(**more: str) -> tuple[Refinery, Folder]:
    dialect = Refinery()
    files = {**FILES, **{f"{name}.sql": text for name, text in more.items()}}
    return dialect, dialect.read([SourceFile(path, text.encode()) for path, text in files.items()])


def matched(**row: Any) -> Applied:
    dialect, folder = made()
    return dialect.match([{"version": 1, "name": "initial", "applied_on": None, **row}], folder)[0]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 15130871412783076140),
        (b"1234567", 11762668945129975425),
        (b"12345678", 3785724242978802311),
        (b"123456789", 1133797698992234447),
        (bytes(range(256)) * 4, 4684636520149122054),
    ],
)
def test_the_hash_is_rusts(data: bytes, value: int) -> None:
    assert siphash13(data) == value


def test_a_folder_of_small_numbers_has_the_checksums_of_four_bytes() -> None:
    _, folder = made()

    assert [each.checksum for each in folder.migrations] == NARROW


def test_a_folder_of_great_numbers_has_the_checksums_of_eight_bytes() -> None:
    dialect, folder = made(V2147483648__great="SELECT 1;")

    assert [each.checksum for each in folder.migrations[:3]] == WIDE
    assert "bigint" in dialect.create_history()


@pytest.mark.parametrize("checksum", [NARROW[0], WIDE[0]])
def test_either_checksum_is_the_files(checksum: str) -> None:
    assert matched(checksum=checksum).checksum == NARROW[0]


@pytest.mark.parametrize("checksum", ["1", "", None])
def test_any_other_is_what_the_row_says(checksum: str | None) -> None:
    assert matched(checksum=checksum).checksum == (checksum or "")


@pytest.mark.parametrize(("kind", "checksums"), [("int4", NARROW), ("int8", WIDE)])
async def test_what_is_written_follows_the_table_that_is_there(
    database: Database, kind: str, checksums: list[str]
) -> None:
    dialect, folder = made()
    await database.execute(dialect.create_history().replace("integer", kind))
    for migration in folder.migrations:
        await database.execute(dialect.record(migration, OUTCOME, frozenset()))
    first = folder.migrations[0]
    await database.execute("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1")
    await database.execute(dialect.accept(first, None))

    rows = await database.fetch("SELECT version, name, checksum FROM refinery_schema_history ORDER BY 1")
    assert rows == [
        (version, name, checksum)
        for version, name, checksum in zip((1, 2, 300), ("initial", "größe_2", "x"), checksums, strict=True)
    ]


@pytest.mark.parametrize(
    ("applied_on", "moment"),
    [
        ("2026-11-24T16:00:00.123456789Z", datetime(2026, 11, 24, 16, 0, 0, 123456, UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_its_times_are_read_where_they_are_times(applied_on: str | None, moment: datetime | None) -> None:
    assert matched(checksum="1", applied_on=applied_on).applied_at == moment


def test_a_program_that_was_run_is_neither_changed_nor_in_the_way() -> None:
    dialect = Refinery()
    folder = dialect.read([SourceFile("V1__a.rs", b"")])
    row = {"version": 1, "name": "a", "applied_on": None, "checksum": "77"}

    assert dialect.match([row], folder)[0].checksum is None
    assert folder.migrations[0].script.unrunnable is not None


def test_a_row_without_a_file_keeps_its_name() -> None:
    assert matched(version=7, name="gone", checksum="1") == Applied("7", "gone", checksum="1")
