"""What a no-op `pgready up` cannot do without: its imports, a connection, the history, the hashes."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import anyio
import asyncpg
import click
import msgspec
import structlog

IMPORTED = (anyio, click, msgspec, structlog)


async def main() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    rows = await connection.fetch("SELECT version, checksum FROM pgready.history")
    recorded = {row["version"]: row["checksum"] for row in rows}
    for path in sorted(Path(sys.argv[1]).glob("*.sql")):
        if recorded[path.name.partition("_")[0]] != hashlib.sha256(path.read_bytes()).hexdigest():
            raise SystemExit(f"{path} changed")
    await connection.close()


asyncio.run(main())
