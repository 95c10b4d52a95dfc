"""A running PostgreSQL server as its `postmaster.pid` shows it: found, awaited, stopped.

Everything goes by process id, so a server that another process of ours left behind is treated like one
that we started.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from pathlib import Path

import anyio
from msgspec import Struct

POLL_SECONDS = 0.005
PORTS = range(1, 65_536)
_PIDS = range(1, 2**31)

# A fast shutdown writes a checkpoint. Where that takes longer than an orchestrator's patience allows, an
# immediate one loses nothing: the next start recovers from the log. Four seconds in all before SIGKILL.
_STOPS = ((signal.SIGINT, 3.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 1.0))


class Postmaster(Struct, frozen=True):
    """What `postmaster.pid` says; *ready* is the server's own word that it accepts connections."""

    pid: int
    port: int
    socket_directory: Path
    ready: bool

    @property
    def socket_path(self) -> Path:
        """The socket, which only this server listens on: its directory was made for it."""
        return self.socket_directory / f".s.PGSQL.{self.port}"


def read(data: Path) -> Postmaster | None:
    """The server of the directory *data*, or None where none is, or none has come far enough to say, or what
    the file holds makes no sense.

    The file outlives a server that was killed: ask `alive` and `answers` too.
    """
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 5:
        return None
    pid, port = _number(lines[0], _PIDS), _number(lines[3], PORTS)
    if pid is None or port is None:
        return None
    return Postmaster(pid, port, Path(lines[4]), ready=len(lines) > 7 and lines[7].strip() == "ready")


def discard_broken(data: Path) -> None:
    """Remove a `postmaster.pid` that names no process, with which PostgreSQL would refuse to start."""
    path = data / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError):
        first, _, _ = path.read_text(errors="replace").partition("\n")
        if _number(first, _PIDS) is None:
            path.unlink()


def _number(text: str, known: range) -> int | None:
    """The number in *text*, where it is one of *known*."""
    found = re.fullmatch(r"\s*([0-9]{1,10})\s*", text)
    return int(found[1]) if found and int(found[1]) in known else None


def alive(pid: int) -> bool:
    """Whether the process runs. A child of ours that has ended is reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return _exists(pid) and not is_zombie(pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_zombie(pid: int) -> bool:
    """Whether it has ended and its parent (a PID 1 that reaps nothing, say) has not noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:  # ended meanwhile, or no /proc here: the caller asks again
        return False


def answers(found: Postmaster) -> bool:
    """Whether somebody listens on its socket; a stale file may name a process that is another's now."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(found.socket_path))
        except OSError:
            return False
        return True


async def stop(pid: int) -> None:
    """Stop the server, fast, and return once its process is gone; harder and harder, within 5 s.

    Shielded: a cancelled caller's server is stopped all the same.
    """
    for how, patience_seconds in _STOPS:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return
        with anyio.move_on_after(patience_seconds, shield=True):
            while alive(pid):
                await anyio.sleep(POLL_SECONDS)
            return
