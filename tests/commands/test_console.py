"""How a run is shown while structlog, which writes the log, is still to be loaded."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import anyio
import anyio.to_thread
import pytest

from pgready import logs
from pgready.commands.console import Console
from pgready.core.events import ConnectFailed, Event, Located
from pgready.settings import load

LOCATED = Located("postgresql://app@db/app")
NOTICED = "?x-statement-timeout=5"  # which is for golang-migrate, as a notice says
FAILED = ConnectFailed(1, "Connection refused", None)


@pytest.fixture(autouse=True)
def library_logs_as_before() -> Iterator[None]:
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers


def made(parameters: str = "") -> Console:
    environ = {"DATABASE_URL": f"postgresql://app:pw@db/app{parameters}", "PGREADY_LOG_FORMAT": "json"}
    return Console(load({}, environ, lambda _: None), started_at=datetime.now(UTC))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def never_loaded(monkeypatch: pytest.MonkeyPatch) -> anyio.Event:
    """structlog takes until this is set."""
    loaded = anyio.Event()
    load_structlog = logs.load_structlog

    async def run_sync(function: object) -> None:
        assert function is load_structlog
        await loaded.wait()

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_sync)
    return loaded


async def test_listeners_and_the_status_have_an_event_before_the_log_can_be_written(
    capsys: pytest.CaptureFixture[str], never_loaded: anyio.Event
) -> None:
    shown = made()
    heard: list[Event] = []
    shown.listen(heard.append)
    async with shown.following():
        shown.emit(LOCATED)
        shown.emit(FAILED)

        assert heard == [LOCATED, FAILED]
        assert shown.status.attempts.count == 1
        assert lines(capsys) == []
        never_loaded.set()
        before = datetime.now(UTC)
        await anyio.wait_all_tasks_blocked()

    written = lines(capsys)
    assert [line["event"] for line in written] == ["target.located", "connect.failed"]
    assert all(datetime.fromisoformat(line["timestamp"]) < before for line in written)


async def test_a_line_that_is_no_event_stands_behind_those_that_were_before_it(
    capsys: pytest.CaptureFixture[str], never_loaded: anyio.Event
) -> None:
    shown = made(NOTICED)
    async with shown.following():
        shown.emit(LOCATED)
        shown.log.info("http.answered")

        written = [line["event"] for line in lines(capsys)]
        never_loaded.set()

    assert written == ["settings.noticed", "target.located", "http.answered"]


async def test_what_a_library_says_before_anything_else_has_the_form_of_a_line(
    capsys: pytest.CaptureFixture[str], never_loaded: anyio.Event
) -> None:
    async with made().following():
        logging.getLogger("asyncio").error("never retrieved", exc_info=ValueError("hunter2"))
        never_loaded.set()
    (line,) = lines(capsys)

    assert (line["event"], line["message"], line["exception"]) == (
        "library.failed",
        "never retrieved",
        "ValueError",
    )


def test_a_notice_is_said_once_whoever_asks_for_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    shown = made(NOTICED)

    shown.log.info("one")
    shown.emit(LOCATED)

    assert [line["event"] for line in lines(capsys)] == ["settings.noticed", "one", "target.located"]
