"""`pgready serve` as a process, asked over HTTP and read by its log."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anyio
import httpx

from .database import Database
from .processes import Pgready, Running
from .server import Server

POLL = "300ms"


# A mark, which is asked for before the first look and at every glance.
_WATCHING = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'pgready %' AND query LIKE '%concat_ws(''; ''%'
"""


class Daemon:
    """A daemon on a free port; it polls its target often, lest a test take long."""

    def __init__(
        self,
        pgready: Pgready,
        folder: Path,
        target: Database | str,
        *flags: str,
        shell: str | None = None,
        **env: str,
    ) -> None:
        url = target if isinstance(target, str) else target.url
        self.running: Running = pgready.start(
            "serve", "--dir", folder, "--port", "0", "--poll-interval", POLL, "--log-format", "json", *flags,
            env={"PGREADY_DATABASE_URL": url, **env}, shell=shell,
        )  # fmt: skip

    @classmethod
    async def ready(
        cls,
        pgready: Pgready,
        folder: Path,
        target: Database | str,
        *flags: str,
        shell: str | None = None,
        **env: str,
    ) -> Daemon:
        """One whose target is ready and, where it is a Database of the test, watched."""
        daemon = cls(pgready, folder, target, *flags, shell=shell, **env)
        await daemon.told("run.ready")
        if isinstance(target, Database):
            await daemon.watching(target)
        return daemon

    async def watching(self, database: Database) -> None:
        """Wait until it watches *database*."""
        async with database.connect() as connection:
            while not await connection.fetchval(_WATCHING):
                assert self.running.exit_code is None, self.running.stderr
                await anyio.sleep(0.02)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event so far."""
        lines = (json.loads(line) for line in self.running.stderr.splitlines() if line.endswith("}"))
        return [line for line in lines if line["event"] == name]

    async def told(self, name: str, times: int = 1, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait until an event was told so many times."""
        await self.running.until(lambda: len(self.events(name)) >= times, f"{name}, {times} times", seconds)
        return self.events(name)

    async def url(self) -> str:
        await self.running.wait_for("listening on")
        found = re.search(r"listening on (http://[^ \"]+)", self.running.stderr)
        assert found is not None
        return found[1]

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """The status code and body of /ready."""
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{await self.url()}/ready", headers={"Accept": "application/json"})
        return answer.status_code, answer.json()


def restore(server: Server, database: Database, dump: str) -> None:
    """Take *database* back to *dump*, as somebody at psql does it."""
    clear = "DROP SCHEMA IF EXISTS pgready CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"
    server.psql(f"SET client_min_messages = warning;\n{clear}{dump}", database.name)
