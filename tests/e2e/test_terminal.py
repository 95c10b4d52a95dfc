"""What a terminal, a pipe, a reader that stops and a full disk get from the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from harness.database import Database
from harness.processes import COMMAND, Pgready
from pgready.commands import display

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

ONE = {"0001_titles.sql": "CREATE TABLE titles (id integer);"}
_ESCAPE = "\x1b["
_PRESS_AGAIN_SECONDS = 0.5


def environment(database: Database) -> dict[str, str]:
    return {"PGREADY_DATABASE_URL": database.url}


class Terminal:
    """`pgready` on a pseudo-terminal, and all that it wrote there."""

    def __init__(self, arguments: list[str | Path], environ: Mapping[str, str], home: Path) -> None:
        ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=dict(environ), cwd=home,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._ours = ours
        self.written = b""

    def read(self) -> bool:
        """Take in what is there, waiting for some; False at the end."""
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other side is closed
            return False
        self.written += data
        return bool(data)

    def answer(self, question: str, text: str) -> None:
        """Type *text* when *question* is shown."""
        while question not in self.written.decode(errors="replace") and self.read():
            pass
        os.write(self._ours, text.encode())

    def interrupt(self) -> str:
        """Press Ctrl-C until it ends: a press before the wait for an answer has begun is heard behind it."""
        self.process.send_signal(signal.SIGINT)
        while True:
            if not select.select([self._ours], [], [], _PRESS_AGAIN_SECONDS)[0]:
                self.process.send_signal(signal.SIGINT)
            elif not self.read():
                return self.to_end()

    def to_end(self) -> str:
        while self.read():
            pass
        self.process.wait(30)
        os.close(self._ours)
        return self.written.decode()


async def on_a_terminal(
    pgready: Pgready, tmp_path: Path, database: Database, folder: Path, **more: str
) -> str:
    environ = {**pgready.environment, **environment(database), "TERM": "xterm", **more}
    terminal = Terminal(["up", "--dir", folder], environ, tmp_path)
    return await anyio.to_thread.run_sync(terminal.to_end)


SLOW = {"0001_slow.sql": "SELECT pg_sleep(2.5);"}


async def test_a_terminal_gets_colour_and_a_line_that_is_drawn_again(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    shown = await on_a_terminal(pgready, tmp_path, database, sql_folder(SLOW))

    assert f"{_ESCAPE}32m" in shown
    assert shown.count("\r\x1b[Kmigrating: 0 applied, 1 pending; 0001") > 2
    assert "1 applied" in shown.splitlines()[-4:][0] + shown.splitlines()[-3]


@pytest.mark.parametrize(
    ("more", "coloured", "drawn"),
    [({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False), ({"CI": "true"}, True, False)],
)
async def test_what_a_terminal_gets_follows_the_environment(
    more: dict[str, str], coloured: bool, drawn: bool,
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path,
) -> None:  # fmt: skip
    shown = await on_a_terminal(pgready, tmp_path, database, sql_folder(SLOW), **more)

    assert (re.search(r"\x1b\[[0-9;]+m", shown) is not None) == coloured
    assert ("\x1b[K" in shown) == drawn


async def test_colour_can_be_forced_where_there_is_no_terminal(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    arguments = ("up", "--log-format", "console", "--dir", sql_folder(ONE))

    plain = await pgready(*arguments, env=environment(database))
    forced = await pgready(*arguments, env={**environment(database), "FORCE_COLOR": "1"})

    assert _ESCAPE not in plain.stderr + plain.stdout
    assert _ESCAPE in forced.stderr


@pytest.mark.parametrize("command", ["up", "wait"])
async def test_elsewhere_a_long_wait_is_told_at_least_every_ten_seconds(
    command: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_long.sql": "SELECT pg_sleep(60);"})
    running = pgready.start(command, "--dir", folder, env=environment(database))

    await running.wait_for("run.waiting", display.HEARTBEAT_SECONDS + 10)

    (beat,) = [
        line for line in map(json.loads, running.stderr.splitlines()) if line["event"] == "run.waiting"
    ][:1]
    assert beat["level"] == "info"
    assert "1 pending" in beat["status"]


async def test_the_heart_beats_as_often_as_it_is_told_to() -> None:
    beats: list[float] = []
    third = anyio.Event()

    def beat() -> None:
        beats.append(anyio.current_time())
        if len(beats) == 3:
            third.set()

    async with anyio.create_task_group() as group:
        started = anyio.current_time()
        group.start_soon(display.keep_beating, beat, 0.05)
        await third.wait()
        group.cancel_scope.cancel()

    assert beats[0] - started >= 0.05
    assert beats[2] - started >= 0.15


# Where the output goes


@pytest.mark.parametrize("output", ["table", "json"])
async def test_a_reader_that_stops_reading_is_no_defect(
    output: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    command = [str(COMMAND), "status", "--dir", str(sql_folder(ONE)), "--output", output]
    environ = {**pgready.environment, **environment(database)}
    try:
        ended = await anyio.run_process(command, stdout=ours, check=False, env=environ)
    finally:
        os.close(ours)

    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("output", ["table", "json"])
async def test_output_that_cannot_be_written_is_an_error(
    output: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    command = [str(COMMAND), "status", "--dir", str(sql_folder(ONE)), "--output", output]
    environ = {**pgready.environment, **environment(database)}
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230
        ended = await anyio.run_process(command, stdout=full, check=False, env=environ)

    assert ended.returncode == 1
    assert b"standard output cannot be written: No space left on device" in ended.stderr


@pytest.mark.parametrize(("answer", "gone"), [("y\n", True), ("n\n", False), ("\n", False)])
async def test_down_asks_before_it_runs(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path, answer: str, gone: bool
) -> None:
    folder = sql_folder({**ONE, "0001_titles.down.sql": "DROP TABLE titles;"})
    environ = {**pgready.environment, **environment(database), "TERM": "xterm"}
    await on_a_terminal(pgready, tmp_path, database, folder)

    terminal = Terminal(["down", "--dir", folder], environ, tmp_path)
    await anyio.to_thread.run_sync(terminal.answer, "[y/N]", answer)
    shown = await anyio.to_thread.run_sync(terminal.to_end)

    assert "0001_titles.down.sql" in shown and "Traceback" not in shown
    assert await database.value("SELECT to_regclass('titles') IS NULL") is gone
    assert (terminal.process.returncode == 0) is gone


async def test_an_interrupted_question_is_a_no(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder = sql_folder({**ONE, "0001_titles.down.sql": "DROP TABLE titles;"})
    environ = {**pgready.environment, **environment(database), "TERM": "xterm"}
    await on_a_terminal(pgready, tmp_path, database, folder)

    terminal = Terminal(["down", "--dir", folder], environ, tmp_path)
    await anyio.to_thread.run_sync(terminal.answer, "[y/N]", "")
    shown = await anyio.to_thread.run_sync(terminal.interrupt)

    assert terminal.process.returncode == 130
    assert "Traceback" not in shown
    assert await database.value("SELECT to_regclass('titles') IS NOT NULL")
