"""sqlx-cli and the library, from crates.io; built once, which takes minutes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, cargo_build, cargo_install

_VERSION = "0.9.0"
_MANIFEST = f"""[package]
name = "sqlx-library"
version = "0.0.0"
edition = "2021"

[dependencies.sqlx]
version = "={_VERSION}"
default-features = false
features = ["postgres", "migrate", "runtime-tokio"]

[dependencies.tokio]
version = "1"
features = ["macros", "rt"]
"""


class Sqlx(Peer):
    dialect: ClassVar[str] = "sqlx"
    rows: ClassVar[str] = (
        "SELECT version, description, success, checksum FROM _sqlx_migrations ORDER BY version"
    )
    named: ClassVar[bool] = True
    locks: ClassVar[bool] = False

    def install(self) -> Path:
        flags = ("--no-default-features", "--features", "postgres,rustls")
        return cargo_install("sqlx-cli", _VERSION, "sqlx", *flags)

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            head = "" if step.transactional else "-- no-transaction\n"
            self.path(folder, step).write_text(head + step.up)
            name = self.path(folder, step).name.replace(".up.", ".down.")
            (folder / name).write_text(head + step.down)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"{step.version:03}_{step.name}_step.up.sql"

    def up(self, folder: Path, url: str) -> Ran:
        return self.run("migrate", "run", "--source", folder, "--database-url", url)

    def down(self, folder: Path, url: str) -> Ran:
        return self.run("migrate", "revert", "--source", folder, "--database-url", url)


class SqlxLibrary(Sqlx):
    """A program of ours that embeds sqlx, which takes the lock that its command does not."""

    locks: ClassVar[bool] = True

    def install(self) -> Path:
        return cargo_build(Path(__file__).with_name("sqlx_library.rs"), "sqlx-library", _MANIFEST)

    def up(self, folder: Path, url: str) -> Ran:
        return self.run("up", folder, url)

    def down(self, folder: Path, url: str) -> Ran:
        return self.run("down", folder, url)
