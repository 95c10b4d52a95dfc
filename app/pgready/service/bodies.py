"""Large bodies on their way to clients that may not read them.

1. A body goes out in pieces: a connection that is not read from buffers one of them, and the next waits.
2. What waits is counted once for all clients that it is sent to: most ask for the same. Of bodies that
   differ there are only so many bytes at once, whoever asks for them; a first one, however large, has room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

PIECE_BYTES = 65_536

MOST_BYTES = 32 * 1024 * 1024
"""Of large bodies that are under way."""


class Bodies:
    """The large bodies that are under way."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._clients: Counter[int] = Counter()  # by the identity of the body, which its clients keep alive
        self._bytes = 0

    def room_for(self, body: bytes) -> bool:
        """Whether *body* may be sent now."""
        return id(body) in self._clients or not self._bytes or self._bytes + len(body) <= self._most_bytes

    @contextmanager
    def under_way(self, body: bytes) -> Iterator[None]:
        """Count *body* while the block sends it to a client."""
        key = id(body)
        if key not in self._clients:
            self._bytes += len(body)
        self._clients[key] += 1
        try:
            yield
        finally:
            self._clients[key] -= 1
            if not self._clients[key]:
                del self._clients[key]
                self._bytes -= len(body)


def pieces(body: bytes) -> Iterator[tuple[bytes, bool]]:
    """*body* in pieces, each with whether there is more of it."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES], start + PIECE_BYTES < len(body)
