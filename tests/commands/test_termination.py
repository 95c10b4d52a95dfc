"""What Kubernetes is told of a failure: short enough, whole characters, and never at the run's cost."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from pgready.commands import termination
from pgready.commands.termination import LIMIT_BYTES, TerminationLog, message, place
from pgready.core.errors import PgreadyError, Place, SettingsError, render
from pgready.core.events import ReadyReached, RunFailed

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
HINT = "look, then say so: pgready repair 0042 --done | --not-done"
FAILED = RunFailed("it did not work", HINT, 6)
READY = ReadyReached(applied=0, duration_ms=20)


def mounted(path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("environ", [{}, {"PGREADY_TERMINATION_LOG": ""}])
def test_outside_of_kubernetes_nothing_is_written_by_itself(
    tmp_path: Path, environ: Mapping[str, str]
) -> None:
    assert place(None, environ, mounted(tmp_path / "log")) is None


def test_in_a_pod_its_file_is_found(tmp_path: Path) -> None:
    log = mounted(tmp_path / "log")

    assert place(None, POD, log) == log


def test_a_pod_without_the_file_gets_none(tmp_path: Path) -> None:
    assert place(None, POD, tmp_path / "log") is None


def test_off_wins_over_kubernetes(tmp_path: Path) -> None:
    assert place(" Off ", POD, mounted(tmp_path / "log")) is None


def test_a_short_error_stands_as_people_read_it() -> None:
    error = PgreadyError("it did not work", place=Place("a.sql", 3, 8, "SELECT é"), hint=HINT)

    assert message(error).decode() == render(error)


LONG = "\n".join(f"{number:04}_x.sql: changed — after it was applied 🦓" for number in range(500))


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("hint", [HINT, HINT * 200, "é" * 5000])
def test_a_long_error_keeps_its_beginning_and_the_next_command(shift: int, hint: str) -> None:
    cut = message(SettingsError(("x" * shift + LONG,), hint=hint))

    assert len(cut) <= LIMIT_BYTES
    assert cut.decode().startswith("error: " + "x" * shift + "0000_x.sql: changed — after")
    assert f"\nhint: {hint[:50]}" in cut.decode()
    assert "\ufffd" not in cut.decode(), "half a character"


def test_what_was_done_is_kept_with_the_hint() -> None:
    cut = message(PgreadyError("no", detail=LONG, done="0001 is applied", hint=HINT)).decode()

    assert cut.endswith(f" …\ndone: 0001 is applied\nhint: {HINT}")


def test_the_whole_limit_is_used() -> None:
    assert len(message(PgreadyError("x" * 9000))) == LIMIT_BYTES


def test_a_name_that_is_no_utf_8_is_written_all_the_same() -> None:
    assert b"\\udcff" in message(PgreadyError(os.fsdecode(b"\xff.sql")))


def test_a_later_success_takes_the_message_away(tmp_path: Path) -> None:
    log = mounted(tmp_path / "log")
    listener = TerminationLog(log, CapturingLogger)
    listener.note(FAILED)
    assert log.read_text().endswith(HINT)

    listener.note(READY)

    assert log.read_bytes() == b""


def test_a_success_alone_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    TerminationLog(log, CapturingLogger).note(READY)

    assert not log.exists()


def test_the_file_is_written_in_place(tmp_path: Path) -> None:
    log = mounted(tmp_path / "log")
    before = log.stat().st_ino
    termination.write(log, b"short")

    assert log.stat().st_ino == before


@pytest.mark.parametrize("kind", ["folder", "pipe", "nowhere", "nul"])
def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    path = {"nowhere": tmp_path / "no" / "log", "nul": Path("a\0b")}.get(kind, tmp_path / kind)
    captured = CapturingLogger()
    TerminationLog(path, lambda: captured).note(FAILED)

    assert [call.args for call in captured.calls] == [("termination.unwritten",)]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
