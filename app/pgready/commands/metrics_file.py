"""The figures of a run in a file for node_exporter's textfile collector: for runs that end unscraped.

The collector reads all files of its folder as one, so every sample here says of which target it is. It reads
at any moment, so the file is replaced, never written to.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from pgready.core import status as statuses
from pgready.core.events import Event, ReadyReached, RunFailed
from pgready.core.status import Status
from pgready.core.tally import Tally, advance
from pgready.service.exposition import Picture, exposition

_LAST_SUCCESS = "pgready_last_success_timestamp_seconds"
_MOST_BYTES = 1_000_000  # what is larger was not written by us


class MetricsFile:
    """A listener that writes the file *path* whenever a run ends; *status* gives the status as it is then,
    *log* what warns where that cannot be."""

    def __init__(self, path: Path, status: Callable[[], Status], log: Callable[[], Any]) -> None:
        self._path = path
        self._status = status
        self._log = log
        self._tally = Tally()

    def note(self, event: Event) -> None:
        now = datetime.now(UTC)
        self._tally = advance(self._tally, event, now)
        if isinstance(event, ReadyReached | RunFailed):
            self._write(self._status(), now)

    def interrupted(self, exit_code: int) -> None:
        """A signal has ended the run; no event tells of that, so the status still has it at work."""
        event, now = RunFailed("interrupted", None, exit_code), datetime.now(UTC)
        self._tally = advance(self._tally, event, now)
        self._write(statuses.advance(self._status(), event, now), now)

    def _write(self, status: Status, now: datetime) -> None:
        try:
            write(self._path, status, self._tally, now)
        except (OSError, ValueError) as problem:  # the latter: a path with a NUL
            message = str(getattr(problem, "strerror", None) or problem)
            self._log().warning("metrics.unwritten", path=str(self._path), message=message)


def write(path: Path, status: Status, tally: Tally, now: datetime) -> None:
    """Replace the file *path*. Raises OSError.

    A run that failed keeps the last success that the file told of, so that an alert sees its age grow.
    """
    try:
        path = path.resolve()
    except RuntimeError:  # links in a circle, up to Python 3.12
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OSError(f"{path} is no file that could be replaced")
    labels = {"target": status.target or "", "namespace": status.namespace}
    if tally.ready_at is None:
        tally = replace(tally, ready_at=_last_success(path, labels))
    _replace(path, exposition(Picture(status, tally, now, labels)))


def _last_success(path: Path, labels: Mapping[str, str]) -> datetime | None:
    """When the run before was a success, of the same target, as the file says."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
        samples = (sample for family in families for sample in family.samples)
        seconds = next(each.value for each in samples if each.name == _LAST_SUCCESS and each.labels == labels)
        return datetime.fromtimestamp(seconds, UTC)
    except (OSError, ValueError, OverflowError, StopIteration):  # there is none, or it is not ours
        return None


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")  # the collector reads *.prom alone
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
