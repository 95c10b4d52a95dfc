"""The least a Python tool could do: the driver, a connection, one query."""

import asyncio
import os

import asyncpg


async def main() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.fetch("SELECT version FROM pgready.history")
    await connection.close()


asyncio.run(main())
