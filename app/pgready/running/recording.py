"""Changing by hand what a history says: `repair`, `baseline`, `adopt`, `eject`, `down`. The rules:

1. What is recorded is planned from a look, and again from a look under the migration lock: of both histories,
   where two are changed.
2. It is committed in one fenced transaction, together with a row of the audit: who, when, why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from pgready.core.errors import LockLost, LockNotObtained, PoolerError, Unreachable
from pgready.core.events import Event, LockReleased, LockTaken, LockWaited
from pgready.core.ladder import LAST_MS
from pgready.database import audit, execute, lock, pooler
from pgready.database.connect import CannotConnect, open_session
from pgready.database.refusals import OpeningRefused, StatementRefused, lost_connection
from pgready.database.session import Pooling, Session
from pgready.dialects.base import Dialect
from pgready.running import reasons
from pgready.running.frames import BEGIN
from pgready.running.host import application_name, host_name
from pgready.running.look import Sight
from pgready.running.runner import Run

_POLL_SECONDS = 0.25
_TELL_HOLDER_SECONDS = 5.0
_NOTHING_RECORDED = "nothing was recorded"


class Recording(Struct, frozen=True):
    """What is recorded: *statements* in one transaction, and *what* they say, a sentence each.

    *dialect* is whose folder goes on from there, where that changes.
    """

    what: tuple[str, ...]
    statements: tuple[str, ...]
    dialect: str | None = None


class Author(Struct, frozen=True):
    """Who records, doing what (*action*), in whose histories, and why: the audit's row."""

    action: str
    dialects: tuple[Dialect, ...]
    recorded_by: str
    pgready_version: str
    reason: str | None = None

    def entry(self, what: str) -> str:
        """One INSERT into the audit. For after the look, which settles where a peer's history lies."""
        return audit.entry(
            history=", ".join(dialect.identity for dialect in self.dialects),
            action=self.action,
            what=what,
            reason=self.reason,
            recorded_by=self.recorded_by,
            pgready_version=self.pgready_version,
        )


Planner = Callable[[Session, Sight], Awaitable[Recording]]
"""What to record where a look saw that; raises PgreadyError where it cannot be."""


async def record(
    run: Run,
    plan: Planner,
    author: Author,
    emit: Callable[[Event], None],
    *,
    patience_seconds: float,
    dry_run: bool,
    also: lock.LockKeys | None = None,
    before_commit: Callable[[], Awaitable[None]] | None = None,
) -> Recording:
    """Record what *plan* finds, or on a *dry_run* only say what that would be.

    *also* are the keys of a second history that is changed. *before_commit* runs under the lock when it is
    certain what will be recorded.
    """
    async with run.looking() as (session, sight):
        planned = await plan(session, sight)  # what cannot be is said without waiting for the lock
        if dry_run:
            return planned
        async with locked(session, _with(also, sight.keys), patience_seconds, emit):
            under_lock = await run.look_again()
            planned = await plan(session, under_lock)
            create = await audit.creation(session)
            if before_commit is not None:
                await before_commit()
            fences = [fence for keys in (also, under_lock.keys) if keys for fence in _fence(session, keys)]
            entry = author.entry("\n".join(planned.what))
            await _commit(session, [BEGIN, *fences], [*create, *planned.statements, entry, "COMMIT"])
    return planned


def _with(also: lock.LockKeys | None, keys: lock.LockKeys) -> lock.LockKeys:
    """*keys* and the session keys of *also*, which are taken first: all of them or none."""
    return keys if also is None else replace(keys, peers=(*also.session_keys, *keys.peers))


def _fence(session: Session, keys: lock.LockKeys) -> list[str]:
    return lock.fence(session, keys, LAST_MS)


async def _commit(session: Session, opening: list[str], statements: list[str]) -> None:
    try:
        await execute.run_plain(session, opening, statements)
    except StatementRefused as refused:
        raise reasons.unexpected(refused.problem) from refused
    except OpeningRefused as refused:
        raise LockLost(
            "the migration lock was lost",
            hint="is there something between us and the server that resets or ends sessions? give the same "
            "command again, with a direct connection",
            done=_NOTHING_RECORDED,
        ) from refused
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as problem:
        if not lost_connection(problem):
            raise
        raise Unreachable(
            "the connection was lost while this was recorded",
            hint="look whether it was: pgready status, and the newest row of pgready.audit; "
            "if not, give the same command again",
            done="all of it was recorded or nothing, and the server did not say which",
        ) from problem


@asynccontextmanager
async def locked(
    session: Session, keys: lock.LockKeys, patience_seconds: float, emit: Callable[[Event], None]
) -> AsyncIterator[None]:
    """Hold the migration lock meanwhile; should the block fail, closing the session is what frees it.

    The session has our own settings, and no statement timeout. Raises LockNotObtained naming the holder, and
    PoolerError where no session lock would hold, whoever vouches for it.
    """
    await _examine(session)
    await session.set_own(0)
    await _take(session, keys, patience_seconds, emit)
    yield
    await lock.release(session, keys)
    emit(LockReleased())


async def _examine(session: Session) -> None:
    async def open_another() -> Session:
        return await open_session(session.dsn, application_name=application_name(host_name()))

    try:
        await pooler.examine(session, open_another)
    except CannotConnect as problem:
        raise problem.error from problem
    if session.pooling is Pooling.TRANSACTION:
        raise pooler.transaction_pooler(session)
    if session.pooling is Pooling.UNPROVEN:
        raise PoolerError(
            f"{session.dsn.masked}: this is a pooler, and nothing proves that a lock holds through it",
            hint="give pgready a direct connection, or vouch for the pooler with PGREADY_POOLER=session",
            done=_NOTHING_RECORDED,
        )


async def _take(
    session: Session, keys: lock.LockKeys, patience_seconds: float, emit: Callable[[Event], None]
) -> None:
    since = anyio.current_time()
    tell_at = 0.0
    while not await lock.try_take(session, keys):
        waited = anyio.current_time() - since
        holder = await lock.holder(session, keys)
        if waited >= tell_at:
            tell_at = waited + _TELL_HOLDER_SECONDS
            emit(LockWaited(holder, waited))
        if waited >= patience_seconds:
            raise LockNotObtained(
                f"the migration lock is held by another: {reasons.describe(holder)}",
                hint="wait for it and start again; PGREADY_LOCK_TIMEOUT sets the patience",
                done=_NOTHING_RECORDED,
            )
        await anyio.sleep(_POLL_SECONDS)
    emit(LockTaken(anyio.current_time() - since))
