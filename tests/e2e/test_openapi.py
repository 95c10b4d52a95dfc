"""A real daemon answers as its own description says, whatever a fuzzer asks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.daemon import Daemon
from harness.database import Database
from harness.processes import Pgready, Running
from pgready.service.web import RESOURCES

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
TOKEN = "5e0f2c9a17d34b68"
FOLDER = {
    "0001_books.sql": "CREATE TABLE books (id bigint PRIMARY KEY, title text DEFAULT 'none');",
    "0002_shelf.sql": "CREATE VIEW shelf AS SELECT title FROM books;",
}
ENDLESS, ITSELF = "/events", "/openapi.json"
EXAMPLES = 8
"""Of each operation, beside those at the edges of every parameter."""


@pytest.mark.timeout(300)
async def test_every_answer_is_as_openapi_says(
    database: Database,
    pgready: Pgready,
    sql_folder: Callable[[Mapping[str, str]], Path],
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    daemon = await Daemon.ready(pgready, sql_folder(FOLDER), database, PGREADY_TOKEN_FILE=str(token))
    command: list[str | Path] = [
        SCHEMATHESIS, "run", f"{await daemon.url()}/openapi.json", "--no-color", "--seed", "7",
        "--max-examples", str(EXAMPLES), "--header", f"Authorization: Bearer {TOKEN}",
        "--exclude-path", ENDLESS,
    ]  # fmt: skip

    fuzzer = Running(command, tmp_path / "fuzzer", pgready.environment)
    try:
        result = await fuzzer.wait(280)
    finally:
        fuzzer.kill()

    assert result.exit_code == 0, result.stdout
    tested = re.search(r"Tested: (\d+)", result.stdout)
    routes = {path for each in RESOURCES for path in each.shown}
    assert tested is not None and int(tested[1]) == len(routes - {ENDLESS, ITSELF})
    assert "Traceback" not in daemon.running.stderr and "request.failed" not in daemon.running.stderr
