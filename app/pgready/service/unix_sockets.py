"""Unix sockets to listen on, which leave no file behind and take the place of one that a crash left."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

_MODE = 0o666  # as open as a loopback port; the directory says who may come so far


def is_path(host: str) -> bool:
    """Whether *host* names a Unix socket."""
    return host.startswith("/")


def listener(path: str, backlog: int) -> socket.socket:
    """A socket that listens at *path*; closing it removes the file. Raises OSError, EADDRINUSE where another
    process listens there."""
    if "\0" in path:  # the kernel would take what is before it
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    _make_room(path)
    made = _Listener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.occupy(path)
        made.listen(backlog)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _make_room(path: str) -> None:
    """Remove the socket that a process left at *path* which is no more."""
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class _Listener(socket.socket):
    _file: tuple[int, int] | None = None

    def occupy(self, path: str) -> None:
        self.bind(path)
        self._file = _identity(path)
        Path(path).chmod(_MODE)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            path = self.getsockname()
            with contextlib.suppress(OSError):  # whoever took it away had a reason
                if _identity(path) == file:
                    Path(path).unlink()
        super().close()


def _identity(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino
