"""node-pg-migrate as in tests/harness, but with a transaction for each migration: not its default."""

from __future__ import annotations

from pathlib import Path

from harness.peers import node_pg_migrate
from harness.peers.peer import Ran


class NodePgMigrate(node_pg_migrate.NodePgMigrate):
    def up(self, folder: Path, url: str) -> Ran:
        lock = ("--advisory-lock-mode", "wait")
        return self.run("up", "-m", folder, "--no-single-transaction", *lock, env={"DATABASE_URL": url})
