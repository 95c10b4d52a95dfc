"""Alembic's command, from PyPI; a transaction for each migration, which is not its default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.peers.peer import Ran, Step, Tool, pip_install

_ENV = """\
import os

from alembic import context
from sqlalchemy import create_engine, pool

with create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


class Alembic(Tool):
    def install(self) -> Path:
        return pip_install(
            "alembic-1.20.1", "alembic", "alembic==1.20.1", "psycopg[binary]==3.3.9", "SQLAlchemy==2.1.9"
        )

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        (folder / "versions").mkdir(parents=True, exist_ok=True)
        (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = {folder}\n")
        (folder / "env.py").write_text(_ENV)
        before = None
        for step in steps:
            body = f"def upgrade():\n    op.execute({step.up!r})\n"
            head = f"from alembic import op\nrevision = 'r{step.version}'\ndown_revision = {before!r}\n"
            (folder / "versions" / f"{step.version}.py").write_text(head + body)
            before = f"r{step.version}"

    def up(self, folder: Path, url: str) -> Ran:
        env = {"DATABASE_URL": url.replace("postgresql://", "postgresql+psycopg://")}
        return self.run("-c", folder / "alembic.ini", "upgrade", "head", env=env)
