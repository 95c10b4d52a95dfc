"""One database, one folder, and the commands on them, as a person gives them."""

from __future__ import annotations

from pathlib import Path

from harness.database import Database
from harness.processes import Pgready, Result, Running


class Target:
    """Calling it runs a command with the folder to its end; none may print a traceback."""

    def __init__(self, pgready: Pgready, database: Database, folder: Path) -> None:
        self._pgready = pgready
        self._environment = {"PGREADY_DATABASE_URL": database.url, "PGREADY_LOG_FORMAT": "console"}
        self.database = database
        self.folder = folder

    async def __call__(self, *arguments: str, **environ: str) -> Result:
        env = {**self._environment, **environ}
        result = await self._pgready(*arguments, "--dir", self.folder, env=env)
        assert "Traceback" not in result.stderr
        return result

    def start(self, *arguments: str) -> Running:
        return self._pgready.start(*arguments, "--dir", self.folder, env=self._environment)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def recorded(self) -> list[str]:
        rows = await self.database.fetch("SELECT version FROM pgready.history ORDER BY version")
        return [version for (version,) in rows]

    async def exists(self, relation: str) -> bool:
        return await self.database.value("SELECT to_regclass($1) IS NOT NULL", relation) is True
