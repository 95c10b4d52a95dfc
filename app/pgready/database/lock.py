"""The migration lock: session advisory locks that are polled, and the fence that every transaction proves.

The rules that this module keeps:

1. Never wait inside the server: a blocked `pg_advisory_lock` holds a snapshot that CREATE INDEX
   CONCURRENTLY waits for, which is a deadlock. `try` polls, outside any transaction.
2. The lock is held on the connection that migrates. A second key, taken with
   `pg_try_advisory_xact_lock` in every migration transaction, is the fence: a session lock alone can be
   lost without notice (DISCARD ALL, a pooler, idle_session_timeout). Of a transaction that was sent before
   the one in front of it was committed, the fence proves that, too.
3. Where another tool's history is used, that tool's own keys are held too. Most of those tools wait for
   theirs in the server, so no concurrent statement starts while one of them does (`peer_waiting`).
4. Through a pooler of unproven mode no session lock is taken at all (it would stay behind on the pooler's
   backend for ever): the fence takes the main key as well, for its transaction. Whoever finds it taken
   waits all the same, lest the fence refuse again and again while another's long script runs.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from asyncpg import Record
from msgspec import Struct
from msgspec.structs import replace

from pgready.core.masking import masked
from pgready.core.model import LockHolder, TableName
from pgready.core.quoting import Sql, exact, fill, fragment, literal
from pgready.database.session import Pooling, Session


class LockKeys(Struct, frozen=True):
    """*main* serialises runs, *fence* guards each transaction, *peers* are the other tool's own."""

    main: int
    fence: int
    peers: tuple[int, ...] = ()

    @property
    def session_keys(self) -> tuple[int, ...]:
        return (*self.peers, self.main)


def keys_for(history: TableName, peers: tuple[int, ...] = ()) -> LockKeys:
    """Keys derived from the history table's identity; advisory locks are already per database."""
    return LockKeys(main=derive(f"lock {history}"), fence=derive(f"fence {history}"), peers=peers)


def derive(identity: str) -> int:
    """A signed 64-bit key from a text, the same for every version of pgready."""
    digest = hashlib.sha256(f"pgready {identity}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


_TRY = "SELECT pg_catalog.pg_try_advisory_lock(:key) AS taken"


class _Tried(Struct, frozen=True):
    taken: bool


async def try_take(session: Session, keys: LockKeys) -> bool:
    """Take all session keys or none, without waiting."""
    if session.pooling is Pooling.UNPROVEN:
        return await holder(session, keys) is None
    taken: list[int] = []
    for key in keys.session_keys:
        if not (await session.read(fill(_TRY, key=key), _Tried))[0].taken:
            for mine in taken:
                await _unlock(session, mine)
            return False
        taken.append(key)
    return True


async def release(session: Session, keys: LockKeys) -> None:
    if session.pooling is Pooling.UNPROVEN:
        return
    for key in reversed(keys.session_keys):
        await _unlock(session, key)


async def _unlock(session: Session, key: int) -> None:
    await session.execute(fill("SELECT pg_catalog.pg_advisory_unlock(:key)", key=key))


_BACKENDS = exact(
    """
SELECT a.pid, coalesce(a.application_name, '') AS application_name,
       coalesce(a.client_addr::pg_catalog.text, 'local') AS client, a.backend_start AS since,
       coalesce(a.state, '') AS state, coalesce(pg_catalog.left(a.query, 200), '') AS query
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted = :granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = ANY (ARRAY[:keys]::bigint[])
  AND l.pid <> pg_catalog.pg_backend_pid()
ORDER BY a.backend_start
LIMIT 1
"""
)


async def holder(session: Session, keys: LockKeys) -> LockHolder | None:
    """Who holds the lock now: pid, application_name (host or pod), since when, doing what."""
    return await _backend(session, (*keys.session_keys, keys.fence), granted=True)


async def peer_waiting(session: Session, keys: LockKeys) -> LockHolder | None:
    """A backend that waits in the server for a key of the peer's: a run of that tool, begun meanwhile."""
    return await _backend(session, keys.peers, granted=False) if keys.peers else None


async def _backend(session: Session, keys: tuple[int, ...], *, granted: bool) -> LockHolder | None:
    query = fill(_BACKENDS, granted=granted, keys=Sql(", ".join(map(literal, keys))))
    found = await session.read(query, LockHolder)
    return told(found[0]) if found else None


def holder_of(row: Record) -> LockHolder:
    """Of a row with the fields of a LockHolder."""
    return told(LockHolder(**{field: row[field] for field in LockHolder.__struct_fields__}))


def told(holder: LockHolder) -> LockHolder:
    """*holder* as it may be shown: its query in one line, without passwords."""
    return replace(holder, query=masked(" ".join(holder.query.split())))


_SET_TIMEOUT = "SET LOCAL lock_timeout = :lock_timeout"

_FENCE = """SELECT CASE WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) :pid
  AND pg_catalog.pg_try_advisory_xact_lock(:fence):and_after
 THEN 0 ELSE pg_catalog.int4in(pg_catalog.textout(pg_catalog.concat('pgready: the lock is not held by ',
  pg_catalog.pg_backend_pid()))) END"""

# A setting that was set in a transaction is there when that was committed, and not when it was rolled back.
_COMMITTED = "SET pgready.committed = :mark"

_AND_AFTER = """
  AND pg_catalog.current_setting('pgready.committed', true) OPERATOR(pg_catalog.=) :mark"""

_PEER_FENCE = """SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock(:peer)
 THEN 0 ELSE pg_catalog.int4in(pg_catalog.textout(pg_catalog.concat('pgready: a peer is at work, seen by ',
  pg_catalog.pg_backend_pid()))) END"""

_POOLED_FENCE = """SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock(:main)
  AND pg_catalog.pg_try_advisory_xact_lock(:fence)
 THEN 0 ELSE pg_catalog.int4in(pg_catalog.textout(pg_catalog.concat('pgready: the lock is not free for ',
  pg_catalog.pg_backend_pid()))) END"""


def fence(session: Session, keys: LockKeys, lock_timeout_ms: int, after: str | None = None) -> list[str]:
    """Statements of which one fails (22P02) unless this transaction has the right to migrate.

    *after* is what must have been `committed` last in this session, which is a connection to the server.
    """
    if after is None:
        return list(_fence(session.pooling, session.backend_pid, keys, lock_timeout_ms))
    and_after = fragment(_AND_AFTER, mark=after)
    return [
        timeout(lock_timeout_ms),
        fill(_FENCE, pid=session.backend_pid, fence=keys.fence, and_after=and_after),
    ]


@lru_cache(maxsize=8)
def timeout(lock_timeout_ms: int) -> str:
    """The statement by which a transaction waits no longer than that for a relation, 0 without end."""
    return fill(_SET_TIMEOUT, lock_timeout=f"{lock_timeout_ms}ms")


def committed(mark: str) -> str:
    """The statement by which a transaction leaves *mark* behind in the session, if it is committed."""
    return fill(_COMMITTED, mark=mark)


@lru_cache(maxsize=8)  # the same for every migration of a run, but for the timeout
def _fence(pooling: Pooling, pid: int, keys: LockKeys, lock_timeout_ms: int) -> tuple[str, ...]:
    first = timeout(lock_timeout_ms)
    if pooling is Pooling.UNPROVEN:
        peers = (fill(_PEER_FENCE, peer=key) for key in keys.peers)
        return (first, *peers, fill(_POOLED_FENCE, main=keys.main, fence=keys.fence))
    return (first, fill(_FENCE, pid=pid, fence=keys.fence, and_after=Sql("")))
