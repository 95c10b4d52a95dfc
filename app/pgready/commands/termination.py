"""Why a container ended, where Kubernetes shows it: `kubectl describe pod`, and the API beside the exit code.

1. Kubernetes keeps 4,096 bytes of it. What is longer is cut here, so that the error's beginning and the next
   command stay.
2. The file is a mount: it is written in place, never replaced.
3. Whatever is wrong with the file, the run ends as it would have ended without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pgready.core.errors import PgreadyError, render
from pgready.core.events import Event, ReadyReached, RunFailed

DEFAULT = Path("/dev/termination-log")
LIMIT_BYTES = 4096

_ENDING_BYTES = LIMIT_BYTES // 2
_CUT = " …"


class TerminationLog:
    """A listener that keeps why the last run failed in the file *path*."""

    def __init__(self, path: Path, log: Callable[[], Any]) -> None:
        self._path = path
        self._log = log
        self._written = False

    def note(self, event: Event) -> None:
        match event:
            case RunFailed():
                self._write(message(_error(event)))
            case ReadyReached() if self._written:  # the daemon's next try went well
                self._write(b"")

    def _write(self, content: bytes) -> None:
        problem = write(self._path, content)
        self._written = bool(content)
        if problem is not None:
            self._log().warning("termination.unwritten", path=str(self._path), message=problem)


def tell(error: PgreadyError, environ: Mapping[str, str]) -> None:
    """The same for a command that ended before its settings were known."""
    path = place(environ.get("PGREADY_TERMINATION_LOG") or None, environ)
    if path is not None:
        write(path, message(error))


def place(chosen: str | None, environ: Mapping[str, str], default: Path = DEFAULT) -> Path | None:
    """The file to write: the *chosen* one (None for `off`), or else *default*, in a pod that has it."""
    if chosen is not None:
        return None if chosen.strip().lower() == "off" else Path(chosen)
    mounted = "KUBERNETES_SERVICE_HOST" in environ and default.is_file() and os.access(default, os.W_OK)
    return default if mounted else None


def write(path: Path, content: bytes) -> str | None:
    """Make *content* all there is in *path*; why it could not be done, or None."""
    try:
        # Without waiting: a pipe that nobody reads must not keep the process from ending.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o644)
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
    except (OSError, ValueError) as problem:  # the last: a path with a NUL
        return str(getattr(problem, "strerror", None) or problem)
    return None


def message(error: PgreadyError) -> bytes:
    """*error* as people read it, in at most LIMIT_BYTES of UTF-8."""
    text = render(error)
    parts = (("done", error.done), ("hint", error.hint))
    ending = "".join(f"\n{name}: {value}" for name, value in parts if value)
    beginning = _encoded(text.removesuffix(ending))
    kept = _cut(_encoded(ending), max(_ENDING_BYTES, LIMIT_BYTES - len(beginning)))
    return _cut(beginning, LIMIT_BYTES - len(kept)) + kept


def _error(event: RunFailed) -> PgreadyError:
    return PgreadyError(
        event.message,
        hint=event.hint,
        place=event.place,
        sqlstate=event.sqlstate,
        detail=event.detail,
        done=event.done,
    )


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")  # a file's name may hold bytes that are no UTF-8


def _cut(text: bytes, limit_bytes: int) -> bytes:
    if len(text) <= limit_bytes:
        return text
    mark = _CUT.encode()
    whole_characters = text[: limit_bytes - len(mark)].decode(errors="ignore")
    return whole_characters.encode() + mark
