"""SIGTERM to a daemon in each of its states: out within 5 s, with the right code, and nothing left behind."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import anyio
import asyncpg
import pytest

from harness import oracle
from harness.daemon import Daemon
from harness.database import Database
from harness.processes import COMMAND, Pgready
from harness.server import Server, free_port

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

LIMIT_SECONDS = 5.0
GOOD = {"0001_a.sql": "CREATE TABLE a (id integer);"}
BAD = {**GOOD, "0002_b.sql": "CREATE TABEL b (id integer);"}

Start = Callable[[Pgready, SqlFolder, Database], Awaitable[Daemon]]


async def ready(pgready: Pgready, sql_folder: SqlFolder, database: Database) -> Daemon:
    return await Daemon.ready(pgready, sql_folder(GOOD), database)


async def ready_and_watching_files(pgready: Pgready, sql_folder: SqlFolder, database: Database) -> Daemon:
    return await Daemon.ready(pgready, sql_folder(GOOD), database, "--watch")


async def failed(pgready: Pgready, sql_folder: SqlFolder, database: Database) -> Daemon:
    daemon = Daemon(pgready, sql_folder(BAD), database)
    await daemon.told("run.failed")
    return daemon


async def failed_and_watching_files(pgready: Pgready, sql_folder: SqlFolder, database: Database) -> Daemon:
    daemon = Daemon(pgready, sql_folder(BAD), database, "--watch")
    await daemon.told("run.failed")
    return daemon


async def trying_again(pgready: Pgready, sql_folder: SqlFolder, _: Database) -> Daemon:
    url = f"postgresql://app:pw@127.0.0.1:{free_port()}/app"
    daemon = Daemon(pgready, sql_folder(GOOD), url, "--connect-timeout", "0")
    await daemon.told("run.failed")
    return daemon


async def waiting_for_a_restore(pgready: Pgready, sql_folder: SqlFolder, database: Database) -> Daemon:
    daemon = await ready(pgready, sql_folder, database)
    restoring = await asyncpg.connect(
        database.url, server_settings={"application_name": "pg_restore"}, ssl=False
    )
    await restoring.execute("DELETE FROM pgready.history")
    await daemon.told("target.unsettled", 2)
    restoring.terminate()
    return daemon


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (ready, 0),
        (ready_and_watching_files, 0),
        (failed, 1),
        (failed_and_watching_files, 1),
        (trying_again, 143),
        (waiting_for_a_restore, 143),
    ],
)
async def test_sigterm_ends_a_daemon_in_time_and_leaves_nothing(
    start: Start, code: int, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await start(pgready, sql_folder, database)

    daemon.running.signal(signal.SIGTERM)
    result = await daemon.running.wait(LIMIT_SECONDS)

    assert result.exit_code == code, result.stderr
    assert await oracle.leftovers(database) == oracle.NOTHING
    assert "Traceback" not in result.stderr


async def test_sigterm_while_the_server_is_away_ends_a_ready_daemon_well(
    pgready: Pgready, sql_folder: SqlFolder
) -> None:
    server = Server()
    try:
        await anyio.to_thread.run_sync(server.start)
        daemon = await Daemon.ready(pgready, sql_folder(GOOD), server.url(), "--watch")
        server.crash()
        await daemon.told("database.lost")
        daemon.running.signal(signal.SIGTERM)
        result = await daemon.running.wait(LIMIT_SECONDS)
    finally:
        server.remove()

    assert result.exit_code == 0, result.stderr
    assert "Traceback" not in result.stderr


_BACKEND = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgready %' AND state = 'idle'"


def is_unread(port: int) -> bool:
    """Whether a connection to *port* has bytes that its server has not taken (the kernel's table)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(line[1][9:], 16) == port and int(line[4].partition(":")[2], 16) for line in lines)


async def test_sigterm_while_the_server_hangs_ends_a_ready_daemon_in_time(
    pgready: Pgready, sql_folder: SqlFolder
) -> None:
    server = Server()
    try:
        await anyio.to_thread.run_sync(server.start)
        daemon = await Daemon.ready(pgready, sql_folder(GOOD), server.url())
        seen = [""]

        def stays() -> bool:  # the run's own connection is on its way out
            seen.append(server.psql(_BACKEND))
            return bool(seen[-1]) and seen[-1] == seen[-2]

        await daemon.running.until(stays, "its connection")
        backend = int(seen[-1])
        os.kill(backend, signal.SIGSTOP)
        try:
            await daemon.running.until(lambda: is_unread(server.port), "a glance that nobody answers")
            daemon.running.signal(signal.SIGTERM)
            result = await daemon.running.wait(LIMIT_SECONDS)
        finally:
            os.kill(backend, signal.SIGCONT)
    finally:
        server.remove()

    assert result.exit_code == 0, result.stderr


class Window:
    """`serve` with a controlling terminal of its own, as a shell's window has it."""

    def __init__(
        self, pgready: Pgready, database: Database, folder: Path, log: Path, *by: str, shown: bool = False
    ) -> None:
        """*by* starts it. It writes to *log* or, where it is to be *shown*, on the terminal."""
        self._terminal, theirs = pty.openpty()
        command: list[str | Path] = [
            "setsid",
            "--ctty",
            *by,
            COMMAND,
            "serve",
            "--dir",
            folder,
            "--port",
            "0",
        ]
        environ = {**pgready.environment, "PGREADY_DATABASE_URL": database.url, "TERM": "xterm"}
        with log.open("wb") as opened:
            output = theirs if shown else opened
            self.process = subprocess.Popen(
                command, stdin=theirs, stdout=output, stderr=output, env=environ, cwd=log.parent
            )
        os.close(theirs)
        self._log = log

    async def told(self, event: str, times: int = 1) -> None:
        with anyio.fail_after(30):
            while self._log.read_text().count(event) < times:
                assert self.process.poll() is None, self._log.read_text()
                await anyio.sleep(0.02)

    async def shows(self, text: str) -> None:
        written = b""
        with anyio.fail_after(30):
            while text not in written.decode(errors="replace"):
                await anyio.wait_readable(self._terminal)
                written += os.read(self._terminal, 65536)

    def close(self) -> None:
        os.close(self._terminal)

    async def ended(self) -> int:
        """The exit code of it, if it comes in time."""
        with anyio.fail_after(LIMIT_SECONDS):
            while (code := self.process.poll()) is None:
                await anyio.sleep(0.02)
        return code


@pytest.fixture
def window(pgready: Pgready, database: Database, tmp_path: Path) -> Iterator[Callable[..., Window]]:
    opened: list[Window] = []

    def open_(folder: Path, *by: str, shown: bool = False) -> Window:
        opened.append(Window(pgready, database, folder, tmp_path / "log", *by, shown=shown))
        return opened[-1]

    yield open_
    for each in opened:
        each.process.kill()
        each.process.wait()


async def test_a_terminal_that_goes_away_takes_its_daemon_along(
    window: Callable[..., Window], sql_folder: SqlFolder, tmp_path: Path
) -> None:
    opened = window(sql_folder(GOOD))
    await opened.told("run.ready")
    opened.close()

    assert await opened.ended() == 0, (tmp_path / "log").read_text()
    assert "retry.requested" not in (tmp_path / "log").read_text()


async def test_a_terminal_that_goes_away_in_mid_run_is_a_sigterm(
    window: Callable[..., Window], database: Database, sql_folder: SqlFolder
) -> None:
    opened = window(sql_folder({"0001_long.sql": "SELECT pg_sleep(30);"}), shown=True)
    await opened.shows("migrating: 0 applied, 1 pending; 0001")
    opened.close()

    assert await opened.ended() == 143
    assert await oracle.leftovers(database) == oracle.NOTHING


async def test_a_shell_that_passes_a_hangup_on_changes_nothing_about_how_a_daemon_ends(
    window: Callable[..., Window], database: Database, sql_folder: SqlFolder
) -> None:
    opened = window(sql_folder({"0001_long.sql": "SELECT pg_sleep(30);"}), shown=True)
    await opened.shows("migrating: 0 applied, 1 pending; 0001")
    opened.close()
    await anyio.sleep(0.005)
    opened.process.send_signal(signal.SIGHUP)

    assert await opened.ended() == 143
    assert await oracle.leftovers(database) == oracle.NOTHING


async def test_a_terminal_that_goes_away_at_once_is_a_sigterm(
    window: Callable[..., Window], sql_folder: SqlFolder
) -> None:
    opened = window(sql_folder(GOOD))
    await catches(signal.SIGTERM, opened.process.pid)
    opened.close()

    assert await opened.ended() == 143


async def test_nohup_keeps_a_daemon_whose_terminal_goes_away(
    window: Callable[..., Window], sql_folder: SqlFolder
) -> None:
    opened = window(sql_folder(GOOD), "nohup")
    await opened.told("run.ready")
    opened.close()
    await opened.told("retry.requested")
    await opened.told("run.ready", times=2)
    opened.process.send_signal(signal.SIGTERM)

    assert await opened.ended() == 0


async def catches(which: signal.Signals, pid: int) -> None:
    """Wait until the process *pid* has a handler for *which*, which is the first that pgready does."""
    status = anyio.Path(f"/proc/{pid}/status")
    caught = 0
    with anyio.fail_after(30):
        while not caught >> (which - 1) & 1:
            lines = (await status.read_text()).splitlines()
            caught = int(next(line for line in lines if line.startswith("SigCgt:")).split()[1], 16)


async def test_a_hangup_while_it_starts_does_not_end_a_daemon(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = Daemon(pgready, sql_folder(GOOD), database)
    await catches(signal.SIGTERM, daemon.running.pid)
    daemon.running.signal(signal.SIGHUP)
    await daemon.told("run.ready")


async def test_a_hangup_in_a_terminal_that_stays_does_not_end_a_daemon_that_starts(
    window: Callable[..., Window], sql_folder: SqlFolder
) -> None:
    opened = window(sql_folder(GOOD))
    await catches(signal.SIGTERM, opened.process.pid)
    opened.process.send_signal(signal.SIGHUP)
    await opened.told("run.ready")


async def test_a_hangup_ends_an_up(database: Database, pgready: Pgready, sql_folder: SqlFolder) -> None:
    running = pgready.start(
        "up", "--dir", sql_folder({"0001_long.sql": "SELECT pg_sleep(30);"}),
        env={"PGREADY_DATABASE_URL": database.url, "PGREADY_LOG_LEVEL": "debug"},
    )  # fmt: skip
    await running.wait_for("migration.started")
    running.signal(signal.SIGHUP)

    assert (await running.wait(LIMIT_SECONDS)).exit_code == -signal.SIGHUP
