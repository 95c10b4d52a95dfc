"""Logs: one line an event, to standard error; names in the past tense with values as keys.

`import structlog` loads structlog.dev, which loads rich wherever it is installed: 45 ms of every start
for a renderer that is not used here. So rich is hidden while structlog is imported, and the console's
renderer is the small one below.

What libraries say through `logging` (uvicorn of an answer that failed, asyncio of a task that nobody awaits)
goes the same way, so that no line lacks its form, its time or its run, and no traceback is printed.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, TextIO

import msgspec

from pgready.core.secrets import MASK, Secret

FORMATS = ("console", "json", "logfmt")

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_Event = MutableMapping[str, Any]

_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}
_EVENT_WIDTH = 22


def configure(
    format: str,
    level: str,
    stream: TextIO,
    *,
    environ: Mapping[str, str],
    run_id: str,
    **bound: str,
) -> Any:
    """Set structlog up and return a logger that writes to *stream* in *format* (console, json, logfmt).

    *run_id* and *bound* (the environment's name, …) stand in every line. *environ* is asked for NO_COLOR
    and FORCE_COLOR alone.
    """
    structlog = load_structlog()
    render = {"console": _Console(use_colour(stream, environ)), "json": _json, "logfmt": _logfmt}[format]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp,
            _describe_exception,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger().bind(run_id=run_id, **bound)
    take_over_logging(lambda: log)
    return log


def timestamp(moment: datetime) -> str:
    """*moment*, which is UTC, as every line has it."""
    return moment.isoformat().replace("+00:00", "Z")


def use_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to *stream* (no-color.org, force-color.org)."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0", "false"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


_loading = threading.Lock()


def load_structlog() -> Any:
    """structlog, without rich; a thread that loads it before `configure` needs it saves that the time."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: not importable
    with _loading:
        hide = "structlog" not in modules and "rich" not in modules
        if hide:
            modules["rich"] = None
        try:
            import structlog
        finally:
            if hide:
                del modules["rich"]
    return structlog


def take_over_logging(log: Callable[[], Any]) -> None:
    """From now on the logger that *log* gives writes what libraries log, from a warning upwards."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries(log))


class _Libraries(logging.Handler):
    """Hands records of `logging` to structlog, without what came after a message's first line: a repr or a
    traceback may hold anything."""

    def __init__(self, log: Callable[[], Any]) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, Any] = {"logger": record.name, "message": _first_line(record)}
        if record.exc_info:
            values["exc_info"] = record.exc_info[1]
        # Who reads the log may have gone; that must not break the library in the middle of its work.
        with contextlib.suppress(OSError, ValueError):
            if record.levelno >= logging.ERROR:
                self._log().error("library.failed", **values)
            else:
                self._log().warning("library.warned", **values)


def _first_line(record: logging.LogRecord) -> str:
    try:
        return next(iter(record.getMessage().splitlines()), "")
    except (TypeError, ValueError):  # arguments that do not fit the message
        return str(record.msg)


def _stamp(logger: object, method: str, event: _Event) -> _Event:
    """The moment of an event is known; of any other line it is now."""
    event.setdefault("timestamp", timestamp(datetime.now(UTC)))
    return event


def _describe_exception(logger: object, method: str, event: _Event) -> _Event:
    """An exception's type and place alone: its text and its frames may hold a secret."""
    exception = event.pop("exc_info", None)
    if exception is True:
        exception = sys.exc_info()[1]
    if isinstance(exception, BaseException):
        event["exception"] = type(exception).__name__
        frame = exception.__traceback__
        while frame and frame.tb_next:
            frame = frame.tb_next
        if frame:
            event["raised_at"] = f"{frame.tb_frame.f_globals.get('__name__')}:{frame.tb_lineno}"
    return event


def _plain(value: object) -> Any:
    """What msgspec cannot encode, as text."""
    return MASK if isinstance(value, Secret) else str(value)


def _ordered(event: _Event) -> dict[str, Any]:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def _json(logger: object, method: str, event: _Event) -> str:
    return _encoded(_ordered(event))


def _encoded(value: object) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, from a command line or a file's name
        return msgspec.json.encode(_printable(msgspec.to_builtins(value, enc_hook=_plain))).decode()


def _printable(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {name: _printable(each) for name, each in value.items()}
        case list() | tuple():
            return [_printable(each) for each in value]
    return value


def _logfmt(logger: object, method: str, event: _Event) -> str:
    return _pairs(_ordered(event))


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_value(value)}" for key, value in values.items())


def _value(value: object) -> str:
    """*value* as one word; quoted as JSON where it holds what would end the word or the line."""
    if value is None:
        return ""
    text = _encoded(value)
    if not text.startswith('"'):
        return text if text.isprintable() and " " not in text else msgspec.json.encode(text).decode()
    bare = text[1:-1]
    is_word = bare.isprintable() and bare and not any(character in bare for character in ' ="\\')
    return bare if is_word else text


class _Console:
    """`12:03:55 info     migration.applied  version=0042 duration_ms=183`, for a person to read."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, logger: object, method: str, event: _Event) -> str:
        level = str(event.pop("level", method))
        moment = str(event.pop("timestamp", ""))
        name = str(event.pop("event", ""))
        event.pop("run_id", None)  # one run in one terminal
        words = [
            self._paint(moment[11:19] + "Z", "2"),
            self._paint(f"{level:<7}", _COLOURS.get(level, "0")),
            self._paint(f"{_value(name) if not name.isprintable() else name:<{_EVENT_WIDTH}}", "1"),
            _pairs(event),
        ]
        return " ".join(words).rstrip()

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
