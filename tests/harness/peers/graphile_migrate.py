"""graphile-migrate's command, from npm."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, npm_install


class GraphileMigrate(Peer):
    dialect: ClassVar[str] = "graphile-migrate"
    rows: ClassVar[str] = (
        "SELECT hash, previous_hash, filename FROM graphile_migrate.migrations ORDER BY filename"
    )
    locks: ClassVar[bool] = False  # it does not wait for its lock: see test_graphile_migrate
    reverts: ClassVar[bool] = False
    merges: ClassVar[bool] = False

    def install(self) -> Path:
        return npm_install("graphile-migrate@1.4.1", "graphile-migrate")

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        committed = folder / "committed"
        committed.mkdir(parents=True, exist_ok=True)
        for step in steps:
            head = "" if step.transactional else "--! no-transaction\n"
            body = f"{head}{step.up}".strip()
            previous = self._hash_before(committed, step)
            text = f"{previous or ''}\n{body}".strip() + "\n"
            digest = hashlib.sha1(text.encode()).hexdigest()
            headers = f"--! Previous: {previous or '-'}\n--! Hash: sha1:{digest}\n"
            self.path(folder, step).write_text(f"{headers}\n{body}\n")

    def path(self, folder: Path, step: Step) -> Path:
        return folder / "committed" / f"{step.version:06}-{step.name}.sql"

    def version(self, step: Step) -> str:
        return f"{step.version:06}"

    def up(self, folder: Path, url: str) -> Ran:
        settings = folder.parent / f"{folder.name}.gmrc.json"
        settings.write_text(json.dumps({"connectionString": url, "migrationsFolder": str(folder)}))
        return self.run("migrate", "--config", settings)

    def _hash_before(self, committed: Path, step: Step) -> str | None:
        earlier = [file for file in sorted(committed.glob("*.sql")) if file.name < f"{step.version:06}"]
        found = re.search("^--! Hash: (.*)$", earlier[-1].read_text(), re.MULTILINE) if earlier else None
        return found[1] if found else None
