"""Prisma Migrate 6, whose schema engine npm has as WebAssembly: it works through a driver of JavaScript.

The engine of 7 and the native one of 6 are downloaded from elsewhere, and cannot be had from a registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .peer import Peer, Ran, Step, npm_install

_SCHEMA = """datasource db {
  provider = "postgresql"
  url = env("DATABASE_URL")
}
generator client {
  provider = "prisma-client"
  engineType = "client"
  output = "./unused"
}
"""

_CONFIG = """import { defineConfig } from 'prisma/config';
import { PrismaPg } from '@prisma/adapter-pg';

// As the native engine does: one connection, to which a script goes whole. The driver cuts it at every `;`.
class WholeScripts extends PrismaPg {
  async connect() {
    const connection = await super.connect();
    connection.executeScript = async (script) => {
      try {
        await connection.client.query(script);
      } catch (error) {
        connection.onError(error);
      }
    };
    return connection;
  }
}

export default defineConfig({
  experimental: { adapter: true },
  engine: 'js',
  schema: process.env.PEER_SCHEMA,
  migrations: { path: process.env.PEER_MIGRATIONS },
  adapter: async () => new WholeScripts({ connectionString: process.env.DATABASE_URL, max: 1 }),
});
"""


class Prisma(Peer):
    dialect: ClassVar[str] = "prisma"
    rows: ClassVar[str] = (
        "SELECT migration_name, checksum, finished_at IS NOT NULL, logs IS NULL, applied_steps_count"
        " FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at"
    )
    reverts: ClassVar[bool] = False
    leaves_failed_row: ClassVar[bool] = True
    transactional_option: ClassVar[bool] = False

    def install(self) -> Path:
        program = npm_install("prisma@6.19.3", "prisma", "@prisma/adapter-pg@7.10.1")
        self.home = program.parents[2]
        (self.home / "schema.prisma").write_text(_SCHEMA)
        (self.home / "prisma.config.ts").write_text(_CONFIG)
        return program

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "migration_lock.toml").write_text('provider = "postgresql"\n')
        for step in steps:
            self.path(folder, step).parent.mkdir(exist_ok=True)
            self.path(folder, step).write_text(step.up)
            self.path(folder, step).with_name("down.sql").write_text(step.down)

    def path(self, folder: Path, step: Step) -> Path:
        return folder / f"{20260101000000 + step.version}_{step.name}" / "migration.sql"

    def version(self, step: Step) -> str:
        return self.path(Path(), step).parent.name.partition("_")[0]

    def up(self, folder: Path, url: str) -> Ran:
        return self.migrate(folder, url, "deploy")

    def migrate(self, folder: Path, url: str, *arguments: str) -> Ran:
        """Run `prisma migrate …`."""
        env = {
            "DATABASE_URL": url,
            "PEER_MIGRATIONS": str(folder),
            "PEER_SCHEMA": str(self.home / "schema.prisma"),
            "CHECKPOINT_DISABLE": "1",
            "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        }
        return self.run("migrate", *arguments, "--config", str(self.home / "prisma.config.ts"), env=env)
