"""The real drizzle-kit, in a project folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

GENERATIONS = 45
"""How many migrations the generated project has."""


class DrizzleKit:
    """drizzle-kit in a project folder of its own."""

    def __init__(self, modules: Path) -> None:
        self._program = modules / "node_modules" / ".bin" / "drizzle-kit"
        self.home = modules

    def generate(self, schema: str, out: Path, name: str) -> None:
        """Write the next migration of *out*: the difference to the TypeScript *schema*."""
        source = out.parent / "schema.ts"
        source.write_text(schema)
        self._run(
            "generate", "--dialect", "postgresql", "--schema", self._relative(source),
            "--out", self._relative(out), "--name", name,
        )  # fmt: skip

    def migrate(self, out: Path, url: str) -> None:
        config = out.parent / "drizzle.config.ts"
        settings = {"dialect": "postgresql", "out": self._relative(out), "dbCredentials": {"url": url}}
        config.write_text(f"export default {json.dumps(settings)};\n")
        self._run("migrate", "--config", self._relative(config))

    def upgrade(self, out: Path) -> None:
        """Bring the folder *out* of 0.x to the layout of 1.0 (a drizzle-kit 1.0 only)."""
        self._run("up", "--dialect", "postgresql", "--out", self._relative(out))

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self.home)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [self._program, *arguments], cwd=self.home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def schema(generation: int) -> str:
    """A schema that grows: a table for every third generation, then a column, then an index and a key."""
    tables = []
    for number in range(1, generation + 1, 3):
        columns = ["id: serial().primaryKey()", 'label: text("label").notNull()']
        if generation > number:
            columns.append('score: integer("score").default(0)')
        extras = ""
        if generation > number + 1:
            if number > 1:
                columns.append(f"parent: integer().references(() => t{number - 3}.id)")
            extras = f', (t) => [index("t{number}_label").on(t.label)]'
        body = ", ".join(columns)
        tables.append(f'export const t{number} = pgTable("t{number}", {{ {body} }}{extras});')
    head = 'import { index, integer, pgTable, serial, text } from "drizzle-orm/pg-core";\n'
    return head + "\n".join(tables) + "\n"
