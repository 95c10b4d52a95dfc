"""The `pgready` process. Nothing heavy is imported before it is known to be needed.

As PID 1 a process without a handler ignores SIGTERM, so one is installed before the imports that take a
tenth of a second (FIELD-NOTES 18); `commands.process` replaces it by one that cleans up.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys

TYPE_CHECKING = False  # `typing` costs a health check 3 ms
if TYPE_CHECKING:
    from typing import TextIO


def _stop_at_once(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


class _Unfailing(io.TextIOWrapper):
    """A stream that drops what cannot be written: its disk is full, or nobody reads it any more."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except (OSError, ValueError):  # the last: it is closed
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except (OSError, ValueError):
            return


def _unfailing(stream: TextIO) -> TextIO:
    try:  # a buffer of its own: with the stream that nobody has any more, its buffer is closed
        buffer = os.fdopen(stream.fileno(), "wb", closefd=False)
    except (AttributeError, OSError, ValueError):  # what a program that calls us has put in its place
        return stream
    return _Unfailing(buffer, stream.encoding, stream.errors, line_buffering=True)


def _open_what_is_closed() -> None:
    """The null device for each standard stream that is closed: a socket or a file would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, closefd=False))


def main() -> None:
    _open_what_is_closed()
    if sys.stdout.errors == "strict" and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as it is for standard error
    sys.stderr = _unfailing(sys.stderr)  # whoever reads it decides neither the work nor its exit code
    arguments = sys.argv[1:]
    if arguments[:1] == ["healthcheck"]:
        from pgready.commands import healthcheck

        sys.stdout = _unfailing(sys.stdout)  # its answer is its exit code
        raise SystemExit(healthcheck.main(arguments[1:], os.environ))
    if arguments[:1] == ["serve"]:
        from pgready.commands import hangups

        hangups.outlive()
    signal.signal(signal.SIGTERM, _stop_at_once)
    signal.signal(signal.SIGINT, _stop_at_once)
    gc.disable()  # what importing allocates stays: looking for garbage in it costs 13 ms
    import contextlib

    from pgready.commands.main import run

    code = run(arguments)
    # Everything is closed and told by now. Taking the interpreter apart costs another 27 ms, and frees
    # memory that the kernel frees at once.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
