"""tern's command, from the Go module proxy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.peers.peer import Ran, Step, Tool, go_install


class Tern(Tool):
    def install(self) -> Path:
        return go_install("github.com/jackc/tern/v2@v2.3.4", "tern")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(steps, 1):  # it wants them numbered from 1, without a gap
            text = f"{step.up}\n---- create above / drop below ----\n{step.down}\n"
            (folder / f"{number:05}_{step.name}.sql").write_text(text)

    def up(self, folder: Path, url: str) -> Ran:
        return self.run("migrate", "--migrations", folder, "--conn-string", f"{url}?sslmode=disable")
