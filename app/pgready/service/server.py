"""The HTTP server beside the work: a socket that is bound first, uvicorn in the caller's task group.

1. The port is bound and listens before anything else happens, so that an early probe queues in the kernel
   instead of being refused, and a port in use is told before the database is touched.
2. Signals are the caller's (FIELD-NOTES 17): uvicorn installs no handler and re-raises nothing.
3. No client can crowd out the probes or the migration: see `service.protocol`. Of requests, only long
   polls and listeners last, and the application bounds those.
4. Cancelling the scope around `serve` stops it: no new connections, a bounded grace for answers that are
   under way, then nothing is left, neither a task nor a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import resource
import socket
from collections.abc import Iterator, Sequence

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from pgready.core.errors import SettingsError
from pgready.service import unix_sockets
from pgready.service.probes import Probes
from pgready.service.protocol import HEAD_LIMIT_BYTES, IDLE_SECONDS, Connection, Crowd

GRACE_SECONDS = 2

CONNECTION_LIMIT = 1000
"""Far above any orchestrator's probes; fewer where the process may not open as many files."""

_BACKLOG = 1024  # what the kernel keeps until it is accepted
_ACCEPTED_AT_ONCE = 16  # in a flood the migration gets its turn after so many
_OWN_FILES = 128  # the database's connections, the migrations' files, the log
_WANTED_FILES = CONNECTION_LIMIT + _ACCEPTED_AT_ONCE + _OWN_FILES
_WARNING_SECONDS = 60
_PEER_SECONDS = 30
_log = logging.getLogger("uvicorn.error")
_LAST_SECONDS = 2  # for what was cancelled after the grace to end
_Address = tuple[socket.AddressFamily, tuple[str | int, ...]]
_NO_SUCH_ADDRESS = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def listen(hosts: str, port: int) -> tuple[socket.socket, ...]:
    """Sockets that listen on *port* of every address of *hosts*, which commas separate; port 0 takes a free
    one. A host that begins with `/` is a Unix socket instead; those come last.

    `::` takes IPv4 too. Empty *hosts* are every address; what is empty between commas is nothing. Raises
    SettingsError (exit 2) naming the setting.
    """
    named = [host for each in hosts.split(",") if (host := each.strip())]
    if hosts and not named:
        raise SettingsError(("--host (PGREADY_HOST) names no address",))
    sockets: list[socket.socket] = []
    for host in sorted(named or [""], key=unix_sockets.is_path):
        try:
            if unix_sockets.is_path(host):
                sockets.append(unix_sockets.listener(host, _BACKLOG))
            else:
                _listen_on_each(_addresses(host, port), sockets)
        except UnicodeError:  # no name that the system could be asked for
            close(sockets)
            raise SettingsError(("--host (PGREADY_HOST) is no host name",)) from None
        except OSError as error:
            close(sockets)
            raise _unusable(host, port, error) from error
    return tuple(sockets)


def close(sockets: Sequence[socket.socket]) -> None:
    """Stop listening, where `serve` was never reached."""
    for listener in sockets:
        listener.close()


def url(listener: socket.socket) -> str:
    """The address to open in a browser: the real port, and localhost where it listens everywhere.

    Of a Unix socket what `pgready healthcheck --url` takes: `unix:/path`.
    """
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port, *_ = listener.getsockname()
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    application: ASGIApp,
    sockets: Sequence[socket.socket],
    probes: Probes | None = None,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on *sockets* until cancelled; `await group.start(serve, …)` returns once it answers.

    What *probes* can answer does not reach *application*.

    Closes *sockets*. Publish the phase `draining` before cancelling: it ends the long polls.
    """
    server = _Server(_config(application, probes), task_status)
    seldom = _Seldom()
    _log.addFilter(seldom)
    try:
        await server.serve(list(sockets))
    finally:
        _log.removeFilter(seldom)
        with anyio.move_on_after(GRACE_SECONDS + _LAST_SECONDS, shield=True):
            await server.end(sockets)


def _addresses(host: str, port: int) -> list[_Address]:
    found = socket.getaddrinfo(
        host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(
        dict.fromkeys((family, (str(address[0]), *address[1:])) for family, _, _, _, address in found)
    )


def _listen_on_each(addresses: Sequence[_Address], sockets: list[socket.socket]) -> None:
    """Fill *sockets*. What this machine lacks (IPv6, say) is left out while there is another address."""
    missing: OSError | None = None
    for family, (host, port, *rest) in addresses:
        # With port 0 the other addresses take the port that the first was given.
        known = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_listener(family, (host, known, *rest), dual_stack=len(addresses) == 1))
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise
            missing = error
    if missing and not sockets:
        raise missing


def _listener(
    family: socket.AddressFamily, address: tuple[str | int, ...], *, dual_stack: bool
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # its connections have it too: a peer that is gone is noticed
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _PEER_SECONDS)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
        listener.bind(address)
        listener.listen(_BACKLOG)  # at once: two that only bind would both succeed
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _unusable(host: str, port: int, error: OSError) -> SettingsError:
    if unix_sockets.is_path(host):
        hint = "set PGREADY_HOST (--host) to a path of at most 100 bytes in a directory that may be written"
        return SettingsError((f"cannot listen on {host}: {error.strerror or error}",), hint=hint)
    shown = f"{host}:{port}" if ":" not in host else f"[{host.strip('[]')}]:{port}"
    problem = f"cannot listen on {shown}: {error.strerror or error}"
    match error.errno:
        case errno.EADDRINUSE:
            hint = (
                "another process has the port: stop it, or set PGREADY_PORT (--port) to a free one, 0 for any"
            )
        case errno.EACCES:
            hint = "ports below 1024 need a privilege: set PGREADY_PORT (--port) to a higher one"
        case _:
            hint = "set PGREADY_HOST (--host) to an address of this machine, or 0.0.0.0 for all"
    return SettingsError((problem,), hint=hint)


def _config(application: ASGIApp, probes: Probes | None) -> uvicorn.Config:
    protocol = functools.partial(Connection, crowd=Crowd(_connection_limit()), probes=probes)
    return uvicorn.Config(
        application,
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        interface="asgi3",
        loop="none",
        log_config=None,
        log_level=logging.WARNING,  # its own coming and going is told by our events
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_ACCEPTED_AT_ONCE,
        h11_max_incomplete_event_size=HEAD_LIMIT_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _connection_limit() -> int:
    """As many connections as leave files for the migration: a flood must not take them from it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _WANTED_FILES:
        soft = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return CONNECTION_LIMIT
    return max(1, min(CONNECTION_LIMIT, soft - _ACCEPTED_AT_ONCE - _OWN_FILES))


class _Seldom(logging.Filter):
    """Lets a warning pass at most once in so many seconds: what it warns of is what clients do, and a flood
    of it would drown what happens to the database."""

    _next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.WARNING:
            return True
        passes = record.created >= self._next
        if passes:
            self._next = record.created + _WARNING_SECONDS
        return passes


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, task_status: TaskStatus[None]) -> None:
        super().__init__(config)
        self._task_status = task_status

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the caller."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)  # uvicorn has shortened it to what it accepts at once
        self._task_status.started()

    async def end(self, sockets: Sequence[socket.socket]) -> None:
        """Stop for good: after this neither a task nor a connection is left."""
        if self.started:
            await self.shutdown(list(sockets))
        close(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks))
