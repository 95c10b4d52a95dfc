"""The messages that a client of PostgreSQL sends, told from the bytes that pass."""

from __future__ import annotations

from dataclasses import dataclass, field

_TLS_REQUEST, _GSS_REQUEST, _CANCEL = 80877103, 80877104, 80877102
_UNTAGGED = {_TLS_REQUEST: "TLS?", _GSS_REQUEST: "GSS?", _CANCEL: "Cancel"}
_NAMES = {
    b"B": "Bind",
    b"C": "Close",
    b"D": "Describe",
    b"E": "Execute",
    b"H": "Flush",
    b"P": "Parse",
    b"Q": "Query",
    b"S": "Sync",
    b"X": "Terminate",
    b"c": "CopyDone",
    b"d": "CopyData",
    b"f": "CopyFail",
    b"p": "Password",
}
_TEXT_BYTES = 70


@dataclass
class Flight:
    """What a client sent in one go, before it waited for an answer."""

    size_bytes: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, size_bytes: int, messages: list[str]) -> None:
        self.size_bytes += size_bytes
        self.messages += messages

    def __str__(self) -> str:
        return " ".join(self.messages)


class FrontendReader:
    """Names the messages of one connection as their headers come by."""

    def __init__(self) -> None:
        self._pending = b""
        self._skip_bytes = 0
        self._started = False

    def read(self, chunk: bytes) -> list[str]:
        """The messages that begin in *chunk*; of a query also the beginning of its text."""
        found = []
        skipped = min(self._skip_bytes, len(chunk))
        self._skip_bytes -= skipped
        data = self._pending + chunk[skipped:]
        while len(data) >= (header := 5 if self._started else 8):
            length = (
                int.from_bytes(data[1:5], "big") + 1 if self._started else int.from_bytes(data[:4], "big")
            )
            found.append(self._name(data[:length], header))
            self._skip_bytes = max(0, length - len(data))
            data = data[length:]
        self._pending = data
        return found

    def _name(self, message: bytes, header: int) -> str:
        if not self._started:
            name = _UNTAGGED.get(int.from_bytes(message[4:8], "big"), "Startup")
            self._started = name == "Startup"
            return name
        name = _NAMES.get(message[:1], "?")
        if message[:1] not in (b"Q", b"P"):
            return name
        text = message[header : header + 4 * _TEXT_BYTES].strip(b"\0").partition(b"\0")[0]
        return f"{name}({b' '.join(text.split())[:_TEXT_BYTES].decode(errors='replace')})"
