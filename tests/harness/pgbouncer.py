"""A real PgBouncer in front of the session's server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest

from pgready.database import binaries

from .server import HOST, PATIENCE_SECONDS, SUPERUSER, Server, free_port, wait_until

MISSING = "install Debian's pgbouncer: apt-get install pgbouncer"


def program() -> Path | None:
    """Where PgBouncer is installed, if it is; Debian puts it where only root's PATH looks."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


class PgBouncer:
    """One pooler; it asks the server's catalogue for the passwords, so every role can connect."""

    def __init__(self, server: Server, pool_mode: str, pool_size: int = 20, settings: str = "") -> None:
        bouncer = program()
        if bouncer is None:
            pytest.fail(MISSING)
        self.server = server
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="pgready-bouncer-"))
        self.log = self.home / "log"
        self._program = bouncer
        self._write("users", f'"{SUPERUSER}" "{server.password}"\n')
        self._write("ini", self._ini(pool_mode, pool_size, settings))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """A URL that leads through the pooler."""
        secret = quote(self.server.password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@{HOST}:{self.port}/{quote(database, safe='')}"

    def start(self) -> None:
        """Start, and return once it listens."""
        account = self.server.account
        if account:
            for path in (self.home, *self.home.iterdir()):
                os.chown(path, account.uid, account.gid)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, self.home / "ini"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd="/", **binaries.as_account(account),
            )  # fmt: skip
        wait_until(self._listening, "PgBouncer to listen")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop at once, cutting every client off, and delete its files."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None
        shutil.rmtree(self.home, ignore_errors=True)

    def _ini(self, pool_mode: str, pool_size: int, settings: str) -> str:
        return f"""\
[databases]
* = host={self.server.host} port={self.server.port} auth_user={SUPERUSER}
[pgbouncer]
listen_addr = {HOST}
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {self.home / "users"}
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
admin_users = {SUPERUSER}
pool_mode = {pool_mode}
default_pool_size = {pool_size}
max_client_conn = 500
{settings}
"""

    def _write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)
        (self.home / name).chmod(0o600)

    def _listening(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"PgBouncer ended while it started:\n{self.log.read_text()}")
        return "process up" in self.log.read_text()
