"""Is there a pooler that pools transactions? Proven or not, never inferred from silence.

A pooler shows itself because the pid in the startup packet is not the backend's. That it pools
*transactions* is proven when one client's backend changes between two statements, or when two clients
that are open at once report one backend. Seeing neither proves nothing (60 of 60 probes of an idle
transaction pooler saw it, 3 of 60 under load), so an unproven pooler stays unproven.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from pgready.core.errors import PoolerError
from pgready.database.session import Pooling, Session

_ROUNDS = 12
_PROBE_SECONDS = 5.0
_DOUBT_SECONDS = 3.0
_PID = "SELECT pg_catalog.pg_backend_pid()"
_DIRECT = (
    "give pgready a direct connection: set PGREADY_DATABASE_URL (or MIGRATION_DATABASE_URL) "
    "to the server itself; the app may keep the pooler's URL"
)


async def examine(session: Session, open_another: Callable[[], Awaitable[Session]]) -> None:
    """Set `session.pooling` to TRANSACTION where that is proven, also against one who vouches for the pooler:
    a session lock would stay on its backend for ever."""
    if session.pooling is Pooling.DIRECT:
        return
    claimed, session.pooling = session.pooling, Pooling.UNPROVEN  # each query in a transaction of its own
    proven = await _pools_transactions(session, open_another, vouched=claimed is Pooling.SESSION)
    session.pooling = Pooling.TRANSACTION if proven else claimed


async def _pools_transactions(
    session: Session, open_another: Callable[[], Awaitable[Session]], *, vouched: bool
) -> bool:
    seen = {session.backend_pid}
    for _ in range(_ROUNDS // 4):
        seen.add(await session.fetchval(_PID))
    return len(seen) > 1 or await _shares_a_backend(session, seen, open_another, vouched=vouched)


async def _shares_a_backend(
    session: Session, seen: set[int], open_another: Callable[[], Awaitable[Session]], *, vouched: bool
) -> bool:
    other: Session | None = None
    holding = False
    with anyio.move_on_after(_DOUBT_SECONDS if vouched else _PROBE_SECONDS):
        try:
            other = await open_another()
            for _ in range(_ROUNDS):
                await other.execute("BEGIN")
                holding = True
                held = await other.fetchval(_PID)
                # While the other client is in a transaction, ours must be elsewhere if they share.
                ours = await session.fetchval(_PID)
                await other.execute("COMMIT")
                holding = False
                # The pooler hands out next what was given back last, which now is the other's: without this,
                # two clients that began on two backends could go on with them for ever.
                next_ours = await session.fetchval(_PID)
                if held in seen or not {ours, next_ours} <= seen:
                    return True
            return False
        finally:
            if other is not None:
                await other.close()
    # We had a backend before, and waited for one because the other client's transaction kept it; or the
    # server is slow, which is no reason to doubt one who vouches.
    return holding and not vouched


def transaction_pooler(session: Session) -> PoolerError:
    """The refusal, with the setting that cures it."""
    return PoolerError(
        f"{session.dsn.masked}: this is a pooler in transaction mode, where a migration lock does not hold",
        hint=_DIRECT,
        done="nothing was run",
    )


def statement_pooler(session: Session) -> PoolerError:
    """The refusal of one that ends a connection at BEGIN."""
    return PoolerError(
        f"{session.dsn.masked}: this is a pooler in statement mode, where no transaction can be had",
        hint=_DIRECT,
        done="nothing was run",
    )


def unproven_pooler_with_singles(session: Session, version: str) -> PoolerError:
    """An unproven pooler runs transactional scripts only."""
    return PoolerError(
        f"{version} has a statement that cannot run in a transaction, and {session.dsn.masked} is a pooler "
        "whose mode is not proven",
        hint=(
            "give pgready a direct connection (PGREADY_DATABASE_URL), or vouch for a session pooler "
            "with PGREADY_POOLER=session"
        ),
        done="nothing was run",
    )
