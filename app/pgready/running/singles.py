"""Statements outside a transaction: the session as their script left it, run alone, undone where refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pgready.core import steps
from pgready.core.events import Event
from pgready.core.ladder import LAST_MS
from pgready.core.model import Migration
from pgready.core.segments import CompiledScript, Segment, Single
from pgready.database import catalog, execute, journal, lock
from pgready.database.refusals import DRIVER_ERRORS, OpeningRefused, StatementRefused
from pgready.database.session import Session
from pgready.running import peers
from pgready.running.frames import Frames


class Singles:
    """Runs singles on *session*, whose lock is held."""

    def __init__(
        self,
        session: Session,
        keys: lock.LockKeys,
        frames: Frames,
        marks: journal.Journal,
        emit: Callable[[Event], None],
        *,
        lock_seconds: float,
    ) -> None:
        self._session = session
        self._keys = keys
        self._frames = frames
        self._marks = marks
        self._emit = emit
        self._lock_seconds = lock_seconds

    async def run(
        self, migration: Migration, segment: Segment, script: CompiledScript, lock_timeout_ms: int
    ) -> None:
        """Run it, while no run of the peer's waits for its key, which is held here. Raises StatementRefused.

        One that begins meanwhile ends in a deadlock, of which the server picks the victim: if that is this
        statement, it did not happen.
        """
        for last in (False, False, True):
            await peers.until_nobody_waits(
                self._session, self._keys, self._lock_seconds, migration.version, self._emit
            )
            await self._prepare(migration, segment, script, lock_timeout_ms)
            with catalog.healing(self._session, segment):
                await catalog.drop_remains(self._session, segment)
            unknown = segment.single is Single.UNKNOWN
            try:
                await execute.run_single(
                    self._session, migration.script.text, segment.statements[0], may_commit=unknown
                )
            except StatementRefused as refused:
                victim = self._keys.peers and refused.problem.sqlstate == "40P01"
                if last or not victim or refused.committed:
                    raise
            else:
                return

    async def probe(
        self, migration: Migration, segment: Segment, script: CompiledScript
    ) -> steps.ProbeAnswer:
        """Whether it happened, as `catalog.probe`. Raises StatementRefused."""
        await self._prepare(migration, segment, script)
        try:
            with catalog.healing(self._session, segment):
                return await catalog.probe(self._session, segment)
        finally:
            if not self._session.closed:
                await self.reset()

    async def index_is_there(self, migration: Migration, segment: Segment, script: CompiledScript) -> bool:
        await self._prepare(migration, segment, script)  # names mean what the script's search_path says
        index = await catalog.find_index(self._session, segment)
        await self.reset()
        return index is not None and index.valid

    async def undo(self, action: steps.RunSingle, segment: Segment, *, committed: bool = False) -> bool:
        """Drop what a single that the server refused left, and its mark.

        False where something is left: then the mark stays, and the next run heals it, or asks. So it does
        where this itself fails, which is told by nobody: what the server refused first is.
        """
        undone = False
        with suppress(OpeningRefused, StatementRefused, *DRIVER_ERRORS):
            nothing_left = not committed and await catalog.undo(self._session, segment)
            await self.reset()
            if nothing_left:
                forget = self._marks.forget_segment(action.kind, action.version, action.segment)
                await execute.run_plain(
                    self._session, self._frames.opening_alone(LAST_MS), [forget, "COMMIT"]
                )
                undone = True
        return undone

    async def reset(self, *, ends: bool = False) -> None:
        """Take back what a single left in the session; where the script *ends*, also what only that has."""
        await self._session.execute(self._frames.reset(ends=ends))

    async def _prepare(
        self, migration: Migration, segment: Segment, script: CompiledScript, lock_timeout_ms: int = LAST_MS
    ) -> None:
        opening, closing = self._frames.preparing(migration, segment, script, lock_timeout_ms)
        await execute.prepare(self._session, migration.script.text, segment, opening=opening, closing=closing)
