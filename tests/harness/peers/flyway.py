"""Flyway's community edition, from Maven Central, behind a main of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from .peer import Peer, Ran, Step, maven_install

_VERSION = "13.0.0"
_JARS = (
    f"org.flywaydb:flyway-core:{_VERSION}",
    f"org.flywaydb:flyway-database-postgresql:{_VERSION}",
    "org.postgresql:postgresql:42.7.4",
)
_MAIN = Path(__file__).with_name("FlywayPeer.java")


class Flyway(Peer):
    dialect: ClassVar[str] = "flyway"
    rows: ClassVar[str] = (
        "SELECT installed_rank, version, description, type, script, checksum, installed_by, success"
        " FROM flyway_schema_history ORDER BY installed_rank"
    )
    waiting: ClassVar[str] = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE '%pg_try_advisory_xact_lock(77%' AND pid <> pg_backend_pid()"
    )
    reverts: ClassVar[bool] = False

    def install(self) -> Path:
        self.home = maven_install(f"flyway-{_VERSION}", _MAIN, *_JARS)
        return Path("java")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            self.path(folder, step).write_text(step.up)
            (folder / f"U{step.version}__{step.name}.sql").write_text(step.down)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"V{step.version}__{step.name}.sql"

    def up(self, folder: Path, url: str) -> Ran:
        return self.command("migrate", folder, url)

    def command(self, name: str, folder: Path, url: str, *settings: str) -> Ran:
        """Run one of Flyway's commands with *settings*, `flyway.x=y`."""
        # Flyway's own transactional lock blocks its CREATE INDEX CONCURRENTLY for ever.
        if any("CONCURRENTLY" in file.read_text() for file in folder.rglob("V*.sql")):
            settings = (*settings, "flyway.postgresql.transactional.lock=false")
        address = urlsplit(url)
        env = {
            "PEER_URL": f"jdbc:postgresql://{address.hostname}:{address.port}{address.path}",
            "PEER_USER": unquote(address.username or ""),
            "PEER_PASSWORD": unquote(address.password or ""),
        }
        classpath = f"{self.home}:{self.home}/*"
        return self.run(
            "-XX:TieredStopAtLevel=1", "-cp", classpath, "FlywayPeer", name, folder, *settings, env=env
        )
