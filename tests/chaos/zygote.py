"""Forks replicas: processes that run `pgready` as a fresh one does, without the cost of loading it.

Importing pgready takes longer than a whole run of the simulator's folder does. So one process imports all of
it, connects to nothing, starts no thread and no event loop, and then forks a child for each replica that
is asked for. The child takes its own arguments, environment, directory, output and signal dispositions,
and goes through `pgready.__main__.main`, the program's one entry.

A child that has ended stays a zombie until it is buried, so its pid is never another process's meanwhile.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import random
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.processes import COMMAND

# What pgready and its libraries import at the time of need.
_LATE = (
    "anyio._backends._asyncio", "asyncio.base_events", "asyncpg.protocol.protocol", "encodings.idna", "h11",
    "httptools", "jinja2", "structlog", "uvicorn.lifespan.off", "uvicorn.logging",
    "uvicorn.loops.asyncio", "uvicorn.protocols.http.h11_impl", "uvicorn.protocols.http.httptools_impl",
)  # fmt: skip
_TESTS = Path(__file__).resolve().parents[1]
_DEFAULT = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT)


class Birth(Struct, frozen=True, tag=True):
    """What a replica is to run. Standard error goes to the descriptor that is sent with it."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    stdout: str


class Burial(Struct, frozen=True, tag=True):
    """Wait for *pid*, which is about to end, and let go of it."""

    pid: int


def load_all() -> None:
    """Import every module of pgready, and what those import late."""
    import pgready

    for module in pkgutil.walk_packages(pgready.__path__, "pgready."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("pgready.__main__")
    for name in _LATE:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:  # not installed: then pgready does not need it
            continue
    sys.modules["pgready.core.sql"].split("")  # binds libpg_query


def serve(channel: socket.socket) -> None:
    """Answer each request on *channel* with a number, until it is closed: a pid, or a wait status."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1 << 16, 1)
        if not message:
            return
        match msgspec.json.decode(message, type=Birth | Burial):
            case Burial(pid):
                answer = os.waitpid(pid, 0)[1]
            case birth:
                answer = os.fork()
                if not answer:
                    channel.close()
                    _live(birth, descriptors[0])
                os.close(descriptors[0])
        channel.sendall(answer.to_bytes(8, "big"))


def _live(birth: Birth, stderr: int) -> None:
    """Be the replica. Never returns."""
    status = 1
    try:
        _become_fresh(birth, stderr)
        from pgready.__main__ import main

        main()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _become_fresh(birth: Birth, stderr: int) -> None:
    os.setsid()
    for number in _DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stdin = os.open(os.devnull, os.O_RDONLY)
    stdout = os.open(birth.stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor, source in enumerate((stdin, stdout, stderr)):
        os.dup2(source, descriptor)
        os.close(source)
    # As Python makes them where they are no terminal.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(birth.environment)
    os.chdir(birth.directory)
    random.seed()
    sys.argv = [str(COMMAND), *birth.arguments]
    Path("/proc/self/comm").write_text("pgready")


class Zygote:
    """The fork server, from the side of who asks it. Blocks for the few milliseconds of a fork."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.zygote", str(number)], pass_fds=(number,), stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(_TESTS)}, start_new_session=True,
        )  # fmt: skip
        theirs.close()

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        stdout: Path,
        stderr: int,
    ) -> int:
        """Fork a replica; its pid."""
        birth = Birth(tuple(arguments), dict(environment), str(directory), str(stdout))
        return self._ask(birth, stderr)

    def bury(self, pid: int) -> int:
        """The exit code of a replica that has ended, minus the signal's number where one ended it."""
        return os.waitstatus_to_exitcode(self._ask(Burial(pid)))

    def close(self) -> None:
        """End the fork server; replicas live on."""
        self._channel.close()
        self._process.wait()

    def _ask(self, request: Birth | Burial, *descriptors: int) -> int:
        socket.send_fds(self._channel, [msgspec.json.encode(request)], descriptors)
        return int.from_bytes(self._channel.recv(8), "big")


def main() -> None:
    """Be the fork server of whoever holds the other end of the channel."""
    load_all()
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
