"""drizzle-kit's command, from npm. It applies all that is pending in one transaction."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from harness.peers.peer import Ran, Step, Tool, npm_install

_BASE_MS = 1_700_000_000_000


class DrizzleKit(Tool):
    def install(self) -> Path:
        program = npm_install("drizzle-kit@0.31.11", "drizzle-kit", "drizzle-orm@0.45.4", "pg@8.23.1")
        self.home = program.parents[2]
        return program

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        (folder / "meta").mkdir(parents=True, exist_ok=True)
        entries = []
        for index, step in enumerate(steps):
            tag = f"{step.version}_{step.name}"
            (folder / f"{tag}.sql").write_text(step.up.replace(";\n", ";\n--> statement-breakpoint\n"))
            when = _BASE_MS + step.version
            entries.append({"idx": index, "version": "7", "when": when, "tag": tag, "breakpoints": True})
        journal = {"version": "7", "dialect": "postgresql", "entries": entries}
        (folder / "meta/_journal.json").write_text(json.dumps(journal))

    def up(self, folder: Path, url: str) -> Ran:
        # It takes neither an absolute folder nor a driver from anywhere but beside its settings.
        settings = self.home / f"{folder.parent.name}.config.json"
        out = os.path.relpath(folder, self.home)
        settings.write_text(json.dumps({"dialect": "postgresql", "out": out, "dbCredentials": {"url": url}}))
        return self.run("migrate", "--config", settings.name, cwd=self.home)
