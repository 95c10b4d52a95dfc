"""Where schedules happen: a server, poolers in front of it, a standby when one is to be promoted."""

from __future__ import annotations

from pathlib import Path

from harness.database import Database, connected
from harness.pgbouncer import PgBouncer
from harness.server import SUPERUSER, Server, wait_until

from .network import Address
from .zygote import Zygote

_SETTINGS = {
    # A crash of the server loses what it had not handed to the kernel.
    "synchronous_commit": "on",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "max_wal_size": "64MB",
    "wal_retrieve_retry_interval": "100ms",
}
# After a failed login it waits for 15 s before it tries again, unless it is told otherwise.
_POOLER_SETTINGS = "server_login_retry = 0.1"
# A password costs 4,096 rounds on either side, at every connection, unless it is told otherwise.
_CHEAP_PASSWORD = "SET scram_iterations = 1; ALTER ROLE postgres PASSWORD '{}'"
_STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"
_WAIT_FOR_STANDBYS = "ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf();"


class Place:
    """One worker's servers and fork server. One schedule happens in it at a time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.zygote = Zygote()
        self.server = Server(settings=_SETTINGS)
        self._poolers: dict[str, PgBouncer] = {}
        self._standby: Server | None = None

    def start(self) -> None:
        self.server.start()
        if self.server.version >= 16:
            self.server.psql(_CHEAP_PASSWORD.format(self.server.password))

    def close(self) -> None:
        """End everything."""
        self.zygote.close()
        self._stop_poolers()
        for server in filter(None, (self.server, self._standby)):
            server.remove()

    def address(self, route: str) -> Address:
        """Where a connection by *route* leads now."""
        port = self.server.port if route == "direct" else self._pooler(route).port
        return self.server.host, port

    def _pooler(self, mode: str) -> PgBouncer:
        if mode not in self._poolers:
            pooler = PgBouncer(self.server, mode, settings=_POOLER_SETTINGS)
            pooler.start()
            self._poolers[mode] = pooler
        return self._poolers[mode]

    def refuse_dead_poolers(self) -> None:
        """Raise RuntimeError where a pooler has ended, which is no fault of any schedule."""
        for mode, pooler in self._poolers.items():
            if not pooler.running:
                raise RuntimeError(f"the {mode} pooler has ended by itself:\n{pooler.log.read_text()}")

    def _stop_poolers(self) -> None:
        while self._poolers:
            self._poolers.popitem()[1].stop()

    # Databases

    async def create(self, name: str) -> None:
        cheapest = "STRATEGY file_copy" if self.server.version >= 15 else ""  # 14 knows no other
        async with connected(self.server, "postgres") as admin:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 {cheapest}")

    async def drop(self, name: str) -> None:
        async with connected(self.server, "postgres") as admin:
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def database(self, name: str) -> Database:
        return Database(self.server, name)

    # Disasters; they block

    def restart(self) -> None:
        """Stop fast, and start again."""
        self.server.restart()

    def crash(self) -> None:
        """Kill every process of the server, and start it again."""
        self.server.crash()
        self.server.start()

    def add_standby(self) -> None:
        """Bring up a standby; from now on nothing is committed that it does not have."""
        standby = Server(settings=_SETTINGS)
        self._standby = standby
        self.server._run(
            "pg_basebackup", "-h", self.server.socket_directory, "-p", str(self.server.port), "-U", SUPERUSER,
            "-D", standby.data, "--checkpoint=fast", "--no-sync", "--no-manifest",
        )  # fmt: skip
        # Not by --write-recovery-conf: that says options which an older libpq, where the standby's own
        # binaries find that first, does not know.
        primary = f"host={self.server.socket_directory} port={self.server.port} user={SUPERUSER}"
        with (standby.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{primary}'\n")
        (standby.data / "standby.signal").touch()
        standby.start()
        self.server.psql(_WAIT_FOR_STANDBYS)
        wait_until(lambda: self.server.psql(_STREAMING).strip() == "1", "the standby to stream")

    def promote(self) -> None:
        """Kill the server; the standby is in its place, and is promoted."""
        assert self._standby is not None, "there is a standby in a schedule that promotes one"
        old, self.server, self._standby = self.server, self._standby, None
        self._stop_poolers()
        old.crash()
        self.server.psql("SELECT pg_promote()")
        old.remove()

    def remove_standby(self) -> None:
        """Do without the standby again, where it was not promoted."""
        if self._standby is not None:
            self.server.psql("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();")
            self._standby.remove()
            self._standby = None
