"""What a run leaves behind for others to read: the metrics file, Kubernetes' termination log.

Both are written when a run ends, by listeners of its events, and neither changes how it ends: where one
cannot be written, a warning says so. A run that asks for neither loads nothing for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pgready.commands.console import Console
from pgready.core.errors import ExitCode
from pgready.settings import Settings


class Reports:
    """Listens to *console* where *settings*, or Kubernetes, ask for a report."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self._interrupted: Callable[[int], None] = lambda _: None
        if settings.metrics_file is not None:
            from pgready.commands.metrics_file import MetricsFile

            metrics = MetricsFile(Path(settings.metrics_file), lambda: console.status, lambda: console.log)
            console.listen(metrics.note)
            self._interrupted = metrics.interrupted
        keep_termination_log(console, settings)

    def ended(self, exit_code: int) -> int:
        """The *exit_code* of the command, which is reported here where a signal was the end."""
        if exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            self._interrupted(exit_code)
        return exit_code


def keep_termination_log(console: Console, settings: Settings) -> None:
    """Have Kubernetes told what *console* tells of a failure, where *settings* or a pod ask for it."""
    if settings.termination_log is not None or "KUBERNETES_SERVICE_HOST" in os.environ:
        from pgready.commands import termination

        path = termination.place(settings.termination_log, os.environ)
        if path is not None:
            console.listen(termination.TerminationLog(path, lambda: console.log).note)
