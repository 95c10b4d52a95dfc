"""refinery's command, from crates.io."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, cargo_install


class Refinery(Peer):
    dialect: ClassVar[str] = "refinery"
    rows: ClassVar[str] = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version"
    named: ClassVar[bool] = True
    locks: ClassVar[bool] = False
    reverts: ClassVar[bool] = False
    runs_concurrently: ClassVar[bool] = False
    transactional_option: ClassVar[bool] = False

    def install(self) -> Path:
        flags = ("--no-default-features", "--features", "postgresql")
        return cargo_install("refinery_cli", "0.10.0", "refinery", *flags)

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            self.path(folder, step).write_text(step.up)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"V{step.version}__{step.name}.sql"

    def version(self, step: Step) -> str:
        return str(step.version)

    def up(self, folder: Path, url: str) -> Ran:
        """As its library does by default: what changed or is missing stops it."""
        return self.run("migrate", "-d", "-m", "-e", "TARGET", "-p", folder, env={"TARGET": url})
