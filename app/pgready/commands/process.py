"""What every command does around its work: signals, errors, the exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio
import click

from pgready.core.errors import ExitCode, PgreadyError

Tell = Callable[[PgreadyError], None]
Work = Callable[[], Awaitable[int]]
Handler = Callable[[int, Any], Any] | int | None

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_SECONDS = 1.0


class Interruption:
    """The signal that ended the work, if one did."""

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def exit_code(self) -> int:
        return 128 + (self.number or 0)


def collect_garbage() -> None:
    """From now on, but not in what importing has left: `main` put it off until all is loaded."""
    gc.enable()
    gc.freeze()


def finish(
    work: Work,
    tell: Tell,
    *,
    on_signal: Callable[[], int | None] = lambda: None,
    loads_more: bool = False,
) -> int:
    """Run *work* to its exit code. A signal cancels it; *on_signal* may say what it ends with instead.

    An error that reaches this place is told, without a traceback. Work that *loads_more* calls
    `collect_garbage` itself.
    """
    if not loads_more:
        collect_garbage()
    try:
        return anyio.run(_until_signalled, work, on_signal)
    except Exception as error:
        known = as_known(error)
        tell(known)
        return known.exit_code


async def _until_signalled(work: Work, on_signal: Callable[[], int | None]) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unawaited)
    scope = anyio.CancelScope()
    interruption = Interruption()

    def interrupt(number: int) -> None:
        interruption.number = interruption.number or number
        scope.cancel()

    before = [(number, signal.getsignal(number)) for number in _SIGNALS]
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    interrupted: int | None = None
    result: int | PgreadyError = ExitCode.FAILED
    try:
        with scope:
            result = await work()
    except PgreadyError as error:
        result = error
    finally:
        if interruption.number is None:
            _handle(loop, before)
        else:
            said = on_signal()
            interrupted = interruption.exit_code if said is None else said
            _handle(loop, [(number, _ending_soon(interrupted)) for number in _SIGNALS])
    if interrupted is not None:
        return interrupted
    if isinstance(result, PgreadyError):
        raise result
    return result


def _unawaited(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep asyncio from printing a traceback for a connection that ended when nobody waited for it.

    asyncpg leaves such a future behind where it is cancelled before it has asked the server for TLS.
    """
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


def _handle(loop: asyncio.AbstractEventLoop, handlers: Iterable[tuple[int, Handler]]) -> None:
    """Have signals handled by *handlers* instead of *loop*, and none of them by the system meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    for number, handler in handlers:
        loop.remove_signal_handler(number)
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _ending_soon(code: int) -> Handler:
    """What is left to do is short, but for a thread that may hang in a name server: a signal ends that.

    Not one that comes with the first: npm, say, passes on the Ctrl-C that we had already.
    """
    impatient_at = time.monotonic() + _PATIENCE_SECONDS

    def end(_number: int, _frame: object) -> None:
        if time.monotonic() > impatient_at:
            os._exit(code)

    return end


def show(text: str) -> None:
    """Write *text* and a newline to standard output. A reader that has gone had seen enough.

    Raises PgreadyError where it cannot be written.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        return
    except OSError as error:
        raise PgreadyError(f"standard output cannot be written: {error.strerror or error}") from error


def as_known(error: Exception) -> PgreadyError:
    """*error* as one of ours. Any other is a defect: named by type and place alone, for its text and its
    traceback may hold anything."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, PgreadyError):
        return error
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_globals.get('__name__')}:{frame.tb_lineno}" if frame else "unknown"
    return PgreadyError(
        f"{type(error).__name__} in {where}: this is a defect of pgready",
        hint="please report it with the two names above and `pgready --version`",
    )
