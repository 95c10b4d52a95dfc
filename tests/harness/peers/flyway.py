"""Flyway's community edition, from Maven Central, behind a main of our own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import pytest

from .peer import CACHE, Peer, Ran, Step, once

_VERSION = "13.0.0"
_JARS = (
    ("org.flywaydb", "flyway-core", _VERSION),
    ("org.flywaydb", "flyway-database-postgresql", _VERSION),
    ("org.postgresql", "postgresql", "42.7.4"),
)
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_PROJECT = """<project><modelVersion>4.0.0</modelVersion>
<groupId>peers</groupId><artifactId>peers</artifactId><version>1</version>
<dependencies>{}</dependencies></project>
"""
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
        home = CACHE / f"flyway-{_VERSION}"
        with once(home) as missing:
            if missing:
                dependencies = "".join(_DEPENDENCY.format(*jar) for jar in _JARS)
                (home / "pom.xml").write_text(_PROJECT.format(dependencies))
                _make("mvn", "-q", "-B", "-f", home, "dependency:copy-dependencies", "-DoutputDirectory=.")
                _make("javac", "-cp", f"{home}/*", "-d", home, _MAIN)
        self.home = home
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


def _make(program: str, *arguments: str | Path) -> None:
    if shutil.which(program) is None:
        pytest.fail("install a JDK and Maven: these tests run the real Flyway")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{program} failed:\n{done.stdout}{done.stderr}")
