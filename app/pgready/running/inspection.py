"""The schema of a target, as `pgready schema` and the daemon's `/schema` ask for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pgready.core.inspection import Inspection, Question
from pgready.database.inspect import inspect_at
from pgready.settings import Settings, required_target


def looking(reload: Callable[[], Settings]) -> Callable[[Question], Awaitable[Inspection]]:
    """A look at the target of the settings as they are then: its password may have been rotated.

    Each look opens a connection of its own, and raises PgreadyError."""

    async def look(question: Question) -> Inspection:
        settings = reload()
        vouched = settings.pooler == "session"
        return await inspect_at(required_target(settings), question, vouched_pooler=vouched)

    return look
