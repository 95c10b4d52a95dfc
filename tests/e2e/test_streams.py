"""Standard streams that are full, closed or read by nobody: the work goes on, and its exit code stands."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import httpx
import pytest

from harness.daemon import Daemon
from harness.database import Database
from harness.processes import Pgready, Result, Running
from harness.server import free_port

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

ONE = {"0001_titles.sql": "CREATE TABLE titles (id integer);"}
FULL = 'exec "$@" 2>/dev/full'
NOBODY_READS = 'exec "$@" 2> >(exec true)'
LONGER_THAN_A_HEARTBEAT = {"0001_long.sql": "SELECT pg_sleep(11); CREATE TABLE titles (id integer);"}


def start(
    pgready: Pgready, shell: str, command: str, database: Database | str, folder: Path, *more: str | Path
) -> Running:
    url = database if isinstance(database, str) else database.url
    return pgready.start(command, "--dir", folder, *more, env={"PGREADY_DATABASE_URL": url}, shell=shell)


async def run(
    pgready: Pgready, shell: str, command: str, database: Database | str, folder: Path, *more: str | Path
) -> Result:
    return await start(pgready, shell, command, database, folder, *more).wait()


# Standard error


async def test_a_heartbeat_that_nobody_reads_does_not_abort_a_migration(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    ended = await run(pgready, NOBODY_READS, "up", database, sql_folder(LONGER_THAN_A_HEARTBEAT))

    assert ended.exit_code == 0
    assert await database.value("SELECT to_regclass('titles') IS NOT NULL")


async def test_a_wait_whose_heartbeat_nobody_reads_ends_as_it_would_have(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    ended = await run(pgready, NOBODY_READS, "wait", database, sql_folder(ONE), "--timeout", "11")

    assert ended.exit_code == 7


WRONG_PASSWORD = "the database with a wrong password"
NOBODY_LISTENS = f"postgresql://app:pw@127.0.0.1:{free_port()}/app"


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize(
    ("url", "more", "code"),
    [
        (WRONG_PASSWORD, (), 4),
        (NOBODY_LISTENS, ("--connect-timeout", "0"), 3),
        (NOBODY_LISTENS, ("--connect-timeout", "soon"), 2),
        (NOBODY_LISTENS, ("--no-such-flag",), 2),
    ],
    ids=["denied", "unreachable", "setting", "flag"],
)
async def test_an_error_that_cannot_be_told_has_its_exit_code(
    url: str, more: tuple[str, ...], code: int, form: str,
    database: Database, pgready: Pgready, sql_folder: SqlFolder,
) -> None:  # fmt: skip
    if url == WRONG_PASSWORD:
        url = database.server.url(database.name, password="wrong")

    ended = await run(pgready, FULL, "up", url, sql_folder(ONE), "--log-format", form, *more)

    assert ended.exit_code == code


@pytest.mark.parametrize(
    ("shell", "form"), [(FULL, "console"), (NOBODY_READS, "json")], ids=["full", "unread"]
)
async def test_a_failure_that_cannot_be_told_is_left_in_its_files(
    shell: str, form: str, database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder = sql_folder(ONE)
    await run(pgready, FULL, "up", database, folder)
    (folder / "0001_titles.sql").write_text("CREATE TABLE titles (id bigint);")
    metrics, reason = tmp_path / "pgready.prom", tmp_path / "reason"
    files = ("--metrics-file", metrics, "--termination-log", reason)
    ended = await run(pgready, shell, "up", database, folder, *files, "--log-format", form)

    assert ended.exit_code == 6
    assert "0001_titles.sql: changed" in reason.read_text()
    assert re.search(r"^pgready_run_exit_code\S* 6", metrics.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("shell", "form"), [(FULL, "console"), (NOBODY_READS, "json")], ids=["full", "unread"]
)
async def test_a_daemon_that_cannot_tell_anything_serves_all_the_same(
    shell: str, form: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(ONE)
    running = start(pgready, shell, "serve", database, folder, "--port", "0", "--log-format", form)
    await running.wait_for("stop with Ctrl-C")
    (folder / "0002_typo.sql").write_text("CREATE TABEL seasons (id integer);")
    running.signal(signal.SIGHUP)
    await answers(running, 503, '"exit_code":1')  # before that it is in mid-run
    running.signal(signal.SIGTERM)
    ended = await running.wait()

    assert ended.exit_code == 1  # the failure's own


async def answers(running: Running, status: int, word: str = "") -> None:
    """Wait until /ready says *status* and *word*; the address is what a ready daemon shows."""
    (url,) = re.findall(r"http://.*/ready", running.stdout)
    async with httpx.AsyncClient(timeout=10) as client:
        with anyio.fail_after(30):
            while (answer := await client.get(url)).status_code != status or word not in answer.text:
                await anyio.sleep(0.02)


# A stream that is closed


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
async def test_up_applies_and_succeeds_with_a_closed_stream(
    closed: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    ended = await run(pgready, f'exec "$@" {closed}', "up", database, sql_folder(ONE))

    assert (ended.exit_code, "Traceback" in ended.stderr) == (0, False)
    assert await database.value("SELECT to_regclass('titles') IS NOT NULL")


async def test_new_succeeds_with_standard_output_closed(pgready: Pgready, sql_folder: SqlFolder) -> None:
    folder = sql_folder(ONE)
    ended = await pgready.start("new", "seasons", "--dir", folder, shell='exec "$@" >&-').wait()

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert len(list(folder.glob("*.sql"))) == 2


async def test_down_with_standard_input_closed_asks_for_yes(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({**ONE, "0001_titles.down.sql": "DROP TABLE titles;"})
    await run(pgready, FULL, "up", database, folder)
    ended = await run(pgready, 'exec "$@" <&-', "down", database, folder)

    assert ended.exit_code == 2
    assert "--yes" in ended.stderr


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "2>&-", "> >(exec true)"])
async def test_a_health_check_whose_line_cannot_be_written_is_right(
    redirection: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await Daemon.ready(pgready, sql_folder(ONE), database)
    url = f"{await daemon.url()}/ready"
    well, unwell = [
        await pgready.start("healthcheck", "--url", asked, shell=f'exec "$@" {redirection}').wait()
        for asked in (url, "http://127.0.0.1:1/ready")
    ]

    assert (well.exit_code, unwell.exit_code) == (0, 1)
    assert "Traceback" not in well.stderr


# Standard output


async def test_a_daemon_that_is_ready_goes_on_where_standard_output_is_full(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await Daemon.ready(pgready, sql_folder(ONE), database, shell='exec "$@" >/dev/full')
    (warning,) = await daemon.told("output.unwritten")
    code, _ = await daemon.readiness()
    daemon.running.signal(signal.SIGTERM)
    ended = await daemon.running.wait()

    assert "No space left on device" in warning["message"]
    assert (code, ended.exit_code) == (200, 0)


@pytest.mark.parametrize("redirection", [">&-", "> >(exec true)"])
async def test_a_daemon_that_is_ready_goes_on_where_nobody_reads_standard_output(
    redirection: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await Daemon.ready(pgready, sql_folder(ONE), database, shell=f'exec "$@" {redirection}')
    code, _ = await daemon.readiness()
    daemon.running.signal(signal.SIGTERM)
    ended = await daemon.running.wait()

    assert (code, ended.exit_code) == (200, 0)
    assert daemon.events("output.unwritten") == []


@pytest.mark.parametrize("command", ["plan", "status"])
@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", r"price_\u20ac"), ("utf-8", "price_€")])
async def test_a_name_that_standard_output_cannot_encode_is_escaped(
    encoding: str, shown: str, command: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_price_€.sql": "SELECT 1;"})
    env = {"PGREADY_DATABASE_URL": database.url, "PYTHONIOENCODING": encoding}
    ended = await pgready(command, "--dir", folder, env=env)

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert shown in ended.stdout
