"""goose's command, from the Go module proxy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, go_install


class Goose(Peer):
    dialect: ClassVar[str] = "goose"
    rows: ClassVar[str] = "SELECT version_id, is_applied FROM goose_db_version ORDER BY id"
    locks: ClassVar[bool] = False

    def install(self) -> Path:
        drivers = "no_clickhouse no_libsql no_mssql no_mysql no_sqlite3 no_vertica no_ydb"
        return go_install("github.com/pressly/goose/v3/cmd/goose@v3.29.0", "goose", "-tags", drivers)

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            head = "" if step.transactional else "-- +goose NO TRANSACTION\n"
            text = f"{head}-- +goose Up\n{step.up}\n\n-- +goose Down\n{step.down}\n"
            self.path(folder, step).write_text(text)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"{step.version:05}_{step.name}.sql"

    def up(self, folder: Path, url: str) -> Ran:
        return self._run(folder, url, "up")

    def down(self, folder: Path, url: str) -> Ran:
        return self._run(folder, url, "down")

    def _run(self, folder: Path, url: str, verb: str) -> Ran:
        env = {"GOOSE_DRIVER": "postgres", "GOOSE_DBSTRING": url}
        return self.run("-dir", folder, verb, env=env)
