"""Keeps a target ready for as long as the daemon lives: carries out what `core.serving` decides."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread

from pgready import files
from pgready.core import serving
from pgready.core import serving_steps as steps
from pgready.core.errors import ExitCode, PgreadyError
from pgready.core.events import Event, FolderUnwatched, Planned, RetryRequested
from pgready.core.outstanding import LeftBehind
from pgready.core.serving_steps import Habits, Mode
from pgready.running import assemble
from pgready.running.alarm import Alarm, Waking, ring_on_changes
from pgready.running.assemble import Emit
from pgready.running.vigil import Busy, Refused, Unreachable, Vigil
from pgready.settings import Settings

# In hints: whoever reads them in a daemon's status has no shell beside it, and needs none.
_BY_HAND = ", then: pgready up"
_BY_ITSELF = "; it is tried again when a file changes, and on SIGHUP"


class Keeper:
    """Keeps one target ready. Settings, secrets and files are read anew for every run, by *reload*.

    Each failed run is told to *failed* with the pause before the next try (None: it waits for a person),
    each that ended well to *succeeded*.
    """

    def __init__(
        self,
        reload: Callable[[], Settings],
        emit: Emit,
        failed: Callable[[PgreadyError, float | None], None],
        succeeded: Callable[[], None],
        *,
        directory: str,
        habits: Habits,
    ) -> None:
        self._reload = reload
        self._emit = emit
        self._failed = failed
        self._succeeded = succeeded
        self._directory = directory
        self._habits = habits
        self._state = serving.begin(habits, seed=random.getrandbits(31))
        self._error: PgreadyError | None = None
        self._alarm = Alarm()
        self._vigil = Vigil(self._fresh)
        self._news: Planned | None = None

    @property
    def idle_code(self) -> int | None:
        """What a process that ends now ends with; None while something is under way or due."""
        match self._state.mode:
            case Mode.READY:
                return ExitCode.DONE
            case Mode.FAILED:
                return None if self._error is None else self._error.exit_code
        return None

    def request_retry(self, by: str) -> None:
        """Ask for another run, now or as soon as the one under way has ended."""
        self._emit(RetryRequested(by))
        self._alarm.request()

    async def keep_ready(self) -> None:
        """Run, watch, and run again, until cancelled; no connection stays behind."""
        async with anyio.create_task_group() as group:
            if self._habits.watch_files:
                group.start_soon(
                    ring_on_changes,
                    lambda: self._directory,
                    self._alarm.ring,
                    lambda why: self._emit(FolderUnwatched(why)),
                )
            try:
                await self._loop()
            finally:
                await self._vigil.close()

    async def _loop(self) -> None:
        sighting: steps.Sighting = steps.Started(anyio.current_time())
        while True:
            self._state, action, told = serving.decide(self._state, sighting)
            if isinstance(sighting, steps.RunEnded):
                self._tell_end(sighting.now)
            if self._news is not None and not isinstance(action, steps.Run):  # a run tells its own plan
                self._hear(self._news)
            self._news = None
            for event in told:
                self._emit(event)
            sighting = await _HANDLERS[type(action)](self, action)

    def _tell_end(self, now: float) -> None:
        if self._error is None:
            self._succeeded()
        else:
            self._failed(self._error, serving.retry_seconds(self._state, now))

    async def _run(self, _: steps.Run) -> steps.Sighting:
        await self._vigil.close()
        self._error = None
        folder = await self._folder()
        left = LeftBehind()

        def emit(event: Event) -> None:
            left.listen(event)
            self._hear(event)

        try:
            run = await assemble.prepare(self._fresh(), emit)
            await run.to_end()
        except PgreadyError as error:
            self._error = error
            error.hint = error.hint and error.hint.replace(_BY_HAND, _BY_ITSELF)
            return steps.RunEnded(anyio.current_time(), error.exit_code, folder, left.outstanding)
        return steps.RunEnded(anyio.current_time(), ExitCode.DONE, folder)

    def _hear(self, event: Event) -> None:
        self._vigil.listen(event)
        self._emit(event)

    async def _look(self, action: steps.Look) -> steps.Sighting:
        folder = await self._folder()
        try:
            view = await self._vigil.look(
                ours=action.cause is not steps.Cause.TARGET, find_unwritten=self._habits.watch_files
            )
        except Busy:
            return steps.LookRefused(anyio.current_time(), None, folder)
        except Refused as refused:
            return steps.LookRefused(anyio.current_time(), refused.mark, folder)
        except Unreachable as problem:
            return _unreached(problem)
        finally:
            if not self._habits.poll_seconds:
                await self._vigil.close()
        self._news = view.news
        return steps.Looked(
            anyio.current_time(), view.mark, folder, view.outstanding, view.lacking, view.unwritten
        )

    async def _glance(self, action: steps.Glance) -> steps.Sighting:
        waking = await self._alarm.wait(action.after_seconds)
        if waking is Waking.REQUEST:
            return steps.Glanced(anyio.current_time(), requested=True)
        folder = await self._folder() if action.folder else None
        if not action.target or waking is Waking.RUNG:  # that files changed does not concern the target
            return steps.Glanced(anyio.current_time(), folder=folder)
        try:
            mark, unrest = await self._vigil.mark(), None
            if action.unrest and mark is not None:
                relations, unrest = await self._vigil.unrest()
                mark = f"{mark}; {relations} relations"
        except Unreachable as problem:
            return steps.Glanced(anyio.current_time(), folder=folder, unreached=_unreached(problem))
        return steps.Glanced(anyio.current_time(), mark, folder, unrest=unrest)

    async def _folder(self) -> steps.FolderMark:
        return await anyio.to_thread.run_sync(files.marks, self._directory, abandon_on_cancel=True)

    def _fresh(self) -> Settings:
        settings = self._reload()
        self._directory = settings.dir
        return settings


def _unreached(problem: Unreachable) -> steps.Unreached:
    return steps.Unreached(anyio.current_time(), problem.reason, problem.missing_database)


_HANDLERS: dict[type[steps.Act], Callable[..., Awaitable[steps.Sighting]]] = {
    steps.Run: Keeper._run,
    steps.Look: Keeper._look,
    steps.Glance: Keeper._glance,
}
