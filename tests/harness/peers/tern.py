"""tern's command, from the Go module proxy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, go_install

_SEPARATOR = "---- create above / drop below ----"
_DISABLE_TX = "---- tern: disable-tx ----"


class Tern(Peer):
    dialect: ClassVar[str] = "tern"
    rows: ClassVar[str] = "SELECT version FROM schema_version"
    sees_merged: ClassVar[bool] = False
    merges: ClassVar[bool] = False

    def install(self) -> Path:
        return go_install("github.com/jackc/tern/v2@v2.4.2", "tern")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            head = "" if step.transactional else f"{_DISABLE_TX}\n"
            text = f"{head}{step.up}\n\n{_SEPARATOR}\n{head}{step.down}\n"
            self.path(folder, step).write_text(text)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"{step.version:03}_{step.name}.sql"

    def up(self, folder: Path, url: str) -> Ran:
        return self._run(folder, url, "last")

    def down(self, folder: Path, url: str) -> Ran:
        return self._run(folder, url, "-1")

    def _run(self, folder: Path, url: str, destination: str) -> Ran:
        flags = ("--migrations", folder, "--conn-string", url, "--destination", destination)
        return self.run("migrate", *flags)
