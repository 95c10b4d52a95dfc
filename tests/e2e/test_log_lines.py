"""Whatever happens, each line of the log has the chosen form, a time, a level, a name and the run's id."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from harness.database import Database
from harness.processes import Pgready, Running

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

FILES = {
    "migrations/0001_titles.sql": """
CREATE TABLE titles (id integer);
DO $$ BEGIN RAISE WARNING 'a "b"
=c'; END $$;
""",
    "migrations/0002_typo.sql": "ALTER TABLE title ADD x integer;",
}
ALWAYS = ("timestamp", "level", "event", "run_id")


def from_json(line: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(line)
    return found


def from_logfmt(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(line))


async def request(running: Running, path: str) -> None:
    """Ask the daemon, which listens by now."""
    address = re.search(r"http://[\d.]+:\d+", running.stderr)
    assert address
    async with httpx.AsyncClient() as client:
        await client.get(address[0] + path)


@pytest.mark.parametrize(("form", "read"), [("json", from_json), ("logfmt", from_logfmt)])
async def test_every_line_of_a_daemon_is_whole_and_of_one_run(
    database: Database,
    pgready: Pgready,
    sql_folder: SqlFolder,
    form: str,
    read: Callable[[str], dict[str, str]],
) -> None:
    env = {"DATABASE_URL": database.url, "PGREADY_LOG_LEVEL": "debug", "PGREADY_LOG_FORMAT": form}
    running = pgready.start("serve", "--dir", sql_folder(FILES), "--port", "0", env=env)
    await running.wait_for("run.failed")
    for path in ("/migrations?state=nonsense", "/nothing%0A", "/ready", "/metrics"):
        await request(running, path)
    running.signal(signal.SIGTERM)
    ended = await running.wait()
    lines = [read(line) for line in ended.stderr.splitlines()]
    events = {line["event"] for line in lines}

    assert {"server.noticed", "run.failed", "http.answered", "phase.entered"} <= events
    assert [line for line in lines if tuple(line)[:4] != ALWAYS] == []
    assert len({line["run_id"] for line in lines}) == 1
    assert "nonsense" not in ended.stderr and "/ready" not in [line.get("path") for line in lines]


@pytest.mark.parametrize("command", ["up", "status"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("x-statement-timeout=5", "x-statement-timeout is ignored"),
        ("options=-c%20statement_timeout%3D5", "statement_timeout is ignored: --statement-timeout"),
    ],
)
async def test_what_is_ignored_of_the_settings_is_said_once_and_first(
    query: str, said: str, command: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    env = {"DATABASE_URL": f"{database.url}?{query}", "PGREADY_LOG_FORMAT": "json"}
    ended = await pgready(command, "--dir", sql_folder({"0001_a.sql": "SELECT 1;"}), env=env)
    first, *others = map(from_json, ended.stderr.splitlines())

    assert (first["event"], first["level"]) == ("settings.noticed", "warning")
    assert said in first["message"]
    assert "settings.noticed" not in [line["event"] for line in others]


async def test_settings_that_cannot_be_used_are_a_line_like_every_other(pgready: Pgready) -> None:
    ended = await pgready("up", env={"PGREADY_PORT": "many", "PGREADY_LOG_FORMAT": "logfmt"})
    (line,) = ended.stderr.splitlines()

    assert tuple(from_logfmt(line))[:4] == ALWAYS
