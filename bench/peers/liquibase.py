"""Liquibase's library, from Maven Central, behind a main of our own: 4.33, the last under an open licence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.peers.peer import Ran, Step, Tool, maven_install

_VERSION = "4.33.0"
_JARS = (f"org.liquibase:liquibase-core:{_VERSION}", "org.postgresql:postgresql:42.7.4")
_CHANGELOG = "--liquibase formatted sql\n"


class Liquibase(Tool):
    def install(self) -> Path:
        main = Path(__file__).with_name("LiquibasePeer.java")
        self.home = maven_install(f"liquibase-{_VERSION}", main, *_JARS)
        return Path("java")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        changes = (f"--changeset bench:{step.version}\n{step.up}" for step in steps)
        (folder / "changelog.sql").write_text(_CHANGELOG + "\n".join(changes))

    def up(self, folder: Path, url: str) -> Ran:
        address = urlsplit(url)
        env = {
            "PEER_URL": f"jdbc:postgresql://{address.hostname}:{address.port}{address.path}",
            "PEER_USER": unquote(address.username or ""),
            "PEER_PASSWORD": unquote(address.password or ""),
        }
        classpath = f"{self.home}:{self.home}/*"
        return self.run("-XX:TieredStopAtLevel=1", "-cp", classpath, "LiquibasePeer", folder, env=env)
