"""An embedded server's directory: its files, its making (initdb) and the start of its server.

Rules 3 and 4 of `embedded` are kept here.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import anyio
from msgspec import Struct

from pgready.core.errors import PgreadyError
from pgready.database import binaries, postmaster
from pgready.database.binaries import Account, Programs
from pgready.database.postmaster import POLL_SECONDS, Postmaster

HOST = "127.0.0.1"
USER = "postgres"

_LOG_LINES = 20
_SOCKET_PATH_BYTES = 107  # sun_path is 108 with its final NUL
_SETTINGS = {"listen_addresses": HOST, "max_connections": "200", "cluster_name": "pgready"}

_PORTS = range(1024, 65_536)
"""Those below belong to root, as whom the server does not run; we may, and would find them free."""

# Correct upper and lower case for every letter, the same on every machine, without its locales.
_BUILTIN_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


class Cluster(Struct, frozen=True):
    """The files in an embedded server's directory, which is absolute."""

    directory: Path

    @classmethod
    def at(cls, directory: Path) -> Cluster:
        """The files of *directory*, which need not be absolute."""
        return cls(directory.absolute())

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def make(self) -> None:
        """Make the directory, which git shall not see."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / ".gitignore").write_text("*\n")

    def runner(self, usual: Account | None) -> Account | None:
        """Who runs the server: its data's owner, if we may choose."""
        try:
            owner = self.data.stat()
        except FileNotFoundError:
            return usual
        if owner.st_uid == os.geteuid():
            return usual
        if usual is None:
            raise PgreadyError(
                f"{self.data} belongs to {_user_name(owner.st_uid)}",
                hint=f"run as that user or as root, or start afresh: rm -r {self.directory}",
            )
        return Account(_user_name(owner.st_uid), owner.st_uid, owner.st_gid)

    def new_data(self, runner: Account | None) -> Path:
        """A new directory for initdb, owned by *runner*; what interrupted ones left is removed."""
        for leftover in self.directory.glob("data.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # a killed initdb's child may still write there
        path = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.directory))
        if runner:
            os.chown(path, runner.uid, runner.gid)
        return path

    def keep(self, new_data: Path) -> None:
        """Make *new_data* the data directory."""
        new_data.rename(self.data)

    def password(self) -> str:
        """The superuser's password, as initdb was given it."""
        return (self.directory / "password").read_text().strip()

    def new_password(self) -> str:
        """Make a password and keep it, for our eyes only."""
        descriptor = os.open(self.directory / "password", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
        return self.password()

    def port(self) -> int:
        """The port of last time if it is free, else the first free one of this directory's own series.

        The series lies below the ports that the kernel gives to outgoing connections.
        """
        path = self.directory / "port"
        kept = path.read_bytes().strip() if path.exists() else b""
        first = zlib.crc32(bytes(self.directory)) % 10_000
        series = (20_000 + (first + step) % 10_000 for step in range(10_000))
        usual = [int(kept)] if re.fullmatch(rb"[0-9]{1,5}", kept) and int(kept) in _PORTS else []
        port = next(filter(_is_free, chain(usual, series)))
        path.write_text(f"{port}\n")
        return port

    def last_lines(self) -> str:
        """The end of the server's log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-_LOG_LINES:])


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"UID {uid}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


async def initialise(cluster: Cluster, programs: Programs) -> None:
    """Make the data directory (rule 3)."""
    runner = programs.runner
    unfinished = cluster.new_data(runner)
    locale = _BUILTIN_LOCALE if int(programs.major) >= 17 else ("--no-locale",)
    with _readable_password(cluster.new_password(), runner) as descriptor:
        ended = await anyio.run_process(
            [
                programs.bindir / "initdb", "--pgdata", _data_argument(unfinished, programs),
                "--username", USER, "--pwfile", f"/dev/fd/{descriptor}", "--auth=scram-sha-256",
                "--encoding=UTF8", *locale,
            ],
            check=False, cwd=unfinished, env=_environment(), pass_fds=[descriptor], start_new_session=True,
            **binaries.as_account(runner),
        )  # fmt: skip
    if ended.returncode:
        raise PgreadyError("initdb failed", detail=ended.stderr.decode(errors="replace").strip())
    cluster.keep(unfinished)


@contextmanager
def _readable_password(password: str, runner: Account | None) -> Iterator[int]:
    """A pipe that holds the password, so that it lies in no file that *runner* would have to reach."""
    reader, writer = os.pipe()
    try:
        os.write(writer, password.encode())
        os.close(writer)
        if runner:
            os.fchown(reader, runner.uid, runner.gid)
        yield reader
    finally:
        os.close(reader)


async def start(cluster: Cluster, programs: Programs, patience_seconds: float) -> None:
    """Start the server and return once it accepts connections; a failed or cancelled start leaves none."""
    _check_version(cluster, programs)
    sockets = _socket_directory(programs.runner)
    pid = _spawn(cluster, programs, {"port": str(cluster.port()), "unix_socket_directories": str(sockets)})
    try:
        await until_ready(cluster, pid, patience_seconds)
    except BaseException:
        await postmaster.stop(pid)
        shutil.rmtree(sockets, ignore_errors=True)
        raise


def _spawn(cluster: Cluster, programs: Programs, settings: dict[str, str]) -> int:
    if cluster.log.exists():
        cluster.log.replace(cluster.log.with_suffix(".log.1"))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**_SETTINGS, **settings}.items()]
    data = _data_argument(cluster.data, programs)
    with cluster.log.open("wb") as log:
        process = subprocess.Popen(
            [str(programs.bindir / "postgres"), "-D", data, *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cluster.data, env=_environment(),
            start_new_session=True,  # a terminal's Ctrl-C is for us, not for the server under our feet
            **binaries.as_account(programs.runner),
        )  # fmt: skip
    process.returncode = 0  # waited for by its id, as an adopted one is: subprocess need not warn about it
    return process.pid


def _check_version(cluster: Cluster, programs: Programs) -> None:
    made_by = (cluster.data / "PG_VERSION").read_text().strip()
    if made_by != programs.major:
        raise PgreadyError(
            f"{cluster.data} was made by PostgreSQL {made_by}, but {programs.bindir} is {programs.version}",
            hint=f"use the programs of {made_by} ({binaries.BINDIR_VARIABLE}), or start afresh: "
            f"rm -r {cluster.directory}",
        )


def _data_argument(data: Path, programs: Programs) -> str:
    """How the programs, started in *data*, are told where their data is (rule 4).

    Before 16 they go back to their directory by its name as they start, which must be enterable then.
    """
    by_name = programs.runner is None or int(programs.major) < 16
    return str(data) if by_name else "/proc/self/cwd"


def _environment() -> dict[str, str]:
    """An environment without PGPORT, PGDATA and friends, which the programs would heed."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _socket_directory(runner: Account | None) -> Path:
    """A new directory that only the server's account and root can enter, with a name that is short enough."""
    usual = Path(tempfile.gettempdir())
    fits = len(bytes(usual)) + len("/pgready-12345678/.s.PGSQL.12345") <= _SOCKET_PATH_BYTES
    parent = usual if runner is None and fits else binaries.SHARED_TEMPORARY
    path = Path(tempfile.mkdtemp(prefix="pgready-", dir=parent))
    if runner:
        os.chown(path, runner.uid, runner.gid)
    return path


def remove_socket_directory(found: Postmaster) -> None:
    """Remove what a server that is gone left in the temporary directory."""
    with contextlib.suppress(OSError):
        found.socket_path.unlink(missing_ok=True)
        found.socket_path.with_name(found.socket_path.name + ".lock").unlink(missing_ok=True)
        found.socket_directory.rmdir()


async def until_ready(cluster: Cluster, pid: int, seconds: float) -> None:
    """Return once the server says that it accepts connections; raise PgreadyError with its log else."""
    with anyio.move_on_after(seconds):
        while postmaster.alive(pid):
            found = postmaster.read(cluster.data)
            if found and found.pid == pid and found.ready:
                return
            await anyio.sleep(POLL_SECONDS)
        raise PgreadyError("embedded PostgreSQL did not start", detail=cluster.last_lines())
    raise PgreadyError(f"embedded PostgreSQL was not ready after {seconds:g} s", detail=cluster.last_lines())
