"""What `/schema` asks the database, so seldom that no number of requests can load it.

1. One look at a time. Who comes meanwhile waits for it, up to WAITER_LIMIT; the rest is told to come again.
2. A look is kept for KEPT_SECONDS, and so is what was rendered of it: the same request costs nothing then.
3. Rendering a long list takes longer than a probe may wait, so it is done in a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread

from pgready.core.errors import PgreadyError
from pgready.core.inspection import Inspection, Question

KEPT_SECONDS = 3.0
WAITER_LIMIT = 16
PATIENCE_SECONDS = 15.0

_KEPT = 8

Look = Callable[[Question], Awaitable[Inspection]]
Render = Callable[[Inspection], bytes]


class Busy(Exception):
    """The database cannot be asked now; the message says why, and a later request may succeed."""


class _Answer:
    """One look and what was rendered of it."""

    def __init__(self, inspection: Inspection, until: float) -> None:
        self.inspection = inspection
        self.until = until
        self.rendered: dict[object, bytes] = {}


class Inspector:
    """Asks by *look*, which is None until there is a target to look at."""

    def __init__(self) -> None:
        self.look: Look | None = None
        self._lock = anyio.Lock()
        self._kept: dict[Question, _Answer] = {}

    async def rendered(self, question: Question, face: object, render: Render) -> bytes:
        """What *render* makes of the answer to *question*; *face* tells its renderings apart. Raises Busy."""
        fresh = self._fresh(question)
        if fresh is not None and face in fresh.rendered:
            return fresh.rendered[face]
        if self._lock.statistics().tasks_waiting >= WAITER_LIMIT:
            raise Busy("too many look at the schema at once")
        with anyio.move_on_after(PATIENCE_SECONDS):
            async with self._lock:
                answer = self._fresh(question) or await self._look(question)
                if face not in answer.rendered:
                    answer.rendered[face] = await anyio.to_thread.run_sync(render, answer.inspection)
                return answer.rendered[face]
        raise Busy(f"the schema was not read within {PATIENCE_SECONDS:g} s")

    def _fresh(self, question: Question) -> _Answer | None:
        answer = self._kept.get(question)
        return answer if answer is not None and answer.until > anyio.current_time() else None

    async def _look(self, question: Question) -> _Answer:
        if self.look is None:
            raise Busy("the database is not known yet")
        try:
            inspection = await self.look(question)
        except PgreadyError as problem:
            raise Busy(problem.what) from problem
        now = anyio.current_time()
        self._kept = {asked: kept for asked, kept in self._kept.items() if kept.until > now}
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        answer = self._kept[question] = _Answer(inspection, now + KEPT_SECONDS)
        return answer
