"""refinery's command, from crates.io; built once, which takes minutes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.peers.peer import Ran, Step, Tool, cargo_install


class Refinery(Tool):
    def install(self) -> Path:
        flags = ("--no-default-features", "--features", "postgresql")
        return cargo_install("refinery_cli", "0.10.0", "refinery", *flags)

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            (folder / f"V{step.version}__{step.name}.sql").write_text(step.up)

    def up(self, folder: Path, url: str) -> Ran:
        return self.run("migrate", "-e", "DATABASE_URL", "-p", folder, env={"DATABASE_URL": url})
