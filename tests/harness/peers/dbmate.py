"""dbmate's command, from npm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, npm_install


class Dbmate(Peer):
    dialect: ClassVar[str] = "dbmate"
    rows: ClassVar[str] = "SELECT version::text FROM schema_migrations ORDER BY version"
    locks: ClassVar[bool] = False

    def install(self) -> Path:
        return npm_install("dbmate@2.36.0", "dbmate")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            option = "" if step.transactional else " transaction:false"
            text = f"-- migrate:up{option}\n{step.up}\n\n-- migrate:down{option}\n{step.down}\n"
            self.path(folder, step).write_text(text)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"{step.version:03}_{step.name}.sql"

    def up(self, folder: Path, url: str) -> Ran:
        return self._run(folder, url, "migrate")

    def down(self, folder: Path, url: str) -> Ran:
        return self._run(folder, url, "rollback")

    def _run(self, folder: Path, url: str, verb: str) -> Ran:
        flags = ("--no-dump-schema", "--migrations-dir", folder, "--url", f"{url}?sslmode=disable")
        return self.run(*flags, verb)
