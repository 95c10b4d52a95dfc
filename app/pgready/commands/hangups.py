"""SIGHUP asks a daemon for another try. It also is how a terminal that goes away says so, and then whoever
started the daemon in it has left.

1. Where nobody can leave, it is a request alone: without a terminal, and where it was ignored (`nohup`).
2. The disposition says which, from the first moment on: ignored, until the daemon heeds it, is rule 1.
"""

from __future__ import annotations

import os
import signal


def outlive() -> None:
    """From now on SIGHUP ends this process only where the terminal goes away that it was started in."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up if has_terminal() else signal.SIG_IGN)


def can_be_left() -> bool:
    """Whether the terminal may go away with whoever started this; to be asked before SIGHUP is heeded."""
    return signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


def has_terminal() -> bool:
    """Whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _hang_up(_number: int, _frame: object) -> None:
    if not has_terminal():  # else the first try, which is still to come, is the one that is asked for
        signal.raise_signal(signal.SIGTERM)
