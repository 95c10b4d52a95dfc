"""A program that uses an embedded server until it is signalled: hold_embedded.py DIRECTORY BINDIR [UID GID].

It prints the server's port and process id once it runs. With UID and GID it becomes that user first, after
all is imported, since that user may not be able to enter the place where Python is.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio

from pgready.database import embedded, postmaster
from pgready.database.binaries import BINDIR_VARIABLE


async def hold(directory: Path, bindir: str) -> None:
    """Use the server until SIGTERM."""
    environ = {BINDIR_VARIABLE: bindir}
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with embedded.running(directory, environ=environ) as server:
            found = postmaster.read(directory / "data")
            assert found is not None
            print(f"running port={server.port} pid={found.pid} created={server.created}", flush=True)
            async for _ in signals:
                return


if __name__ == "__main__":
    for name in dir(anyio):  # import what anyio imports at first use
        getattr(anyio, name)
    anyio.run(anyio.run_process, "true")
    if len(sys.argv) > 3:
        uid, gid = int(sys.argv[3]), int(sys.argv[4])
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    anyio.run(hold, Path(sys.argv[1]), sys.argv[2])
