"""yoyo's command, from PyPI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.peers.peer import Ran, Step, Tool, pip_install


class Yoyo(Tool):
    def install(self) -> Path:
        return pip_install("yoyo-9.0.0", "yoyo", "yoyo-migrations==9.0.0", "psycopg[binary]==3.3.9")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            (folder / f"{step.version}_{step.name}.sql").write_text(step.up)

    def up(self, folder: Path, url: str) -> Ran:
        database = url.replace("postgresql://", "postgresql+psycopg://")
        return self.run("apply", "--batch", "--no-config-file", "--database", database, folder)
