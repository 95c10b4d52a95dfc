"""A network between client and server: a TCP proxy on this machine that delays, and counts round trips.

Every byte arrives *delay* after it was sent, in order; how many are under way at once is not limited, so the
throughput stays the machine's. A real network also keeps a client waiting for a round trip before its first
byte can leave (the handshake of TCP), which a proxy on the loopback does not: the first bytes are held back
for that long. It runs on threads, which sleep to within a tenth of a millisecond; an event loop's timers are
good for one.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from messages import Flight, FrontendReader

_CHUNK_BYTES = 256 * 1024

Note = Callable[[bytes], None]


class Network:
    """Listens on `port` of 127.0.0.1, and leads to a server there, *one_way_seconds* away."""

    def __init__(self, server_port: int, one_way_seconds: float) -> None:
        self.one_way_seconds = one_way_seconds
        self.connections: list[Connection] = []
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def forget(self) -> None:
        """Forget the connections that there were."""
        self.connections = []

    @property
    def round_trips(self) -> int:
        """How often a client waited for an answer, over all connections one after the other."""
        return sum(connection.round_trips for connection in self.connections)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self.connections.append(Connection(client, self._server_port, self.one_way_seconds))


class Connection:
    """One client's connection. `flights` is what it sent, each flight after it had been answered."""

    def __init__(self, client: socket.socket, server_port: int, one_way_seconds: float) -> None:
        self._established = time.perf_counter() + 2 * one_way_seconds
        self._one_way_seconds = one_way_seconds
        self._messages = FrontendReader()
        self._answered = True
        self.flights: list[Flight] = []
        server = socket.create_connection(("127.0.0.1", server_port))
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open_ways = 2
        self._lock = threading.Lock()
        self._lead(client, server, from_client=True)
        self._lead(server, client, from_client=False)

    @property
    def round_trips(self) -> int:
        """The flights, and the handshake that came before the first."""
        return 1 + len(self.flights)

    def _lead(self, source: socket.socket, target: socket.socket, *, from_client: bool) -> None:
        under_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        note = self._sent if from_client else self._answer
        for work in (
            lambda: self._receive(source, under_way, note),
            lambda: self._deliver(under_way, source, target),
        ):
            threading.Thread(target=work, daemon=True).start()

    def _receive(
        self, source: socket.socket, under_way: SimpleQueue[tuple[float, bytes]], note: Note
    ) -> None:
        chunk = b"."
        while chunk:
            try:
                chunk = source.recv(_CHUNK_BYTES)
            except OSError:  # reset: the other side learns it as an end
                chunk = b""
            left = max(time.perf_counter(), self._established)
            note(chunk)
            under_way.put((left + self._one_way_seconds, chunk))

    def _deliver(
        self, under_way: SimpleQueue[tuple[float, bytes]], source: socket.socket, target: socket.socket
    ) -> None:
        with suppress(OSError):
            while True:
                due, chunk = under_way.get()
                time.sleep(max(0.0, due - time.perf_counter()))
                if not chunk:
                    target.shutdown(socket.SHUT_WR)
                    break
                target.sendall(chunk)
        self._ended(source, target)

    def _ended(self, *sides: socket.socket) -> None:
        with self._lock:
            self._open_ways -= 1
            if not self._open_ways:
                for side in sides:
                    side.close()

    def _sent(self, chunk: bytes) -> None:
        messages = self._messages.read(chunk)
        if not chunk:
            return
        if self._answered:
            self.flights.append(Flight())
            self._answered = False
        self.flights[-1].add(len(chunk), messages)

    def _answer(self, chunk: bytes) -> None:
        self._answered = True


@contextmanager
def network(server_port: int, one_way_seconds: float) -> Iterator[Network]:
    """A `Network` that is there meanwhile."""
    between = Network(server_port, one_way_seconds)
    try:
        yield between
    finally:
        between.close()
