"""The floor of applying: one connection, each script and its history row as one message, one commit."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import asyncpg

CREATE = "CREATE TABLE history (version text PRIMARY KEY, checksum text, at timestamptz DEFAULT now())"


async def main() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"], statement_cache_size=0)
    await connection.execute(CREATE)
    for path in sorted(Path(sys.argv[1]).glob("*.sql")):
        script = path.read_text()
        checksum = hashlib.sha256(script.encode()).hexdigest()
        version = path.name.partition("_")[0]
        record = f"INSERT INTO history (version, checksum) VALUES ('{version}', '{checksum}')"
        await connection.execute(f"BEGIN;\n{script};\n{record};\nCOMMIT")
    await connection.close()


asyncio.run(main())
