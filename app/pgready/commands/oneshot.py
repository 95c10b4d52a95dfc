"""The work of `pgready up`: all of the program that connecting does not need (see `running.ahead`)."""

from __future__ import annotations

from datetime import UTC, datetime

from pgready.commands.console import Console
from pgready.commands.process import collect_garbage, show
from pgready.commands.reports import Reports
from pgready.core.errors import ExitCode, PgreadyError
from pgready.core.renderings import news, text_table, to_json
from pgready.core.status import Status
from pgready.running import assemble
from pgready.running.ahead import FirstSession
from pgready.settings import Settings


class OneShot:
    """One run, told as it goes; at its end the status is shown as *output* says."""

    def __init__(self, settings: Settings, output: str) -> None:
        self._settings = settings
        self._output = output
        self._console = Console(settings, started_at=datetime.now(UTC))
        self._reports = Reports(self._console, settings)
        self.fail = self._console.fail

    def ended(self, exit_code: int) -> int:
        """The *exit_code* of the command; an interruption is told, since nothing else has told it."""
        if exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            self._tell_interruption()
        return self._reports.ended(exit_code)

    def _tell_interruption(self) -> None:
        status = self._console.status
        running = {"version": status.progress.version} if status.progress else {}
        self._console.log.warning(
            "run.interrupted",
            applied=status.applied_this_run,
            **running,
            hint="what was done is recorded; pgready up goes on where it stopped",
        )

    async def make_ready(self, first: FirstSession | None) -> int:
        """Make the target ready, on the connection that is under way where there is one; the exit code."""
        console = self._console
        try:
            async with (
                console.following(when_loaded=collect_garbage),
                assemble.located(self._settings, console.emit) as located,
            ):
                run = await assemble.prepare(located, console.emit, first=first)
                await run.to_end()
        except PgreadyError as error:
            console.fail(error)
            return error.exit_code
        finally:
            if self._output == "json":
                show(to_json(self._status()).decode())
        if self._output == "table":
            show(text_table(news(self._status())))
        return ExitCode.DONE

    def _status(self) -> Status:
        status = self._console.status
        if not (status.errors or status.warnings):  # as most runs end
            return status
        from pgready.commands.hints import completed_status

        return completed_status(status, self._settings)
