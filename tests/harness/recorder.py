"""A listener that psql takes for PostgreSQL: it runs nothing, and writes down what it is sent."""

from __future__ import annotations

import queue
import re
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from harness.server import PATIENCE_SECONDS, programs_under_test

_PORT = "5432"
_END = "SELECT 'that was the script'"
_END_OF_DATA = "\\.\n"
_COMMENT = r"(?:\s|--[^\n]*|/\*.*?\*/)"
_COPIES = re.compile(rf"(?is){_COMMENT}*copy\s.*\sfrom{_COMMENT}+std(?:in|out)\b")
_STRINGS = re.compile(r"(?is)\s*set\s+(?:session\s+)?standard_conforming_strings\s*(?:=|to)\s*'?(\w+)")
_FALSE = ("off", "false", "no", "0")


class Sent(NamedTuple):
    """A statement as psql sent it, and for COPY … FROM STDIN the data behind it."""

    text: str
    data: str | None = None


class Recorder:
    """One psql that is fed scripts, and the listener at its other end."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="pgready-test-")
        self._script = Path(self._home.name) / "script.sql"
        self._sent: queue.Queue[Sent] = queue.Queue()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._home.name}/.s.PGSQL.{_PORT}")
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self._psql = subprocess.Popen(
            [programs_under_test() / "psql", "-Xq", "-h", self._home.name, "-p", _PORT, "-U", "u", "d"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            env={"PGCLIENTENCODING": "UTF8", "LC_ALL": "C"},
        )  # fmt: skip

    def close(self) -> None:
        if self._psql.stdin is not None:
            self._psql.stdin.close()
        self._psql.wait(PATIENCE_SECONDS)
        self._thread.join(PATIENCE_SECONDS)
        self._listener.close()
        self._home.cleanup()

    def send(self, script: str) -> list[Sent]:
        """What psql sends for a file that holds *script*."""
        self._script.write_text(script, encoding="utf-8", newline="")
        assert self._psql.stdin is not None
        self._psql.stdin.write(f"\\i {self._script}\n{_END};\n")
        self._psql.stdin.flush()
        return list(iter(lambda: self._sent.get(timeout=PATIENCE_SECONDS), Sent(f"{_END};")))

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rwb") as stream:
            (length,) = struct.unpack("!i", stream.read(4))
            stream.read(length - 4)
            stream.write(_message(b"R", struct.pack("!i", 0)))
            stream.write(_parameter("client_encoding", "UTF8") + _parameter("server_version", "18.0"))
            stream.write(_parameter("standard_conforming_strings", "on") + _READY)
            stream.flush()
            for kind, body in _messages(stream):
                if kind == b"Q":
                    self._answer(stream, body.rstrip(b"\0").decode())

    def _answer(self, stream: BufferedIOBase, text: str) -> None:
        data = None
        if _COPIES.match(text):
            stream.write(_message(b"G", struct.pack("!bh", 0, 0)))
            stream.flush()
            data = "".join(body.decode() for body in _copy_data(stream))
            data = data.removesuffix(_END_OF_DATA)  # which psql sent, too, until 18
        setting = _STRINGS.match(text)
        if setting or text == f"{_END};":
            off = setting is not None and setting[1].lower() in _FALSE
            stream.write(_parameter("standard_conforming_strings", "off" if off else "on"))
        self._sent.put(Sent(text, data))
        stream.write(_message(b"C", b"OK\0") + _READY)
        stream.flush()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _parameter(name: str, value: str) -> bytes:
    return _message(b"S", f"{name}\0{value}\0".encode())


_READY = _message(b"Z", b"I")


def _messages(stream: BufferedIOBase) -> Iterator[tuple[bytes, bytes]]:
    while kind := stream.read(1):
        (length,) = struct.unpack("!i", stream.read(4))
        yield kind, stream.read(length - 4)


def _copy_data(stream: BufferedIOBase) -> Iterator[bytes]:
    for kind, body in _messages(stream):
        if kind != b"d":
            return
        yield body
