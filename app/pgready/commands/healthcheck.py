"""`pgready healthcheck`: exit 0 where the local daemon says that it is ready, else 1. Nothing else.

An orchestrator runs this every few seconds in an image that has neither shell nor curl, so it costs
little more than starting Python: it imports nothing of pgready, and `_socket` (the C half of `socket`).
Measured, median whole process: bare Python 15.5 ms, with `_socket` 15.2, `socket` 24.6, `http.client` 49.5.
"""

from __future__ import annotations

import _socket
import sys
import time

TYPE_CHECKING = False  # `typing` and `collections.abc` cost 3 ms and more at run time
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_SECONDS = 3.0
HELP = """\
Usage: pgready healthcheck [--url URL]

Exit 0 where the daemon (pgready serve) answers that it is ready, 1 where it does not.
The default URL is http://HOST:PORT/ready from PGREADY_HOST and PGREADY_PORT (127.0.0.1, 8080).
A host that begins with / is a Unix socket; as a URL it is unix:/PATH.
"""
_LOOPBACK = ("127.0.0.1", "::1")
_EVERYWHERE = ("", "*", "0.0.0.0", "::")  # addresses to listen on, not to call
_SERVICE_LINKS = ("tcp://", "udp://", "sctp://")  # of a Service named pgready: `settings.catalogue`
_ANSWER_LIMIT_BYTES = 65_536
_LINE_LIMIT_CHARACTERS = 300


class Unwell(Exception):
    """Why the answer is no, in one line; *answered* says whether there was an answer at all."""

    def __init__(self, reason: str, *, answered: bool = False) -> None:
        super().__init__(reason)
        self.answered = answered


class Misused(Unwell):
    """A URL or an option that cannot be used."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Ask the daemon once; 0 or 1, and one line on standard output that says why."""
    if "--help" in arguments or "-h" in arguments:
        sys.stdout.write(HELP)
        return 0
    try:
        line, code = ask(*target(_url(arguments), environ)), 0
    except Unwell as unwell:
        line, code = str(unwell), 1
    sys.stdout.write(f"{line}\n")
    return code


def _url(arguments: Sequence[str]) -> str | None:
    match list(arguments):
        case []:
            return None
        case ["--url", url]:
            return url
        case [option] if option.startswith("--url="):
            return option.removeprefix("--url=")
        case _:
            raise Misused("healthcheck takes one option: --url URL")


def target(url: str | None, environ: Mapping[str, str]) -> tuple[tuple[str, ...], int, str]:
    """The hosts (or Unix sockets) to try in turn, the port and the path that *url* or the environment name.

    Raises Misused.
    """
    if url is None:
        listed = (each.strip("[] ") for each in environ.get("PGREADY_HOST", "").split(","))
        named = [host for host in listed if host] or [""]
        hosts = tuple(host for each in named for host in _callable(each))
        port = environ.get("PGREADY_PORT", "").strip()
        if port.startswith(_SERVICE_LINKS):
            port = ""
        return hosts, _port(port or "8080"), "/ready"
    if url.startswith("unix:"):
        return _socket_file(url.removeprefix("unix:").removeprefix("//")), 0, "/ready"
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() != "http":
        raise Misused("--url must start with http:// (the local daemon speaks no TLS) or unix:/")
    authority, slash, path = rest.partition("/")
    if "@" in authority or not _is_plain(authority + path):
        raise Misused("--url must be http://HOST:PORT/PATH")
    host, port = _split(authority)
    return _callable(host), _port(port), f"/{path}" if slash and path else "/ready"


def _socket_file(path: str) -> tuple[str, ...]:
    if not path.startswith("/") or "\0" in path:
        raise Misused("--url must be unix:/PATH, which asks for /ready")
    return (path,)


def _split(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        return host, port.removeprefix(":") or "80"
    host, _, port = authority.partition(":")
    return host, port or "80"


def _callable(host: str) -> tuple[str, ...]:
    return _LOOPBACK if host in _EVERYWHERE else (host,)


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536:
        return int(text)
    raise Misused("the port must be a number from 1 to 65535 (PGREADY_PORT or --url)")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def ask(hosts: Sequence[str], port: int, path: str) -> str:
    """What the daemon said, in one line; blocks for at most 3 s. Raises Unwell unless it said 2xx."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    where = _where(port)
    connection = _connect(hosts, port, deadline)
    try:
        connection.sendall(_request(hosts[0], port, path))
        answer = _read(connection, deadline)
    except OSError as error:
        raise Unwell(f"no answer on {where}: {_reason(error)}") from None
    finally:
        connection.close()
    return _judge(answer, where)


def _connect(hosts: Sequence[str], port: int, deadline: float) -> _socket.socket:
    """A connection to the first of *hosts* that takes one."""
    failure: OSError | None = None
    for host in hosts:
        try:
            addresses = _addresses(host, port)
        except OSError as error:
            failure = failure or error
            continue
        for family, address in addresses:
            connection = None
            try:
                connection = _socket.socket(family, _socket.SOCK_STREAM)
                connection.settimeout(_left(deadline))
                connection.connect(address)  # type: ignore[arg-type]
            except OSError as error:
                # The first reason counts: after 127.0.0.1 refused, that ::1 does not exist is no news.
                failure = failure or error
                if connection is not None:
                    connection.close()
            else:
                return connection
    raise Unwell(f"cannot connect to {_where(port)}: {_reason(failure)}")


def _where(port: int) -> str:
    return f"port {port}" if port else "the socket"


def _addresses(host: str, port: int) -> Sequence[tuple[int, object]]:
    if host.startswith("/"):
        return [(_socket.AF_UNIX, host)]
    # As bytes, because for text getaddrinfo imports the IDNA codec (4 ms).
    found = _socket.getaddrinfo(host.encode("ascii", "replace"), port, 0, _socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _request(host: str, port: int, path: str) -> bytes:
    shown = "localhost" if host.startswith("/") else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {shown}\r\nAccept: text/plain, */*;q=0.1\r\n"
        "User-Agent: pgready-healthcheck\r\nConnection: close\r\n\r\n"
    ).encode("ascii", "replace")


def _read(connection: _socket.socket, deadline: float) -> bytes:
    """Everything up to the end of the answer, as far as it is of interest."""
    answer = b""
    while len(answer) < _ANSWER_LIMIT_BYTES:
        connection.settimeout(_left(deadline))
        received = connection.recv(_ANSWER_LIMIT_BYTES)
        if not received:
            break
        answer += received
    return answer


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _judge(answer: bytes, where: str) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, _, fields = head.decode("latin-1").partition("\r\n")
    protocol, _, status = status_line.partition(" ")
    if not protocol.startswith("HTTP/1."):
        raise Unwell(f"what listens on {where} does not speak HTTP")
    said = _first_line(fields, body) or f"HTTP {_printable(status)}"
    if not status.startswith("2"):
        raise Unwell(said, answered=True)
    return said


def _first_line(fields: str, body: bytes) -> str:
    if (
        "content-type: text/plain" not in fields.lower()
        or "\r\ncontent-length:" not in f"\r\n{fields.lower()}"
    ):
        return ""
    first, _, _ = body.decode("utf-8", "replace").partition("\n")
    return _printable(first)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text.strip()[:_LINE_LIMIT_CHARACTERS])


def _reason(error: OSError | None) -> str:
    return (error and (error.strerror or str(error))) or "nothing listens"
