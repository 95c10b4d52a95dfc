"""`serve --embedded` whose server is killed: it is started again, and nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.processes import Pgready
from pgready.database import postmaster

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]


async def test_a_killed_embedded_server_is_started_again(
    pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    data = tmp_path / "postgres" / "data"
    folder = sql_folder({"0001_notes.sql": "CREATE TABLE notes (id bigint);"})
    running = pgready.start(
        "serve", "--embedded", tmp_path / "postgres", "--dir", folder, "--port", "0",
        "--poll-interval", "300ms", "--log-format", "json",
    )  # fmt: skip
    try:
        await running.wait_for("run.ready")
        killed = postmaster.read(data)
        assert killed is not None
        os.kill(killed.pid, signal.SIGKILL)
        await running.wait_for("database.back")
        started = postmaster.read(data)
        running.signal(signal.SIGTERM)
        result = await running.wait()
    finally:
        running.kill()
        left = postmaster.read(data)
        if left is not None and postmaster.alive(left.pid):
            os.kill(left.pid, signal.SIGQUIT)

    assert started is not None
    assert (started.pid == killed.pid, started.port == killed.port) == (False, True)
    assert result.stderr.count('"embedded.started"') == 2
    assert result.exit_code == 0, result.stderr
    assert left is None
