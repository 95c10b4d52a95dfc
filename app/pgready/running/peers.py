"""Living beside another tool that uses the same history and takes its own lock."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from pgready.core.errors import LockNotObtained
from pgready.core.events import Blocked, Event
from pgready.database import lock
from pgready.database.session import Session
from pgready.running import reasons

_POLL_SECONDS = 0.25
_TELL_SECONDS = 5.0


async def until_nobody_waits(
    session: Session,
    keys: lock.LockKeys,
    patience_seconds: float,
    version: str,
    emit: Callable[[Event], None],
) -> None:
    """Wait until no other backend waits in the server for a peer's key, which is held here.

    Its wait holds a snapshot, for whose end every concurrent statement waits: a deadlock, whoever came
    first. Raises LockNotObtained, naming it, when it waits for longer than *patience_seconds*.
    """
    since = anyio.current_time()
    tell_at = 0.0
    while (waiting := await lock.peer_waiting(session, keys)) is not None:
        waited = anyio.current_time() - since
        if waited >= patience_seconds:
            raise LockNotObtained(
                f"{version}: another migration tool waits for the lock that is held here, and a statement "
                f"that runs outside a transaction would wait for it in turn: {reasons.describe(waiting)}",
                hint="let it end, then start again; PGREADY_LOCK_TIMEOUT sets the patience",
                done="nothing of that statement was applied; what was before it is kept",
            )
        if waited >= tell_at:
            tell_at = waited + _TELL_SECONDS
            emit(Blocked(version, waited, (waiting,)))
        await anyio.sleep(_POLL_SECONDS)
