"""The three formats of the log, and what it must not load or show."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pgready import logs
from pgready.core.secrets import Secret


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(format: str, *, level: str = "info", stream: io.StringIO | None = None, **values: Any) -> str:
    stream = stream or io.StringIO()
    environ = values.pop("environ", {})
    log = logs.configure(format, level, stream, environ=environ, run_id="7f3a", environment="test")
    log.info("migration.applied", **values)
    return stream.getvalue()


def test_json_lines_carry_time_level_event_and_run() -> None:
    line = json.loads(written("json", version="0042", duration_ms=183))

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "migration.applied",
        "run_id": "7f3a",
        "environment": "test",
        "version": "0042",
        "duration_ms": 183,
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("word", "word"),
        (1, "1"),
        (None, ""),
        ("two words", '"two words"'),
        ('"', '"\\""'),
        ("a\nb", '"a\\nb"'),
    ],
)
def test_logfmt_quotes_what_would_end_the_word(value: object, shown: str) -> None:
    assert written("logfmt", value=value).endswith(f"run_id=7f3a environment=test value={shown}\n")


def test_console_is_plain_where_nobody_looks() -> None:
    line = written("console", version="0042")

    assert "migration.applied" in line
    assert line.endswith("version=0042\n")
    assert "\x1b" not in line
    assert "run_id" not in line


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
        (io.StringIO, {"FORCE_COLOR": "1"}, True),
        (io.StringIO, {"FORCE_COLOR": "0"}, False),
        (io.StringIO, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_unless_asked(
    stream: type[io.StringIO], environ: dict[str, str], colour: bool
) -> None:
    assert ("\x1b" in written("console", stream=stream(), environ=environ)) is colour


def test_lines_below_the_level_are_not_written() -> None:
    assert written("json", level="warning") == ""


@pytest.mark.parametrize("format", ["console", "json", "logfmt"])
def test_neither_secrets_nor_an_exception_s_text_are_written(format: str) -> None:
    stream = io.StringIO()
    log = logs.configure(format, "info", stream, environ={}, run_id="7f3a")
    try:
        raise ValueError("hunter2")
    except ValueError:
        log.exception("run.failed", password=Secret("hunter2"))

    assert "hunter2" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def said_by_a_library(format: str, say: Callable[[logging.Logger], None], level: str = "info") -> str:
    stream = io.StringIO()
    logs.configure(format, level, stream, environ={}, run_id="7f3a", environment="test")
    say(logging.getLogger("uvicorn.error"))
    return stream.getvalue()


def test_what_libraries_log_has_the_form_of_every_line() -> None:
    line = json.loads(said_by_a_library("json", lambda log: log.warning("Invalid %s", "request")))

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "library.warned",
        "run_id": "7f3a",
        "environment": "test",
        "logger": "uvicorn.error",
        "message": "Invalid request",
    }


@pytest.mark.parametrize("format", logs.FORMATS)
def test_a_traceback_that_a_library_logs_is_left_out(format: str) -> None:
    def say(log: logging.Logger) -> None:
        try:
            raise ValueError("hunter2")
        except ValueError as error:
            log.exception("Exception in the application\n%r", error)

    text = said_by_a_library(format, say)

    assert text.count("\n") == 1
    assert "library.failed" in text and "ValueError" in text and "test_logs:" in text
    assert "hunter2" not in text and "Traceback" not in text


@pytest.mark.parametrize("arguments", [("no number",), (1, 2), ()])
def test_a_message_whose_arguments_do_not_fit_is_shown_without_them(arguments: tuple[object, ...]) -> None:
    def say(log: logging.Logger) -> None:
        record = logging.LogRecord(log.name, logging.ERROR, __file__, 1, "after %d s", arguments, None)
        logging.getLogger().handlers[-1].handle(record)  # pytest's own handlers refuse such a record

    line = json.loads(said_by_a_library("json", say))

    assert line["message"] == "after %d s"


def test_a_library_does_not_fail_because_its_line_cannot_be_written() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream, environ={}, run_id="7f3a")
    stream.close()

    logging.getLogger("uvicorn.error").warning("Invalid request")


def test_what_libraries_say_below_a_warning_or_the_level_is_not_written() -> None:
    assert said_by_a_library("json", lambda log: log.info("Started"), level="debug") == ""
    assert said_by_a_library("json", lambda log: log.warning("Invalid"), level="error") == ""


def test_configuring_again_leaves_one_line_a_record() -> None:
    said_by_a_library("json", lambda log: None)

    assert said_by_a_library("json", lambda log: log.error("once")).count("\n") == 1


def test_rich_is_not_loaded_and_can_be_afterwards() -> None:
    program = (
        "import io, sys; from pgready import logs;"
        "logs.configure('json', 'info', io.StringIO(), environ={}, run_id='x');"
        "assert 'rich' not in sys.modules; import rich"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


def test_settings_load_neither_structlog_nor_tomllib_nor_difflib() -> None:
    program = (
        "import sys, pgready.settings as s; s.load({}, {'DATABASE_URL': 'postgres://u@h/d'}, {}.get);"
        "print(sorted({'structlog', 'tomllib', 'difflib', 'urllib.request', 'asyncio'} & sys.modules.keys()))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout

    assert output.strip() == "[]"
