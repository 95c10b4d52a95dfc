"""golang-migrate's command, from the Go module proxy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, go_install


class GolangMigrate(Peer):
    dialect: ClassVar[str] = "golang-migrate"
    rows: ClassVar[str] = "SELECT version, dirty FROM schema_migrations"
    named: ClassVar[bool] = True
    sees_merged: ClassVar[bool] = False
    leaves_failed_row: ClassVar[bool] = True
    transactional_option: ClassVar[bool] = False

    def install(self) -> Path:
        module = "github.com/golang-migrate/migrate/v4/cmd/migrate@v4.20.1"
        return go_install(module, "migrate", "-tags", "postgres")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            self.path(folder, step).write_text(step.up)
            (folder / f"{step.version:06}_{step.name}.down.sql").write_text(step.down)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"{step.version:06}_{step.name}.up.sql"

    def up(self, folder: Path, url: str) -> Ran:
        return self.run("-path", folder, "-database", _without_tls(url), "up")

    def down(self, folder: Path, url: str) -> Ran:
        return self.run("-path", folder, "-database", _without_tls(url), "down", "1")


def _without_tls(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}sslmode=disable"
