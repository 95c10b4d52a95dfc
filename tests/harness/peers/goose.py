"""goose's command and its library, from the Go module proxy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, go_build, go_install

_MODULE = "github.com/pressly/goose/v3"
_VERSION = "v3.29.0"


class Goose(Peer):
    dialect: ClassVar[str] = "goose"
    rows: ClassVar[str] = "SELECT version_id, is_applied FROM goose_db_version ORDER BY id"
    locks: ClassVar[bool] = False

    def install(self) -> Path:
        drivers = "no_clickhouse no_libsql no_mssql no_mysql no_sqlite3 no_vertica no_ydb"
        return go_install(f"{_MODULE}/cmd/goose@{_VERSION}", "goose", "-tags", drivers)

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


class GooseLibrary(Goose):
    """A program of ours that embeds goose, with the session locker that its command does not use."""

    locks: ClassVar[bool] = True
    waiting: ClassVar[str] = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()"
    )

    def install(self) -> Path:
        source = Path(__file__).with_name("goose_library.go")
        return go_build(source, "goose-library", f"{_MODULE}@{_VERSION}")

    def _run(self, folder: Path, url: str, verb: str) -> Ran:
        return self.run(verb, folder, url)
