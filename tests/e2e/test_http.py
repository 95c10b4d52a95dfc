"""The port of a real daemon with a real migration behind it: listeners, a token, a socket, attackers."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest

from harness.daemon import Daemon
from harness.database import Database
from harness.listening import Heard, listening
from harness.processes import COMMAND, Pgready, Running

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

TOKEN = "5e0f2c9a17d34b68"
TWO = {
    "0001_a.sql": "CREATE TABLE a (id integer);",
    "0002_b.sql": "SELECT pg_sleep(0.6); CREATE TABLE b (id integer); SELECT pg_sleep(0.6);",
}


async def port_of(daemon: Daemon) -> int:
    return int((await daemon.url()).rpartition(":")[2])


async def test_a_listener_hears_the_run_in_the_order_of_the_log(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = Daemon(pgready, sql_folder(TWO), database, PGREADY_LOG_LEVEL="debug")
    heard: list[Heard] = []
    async with listening(await port_of(daemon)) as listener:
        while not heard or heard[-1].name != "run.ready":
            heard.append(await listener.next(30))

    names = [each.name for each in heard if each.id is not None and each.name != "status"]
    logged = [json.loads(line)["event"] for line in daemon.running.stderr.splitlines()]
    logged = [name for name in logged if name in names]
    assert heard[0].name == "status"
    assert "migration.applied" in names
    assert names == logged[len(logged) - len(names) :]


@pytest.mark.parametrize("shows", [False, True])
@pytest.mark.parametrize(
    ("last", "names"),
    [
        ({"checks/p.sql": "SELECT * FROM p;"}, "2 rows (id, email)"),
        ({"migrations/0002_u.sql": "CREATE UNIQUE INDEX ON p (email);"}, "23505"),
    ],
    ids=["a check's rows", "the server's DETAIL"],
)
async def test_what_rows_hold_goes_to_the_log_and_over_http_only_where_it_is_asked_for(
    last: dict[str, str], names: str, shows: bool, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    made = "CREATE TABLE p (id int, email text); INSERT INTO p SELECT n, 'alice@example.com' FROM {} n;"
    first = made.format("generate_series(1, 2)")
    daemon = Daemon(
        pgready, sql_folder({"migrations/0001_p.sql": first, **last}), database, PGREADY_SHOW_SQL=str(shows)
    )
    (logged,) = await daemon.told("run.failed")
    async with httpx.AsyncClient(base_url=await daemon.url()) as client:
        answers = [
            (await client.get(path, headers={"Accept": accept})).text
            for path in ("/ready", "/ready?verbose", "/migrations")
            for accept in ("application/json", "text/plain", "text/html")
        ]
    async with listening(await port_of(daemon)) as listener:
        answers.append(str((await listener.until("status")).data))

    assert "alice" in logged["detail"]
    assert names in answers[0]
    assert any("alice" in answer for answer in answers) is shows


async def test_which_other_scripts_are_refused_is_no_data(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = Daemon(pgready, sql_folder({"1_a.sql": "ROLLBACK;", "2_b.sql": "ROLLBACK;"}), database)
    await daemon.told("run.failed")
    body = (await daemon.readiness())[1]

    assert "1 more refused: 2_b.sql:1:1: " in body["failure"]["message"]


async def test_a_listener_does_not_hold_up_the_end(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemon = await Daemon.ready(pgready, sql_folder(TWO), database)
    async with listening(await port_of(daemon)) as listener:
        await listener.until("status")
        daemon.running.signal(signal.SIGTERM)
        rest = await listener.rest()
    result = await daemon.running.wait(5)

    assert rest[-1].data["phase"] == "draining"
    assert result.exit_code == 0
    assert "Traceback" not in result.stderr


async def test_a_setting_takes_the_schema_off_the_port(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    daemons = [
        await Daemon.ready(pgready, sql_folder(TWO), database, PGREADY_SHOW_SCHEMA=shown)
        for shown in ("on", "off")
    ]
    async with httpx.AsyncClient(timeout=30) as client:
        shown, hidden = [await client.get(f"{await each.url()}/schema") for each in daemons]

    assert (shown.status_code, hidden.status_code) == (200, 404)


async def test_the_token_gets_a_failed_run_tried_again(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    folder = sql_folder({"0001_a.sql": "INSERT INTO made_by_hand VALUES (1);"})
    daemon = Daemon(pgready, folder, database, PGREADY_TOKEN_FILE=str(token_file))
    await daemon.told("run.failed")
    await database.execute("CREATE TABLE made_by_hand (id integer)")

    async with httpx.AsyncClient(base_url=await daemon.url()) as client:
        stranger = await client.post("/retry", headers={"Authorization": f"Bearer {TOKEN[::-1]}"})
        owner = await client.post("/retry", headers={"Authorization": f"Bearer {TOKEN}"})
    await daemon.told("run.ready")

    assert (stranger.status_code, owner.status_code) == (401, 202)
    assert len(daemon.events("retry.requested")) == 1
    assert await database.value("SELECT count(*) FROM made_by_hand") == 1
    assert TOKEN not in daemon.running.stderr + daemon.running.stdout


async def test_a_token_file_without_a_token_is_exit_2_before_anything_happens(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("hunter2")
    daemon = Daemon(pgready, sql_folder(TWO), database, PGREADY_TOKEN_FILE=str(token_file))
    result = await daemon.running.wait()

    assert result.exit_code == 2
    assert "PGREADY_TOKEN_FILE" in result.stderr
    assert "hunter2" not in result.stderr
    assert await database.value("SELECT to_regclass('a')") is None


async def test_healthcheck_and_wait_ask_a_unix_socket(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    path = tmp_path / "http.sock"
    daemon = await Daemon.ready(pgready, sql_folder(TWO), database, "--host", str(path))
    checked = await pgready("healthcheck", env={"PGREADY_HOST": str(path)})
    waited = await pgready("wait", "--url", f"unix:{path}", "--timeout", "5s")
    daemon.running.signal(signal.SIGTERM)
    ended = await daemon.running.wait(5)
    checked_after = await pgready("healthcheck", env={"PGREADY_HOST": str(path)})

    assert (checked.exit_code, waited.exit_code) == (0, 0), checked.stdout + waited.stderr
    assert (ended.exit_code, checked_after.exit_code, path.exists()) == (0, 1, False)


async def test_probes_are_answered_while_a_thousand_scripts_are_compiled(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    script = "CREATE TABLE t{0} (id integer); CREATE INDEX ON t{0} (id); INSERT INTO t{0} VALUES (1);"
    pieces = {f"{number:04}_x.sql": script.format(number) for number in range(1, 1501)}
    daemon = Daemon(pgready, sql_folder(pieces), database)
    phases: list[str] = []
    async with httpx.AsyncClient(base_url=await daemon.url()) as client:
        while len(daemon.events("plan.made")) < 2:  # so many are compiled in the look under the lock
            phases.append((await client.get("/ready")).json()["phase"])

    assert phases.count("planning") > 5


# Attacks

_HALF = b"GET /ready HTTP/1.1\r\nHost: x\r\nX: "
_NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /retry HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /events HTTP/1.1\r\nHost: x\r\n\r\nGET /events HTTP/1.1\r\n",
    b"GET /%00%ff?wait=1e309 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\0" * 5000,
    _HALF + b"y" * 1_000_000,
)


class Attack(threading.Thread):
    """Half requests on thousands of connections, deaf listeners and nonsense, until it is stopped."""

    def __init__(self, port: int, connections: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._connections = connections
        self._stopped = threading.Event()
        self._held: list[socket.socket] = []
        self.opened = 0

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        while not self._stopped.is_set():
            self._say(_NONSENSE[self.opened % len(_NONSENSE)])
            self._say(_HALF)
            self._say(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            if len(self._held) > self._connections:
                self._held.pop(0).close()
        for client in self._held:
            client.close()

    def _say(self, data: bytes) -> None:
        client = socket.socket()
        client.settimeout(1)
        with contextlib.suppress(OSError):
            client.connect(("127.0.0.1", self._port))
            client.sendall(data)
            self.opened += 1
        self._held.append(client)


@pytest.fixture
def many_files() -> int:
    """How many files this process may open, which is as many as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def test_under_attack_the_probes_are_answered_and_the_migration_goes_on(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, many_files: int
) -> None:
    pieces = {
        f"{number:04}_x.sql": f"SELECT pg_sleep(0.5); CREATE TABLE t{number} (id integer);"
        for number in range(1, 11)
    }
    daemon = Daemon(pgready, sql_folder(pieces), database)
    attack = Attack(await port_of(daemon), min(10_000, many_files - 1000))
    attack.start()
    statuses: set[int] = set()
    while not daemon.events("run.ready"):
        statuses.add(await anyio.to_thread.run_sync(_probe, await port_of(daemon)))
        assert daemon.running.exit_code is None
    peak = _peak_mib(daemon.running.pid)
    attack.stop()

    assert attack.opened > 1000
    assert statuses == {200}
    assert await database.value("SELECT count(*) FROM pgready.history") == 10
    assert "Traceback" not in daemon.running.stderr
    assert peak < 200


async def test_a_flood_takes_no_file_from_the_migration(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    pieces = {f"{number:04}_x.sql": f"CREATE TABLE t{number} (id integer);" for number in range(1, 6)}
    pieces["0000_x.sql"] = "SELECT pg_sleep(3);"
    few: list[str | Path] = ["sh", "-c", 'ulimit -n 256 && exec "$0" "$@"', COMMAND]
    serve: list[str | Path] = ["serve", "--dir", sql_folder(pieces), "--port", "0", "--log-format", "json"]
    environment = {**pgready.environment, "PGREADY_DATABASE_URL": database.url}
    running = Running([*few, *serve], tmp_path / "few", environment)
    try:
        await running.wait_for("listening on")
        port = int(re.findall(r"listening on http://[^:]+:(\d+)", running.stderr)[0])
        attack = Attack(port, 2000)
        attack.start()
        await running.wait_for("run.ready")
        # With so few files one probe may be crowded out; an orchestrator asks again.
        answered = await anyio.to_thread.run_sync(_answered, port, 10)
        attack.stop()
    finally:
        running.kill()

    assert answered
    assert "Too many open files" not in running.stderr
    assert await database.value("SELECT count(*) FROM pgready.history") == 6


def _answered(port: int, tries: int) -> bool:
    return any(_probe(port) == 200 for _ in range(tries))


def _probe(port: int) -> int:
    """The status of `/live`, 0 where there is no answer in time."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return int(client.recv(4096)[9:12] or 0)
    except OSError:
        return 0


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
