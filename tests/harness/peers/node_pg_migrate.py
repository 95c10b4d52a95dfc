"""node-pg-migrate's command, from npm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, npm_install


class NodePgMigrate(Peer):
    dialect: ClassVar[str] = "node-pg-migrate"
    rows: ClassVar[str] = "SELECT name FROM pgmigrations ORDER BY run_on, id"
    runs_concurrently: ClassVar[bool] = False
    transactional_option: ClassVar[bool] = False

    def install(self) -> Path:
        return npm_install("node-pg-migrate@9.0.0", "node-pg-migrate", "pg@8.23.1")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            text = f"-- Up Migration\n{step.up}\n\n-- Down Migration\n{step.down}\n"
            self.path(folder, step).write_text(text)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"{1_700_000_000_000 + step.version}_{step.name}.sql"

    def up(self, folder: Path, url: str) -> Ran:
        return self._command("up", folder, url)

    def down(self, folder: Path, url: str) -> Ran:
        return self._command("down", folder, url)

    def _command(self, way: str, folder: Path, url: str) -> Ran:
        return self.run(
            way, "--migrations-dir", folder, "--advisory-lock-mode", "wait", env={"DATABASE_URL": url}
        )
