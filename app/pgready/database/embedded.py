"""A real PostgreSQL kept in a directory, for development and tests: started when used, stopped after.

Rules that the code below keeps:

1. One directory, one server. Whoever comes while it runs uses it; the last one to leave stops it.
   "Last" is told by a shared `flock` on the file `users`, which the kernel releases for a process that was
   killed. A server that such a process left behind is adopted by the next start, and stopped after it.
2. Starting and stopping exclude each other by an exclusive `flock` on the file `lock`.
3. A data directory exists complete or not at all: initdb works in `data.new-…`, renamed at its end.
4. As root, PostgreSQL runs as `nobody` (or as whoever owns the data). No mode or owner of anything but our
   own data is changed: where that account cannot enter the directory's parents, it need not, since the
   programs are given `/proc/self/cwd` as data directory, entered before the user is changed (from
   PostgreSQL 16 on).
"""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct

from pgready.core.dsn import Dsn
from pgready.core.errors import LockNotObtained, PgreadyError
from pgready.core.secrets import Secret
from pgready.database import binaries, postmaster
from pgready.database.binaries import Programs
from pgready.database.cluster import (
    HOST,
    USER,
    Cluster,
    initialise,
    remove_socket_directory,
    start,
    until_ready,
)
from pgready.database.postmaster import POLL_SECONDS, Postmaster

DEFAULT_DIRECTORY = Path(".pgready/postgres")
DATABASE = "postgres"
START_SECONDS = 60.0

_LEAVE_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 5.0


class EmbeddedServer(Struct, frozen=True):
    """A running server; *dsn* leads to its database `postgres` as its superuser.

    *created* tells that the data directory was made just now, *adopted* that the server ran already.
    """

    dsn: Dsn
    directory: Path
    version: str
    socket_directory: Path
    created: bool
    adopted: bool

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; it stays the same over restarts while nobody else takes it."""
        return self.dsn.hosts[0][1]

    def psql(self, database: str = DATABASE) -> str:
        """The command that opens psql on *database*, without showing the password."""
        password = shlex.quote(str(self.directory / "password"))
        return f'PGPASSWORD="$(cat {password})" psql -h {HOST} -p {self.port} -U {USER} {database}'


@asynccontextmanager
async def running(
    directory: Path, *, environ: Mapping[str, str], start_seconds: float = START_SECONDS
) -> AsyncIterator[EmbeddedServer]:
    """Yield the server of *directory*, started (and initialised) where need be.

    Raises SettingsError where no PostgreSQL is installed, PgreadyError with the end of the server's log
    where it does not start within *start_seconds*.
    """
    cluster = Cluster.at(directory)
    programs = await _prepared(cluster, environ)
    with _lock_file(cluster.directory / "users") as users:
        try:
            async with _exclusively(cluster, start_seconds):
                fcntl.flock(users, fcntl.LOCK_SH)  # never blocks: whoever locks it for himself holds `lock`
                with _as_error(cluster):
                    server = await _started(cluster, programs, start_seconds)
            yield server
        finally:
            await _leave(cluster, users)


async def keep_running(
    directory: Path,
    *,
    environ: Mapping[str, str],
    again: Callable[[EmbeddedServer], None],
    failed: Callable[[PgreadyError], None],
) -> None:
    """Start the server of *directory* again whenever it has died, until cancelled; it is in use (`running`).

    Each start is told to *again*, each that failed to *failed*, and tried again after a pause. Where the data
    has been removed nothing is done.
    """
    cluster = Cluster.at(directory)
    programs = await _prepared(cluster, environ)
    while True:
        await anyio.sleep(_LOOK_SECONDS)
        if _is_running(cluster) or not cluster.data.exists():
            continue
        try:
            with _as_error(cluster):
                async with _exclusively(cluster, START_SECONDS):
                    server = await _started(cluster, programs, START_SECONDS)
        except PgreadyError as problem:
            failed(problem)
            await anyio.sleep(_AGAIN_SECONDS)
        else:
            again(server)


def _is_running(cluster: Cluster) -> bool:
    found = postmaster.read(cluster.data)
    return found is not None and postmaster.alive(found.pid)


async def _prepared(cluster: Cluster, environ: Mapping[str, str]) -> Programs:
    """The programs for *cluster*, whose directory is made."""
    with _as_error(cluster):
        bindir, runner = binaries.find(environ), cluster.runner(binaries.account())
        programs = await anyio.to_thread.run_sync(binaries.prepare, bindir, runner)
        cluster.make()
    return programs


async def _started(cluster: Cluster, programs: Programs, start_seconds: float) -> EmbeddedServer:
    created = adopted = False
    found = postmaster.read(cluster.data)
    if found and postmaster.alive(found.pid) and (not found.ready or postmaster.answers(found)):
        adopted = True
        await until_ready(cluster, found.pid, start_seconds)
    else:
        created = not cluster.data.exists()
        if created:
            await initialise(cluster, programs)
        if found:
            _clear_leftovers(cluster, found)
        else:
            postmaster.discard_broken(cluster.data)
        await start(cluster, programs, start_seconds)
    return _describe(cluster, programs, created=created, adopted=adopted)


def _clear_leftovers(cluster: Cluster, found: Postmaster) -> None:
    """Remove what a killed server left behind, except what PostgreSQL itself judges better."""
    remove_socket_directory(found)
    # PostgreSQL takes a zombie for a running server. Its check of the shared memory, which tells whether
    # children of the dead one still run, finds that by the data directory without this file too.
    if postmaster.is_zombie(found.pid):
        (cluster.data / "postmaster.pid").unlink(missing_ok=True)


def _describe(cluster: Cluster, programs: Programs, *, created: bool, adopted: bool) -> EmbeddedServer:
    found = postmaster.read(cluster.data)
    if found is None:
        raise PgreadyError("embedded PostgreSQL ended as it started", detail=cluster.last_lines())
    dsn = Dsn(((HOST, found.port),), USER, Secret(cluster.password()), DATABASE, sslmode="disable")
    return EmbeddedServer(dsn, cluster.directory, programs.version, found.socket_directory, created, adopted)


async def _leave(cluster: Cluster, users: int) -> None:
    """Stop the server if nobody else uses it; shielded, and bounded by what stopping may take."""
    with anyio.CancelScope(shield=True):
        try:
            async with _exclusively(cluster, _LEAVE_SECONDS):
                fcntl.flock(users, fcntl.LOCK_UN)
                if _locked(users):
                    await _stop(cluster)
        except LockNotObtained:
            return  # somebody is starting on it: he is the last one then


async def _stop(cluster: Cluster) -> None:
    found = postmaster.read(cluster.data)
    if found is None:
        return
    if postmaster.alive(found.pid) and postmaster.answers(found):
        await postmaster.stop(found.pid)
    remove_socket_directory(found)


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def _exclusively(cluster: Cluster, patience_seconds: float) -> AsyncIterator[None]:
    """Hold the lock under which the server is started and stopped."""
    with _lock_file(cluster.directory / "lock") as descriptor:
        with anyio.move_on_after(patience_seconds) as patience:
            while not _locked(descriptor):
                await anyio.sleep(POLL_SECONDS)
        if patience.cancelled_caught:
            raise LockNotObtained(
                f"another pgready has been starting or stopping the server in {cluster.directory} "
                f"for {patience_seconds:g} s",
            )
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _as_error(cluster: Cluster) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise PgreadyError(
            f"embedded PostgreSQL cannot be run in {cluster.directory}", detail=str(exc) or type(exc).__name__
        ) from exc
