"""docs/native-layout.md shows the tables as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.database import Database
from pgready.database import audit
from pgready.dialects.native import AUDIT, HANDOVER, HISTORY, JOURNAL, STATUS, Native
from pgready.running import handover

PAGE = Path(__file__).parents[2] / "docs" / "native-layout.md"

COLUMNS = """
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 ORDER BY a.attnum
"""


def documented(table: str) -> list[tuple[str, str]]:
    section = PAGE.read_text(encoding="utf-8").partition(f"### {table}\n")[2].partition("\n#")[0]
    cells = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return [(name.strip(" `"), kind.strip()) for _, name, kind, *_ in cells]


@pytest.mark.parametrize("table", [str(table) for table in (HISTORY, JOURNAL, AUDIT, HANDOVER, STATUS)])
async def test_the_columns_are_documented_as_they_are(database: Database, table: str) -> None:
    await database.execute(Native().create_history())
    await database.execute(audit.CREATE)
    await database.execute(handover.CREATE)

    assert await database.fetch(COLUMNS, table) == documented(table)
