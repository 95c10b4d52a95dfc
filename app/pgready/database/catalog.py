"""Did a statement outside a transaction happen? The catalogue is asked; nothing is inferred.

See SAFETY 3. An interrupted CREATE INDEX CONCURRENTLY leaves an invalid index, which IF NOT EXISTS then
takes for done: it is dropped and built again, once nobody is building it. An interrupted REINDEX CONCURRENTLY
leaves one beside each index, which no other REINDEX takes away. The session must have the script's own
search_path while names are looked up here, as they are written in the script.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import asyncpg
from msgspec import Struct

from pgready.core.model import TableName
from pgready.core.quoting import exact, fill
from pgready.core.segments import Segment, Single
from pgready.core.steps import ProbeAnswer
from pgready.database.refusals import StatementRefused, lost_connection
from pgready.database.session import Session

_BUILD_POLL_SECONDS = 0.5

_INDEX = exact(
    """
SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name,
       i.indisvalid AND i.indisready AS valid,
       EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
               WHERE p.index_relid = c.oid AND p.pid <> pg_catalog.pg_backend_pid()) AS building
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = pg_catalog.to_regclass($1) AND c.relkind = 'i'
  AND c.relname = (pg_catalog.parse_ident($2))[pg_catalog.cardinality(pg_catalog.parse_ident($2))]
"""
)
# Behind an index that is gone, its unqualified name may mean one of a later schema in the search_path. Only
# in the first schema, or where the drop was interrupted, is what is found surely what was to be dropped.
_TO_DROP = exact(
    """
SELECT pg_catalog.cardinality(pg_catalog.parse_ident($1)) > 1 OR NOT i.indisvalid
       OR n.nspname = (pg_catalog.current_schemas(false))[1] AS meant
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.oid = pg_catalog.to_regclass($1)
"""
)
_IS_VALID = exact(
    """
SELECT i.indisvalid FROM pg_catalog.pg_index i WHERE i.indexrelid = pg_catalog.to_regclass($1)
"""
)
_DATABASE_EXISTS = exact(
    """
SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = (pg_catalog.parse_ident($1))[1])
"""
)
_PARTITION = exact(
    """
SELECT i.inhdetachpending AS pending,
       pn.nspname::pg_catalog.text AS parent_schema, p.relname::pg_catalog.text AS parent,
       cn.nspname::pg_catalog.text AS child_schema, c.relname::pg_catalog.text AS child
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
WHERE i.inhrelid = pg_catalog.to_regclass($1)
"""
)
# Whoever builds or drops one concurrently has the first of these locks on it all the while.
_LEFTOVERS = exact(
    """
WITH named AS (
    SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid
    UNION SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1))
), tables AS (
    SELECT coalesce(i.indrelid, named.oid) AS oid
    FROM named LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = named.oid
    UNION
    SELECT c.oid
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE CASE WHEN $2::pg_catalog.text IS NULL THEN $1 IS NULL
               ELSE n.nspname = (pg_catalog.parse_ident($2))[1] END
)
SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
  AND c.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$'
  AND EXISTS (SELECT FROM pg_catalog.pg_class t
              JOIN tables ON tables.oid = t.oid
              WHERE i.indrelid = ANY (ARRAY[t.oid, t.reltoastrelid]))
  AND NOT EXISTS (SELECT FROM named WHERE named.oid = c.oid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l
                  WHERE l.relation = c.oid
                  AND l.mode = ANY (ARRAY['ShareUpdateExclusiveLock', 'AccessExclusiveLock']))
"""
)


class Index(Struct, frozen=True):
    """An index as it stands; *building* when another backend is at it."""

    name: TableName
    valid: bool
    building: bool


@contextmanager
def healing(session: Session, segment: Segment) -> Iterator[None]:
    """What the server refuses meanwhile is told as refused of the single of *segment*."""
    try:
        yield
    except asyncpg.PostgresError as problem:
        if session.closed or lost_connection(problem):
            raise
        raise StatementRefused(problem, segment.statements[0], None) from problem


async def find_index(session: Session, segment: Segment) -> Index | None:
    """The index that a CREATE INDEX CONCURRENTLY *segment* names, if it is there."""
    row = await session.fetchrow(_INDEX, segment.table, segment.target)
    if row is None:
        return None
    return Index(TableName(row["schema"], row["name"]), valid=row["valid"], building=row["building"])


async def drop_invalid_index(session: Session, segment: Segment) -> bool:
    """Drop what an interrupted build of *segment*'s index left; True when something was dropped."""
    index = await find_index(session, segment)
    while index is not None and not index.valid and index.building:
        await anyio.sleep(_BUILD_POLL_SECONDS)
        index = await find_index(session, segment)
    if index is None or index.valid:
        return False
    await session.execute(fill("DROP INDEX CONCURRENTLY IF EXISTS :name", name=index.name))
    return True


async def drop_leftovers(session: Session, segment: Segment) -> None:
    """Drop the invalid indexes that interrupted ones left on the tables of *segment*, a REINDEX CONCURRENTLY,
    and that nobody is at. Those of a TOAST table stay unless we are a superuser."""
    for name in await _leftovers(session, segment):
        try:
            await session.execute(fill("DROP INDEX CONCURRENTLY IF EXISTS :name", name=name))
        except asyncpg.PostgresError as problem:
            if lost_connection(problem):
                raise


async def drop_remains(session: Session, segment: Segment) -> None:
    """Drop what an interrupted run of *segment*'s single may have left of the indexes that it builds."""
    match segment.single:
        case Single.CREATE_INDEX:
            await drop_invalid_index(session, segment)
        case Single.REINDEX:
            await drop_leftovers(session, segment)


async def _leftovers(session: Session, segment: Segment) -> list[TableName]:
    rows = await session.fetch(_LEFTOVERS, segment.table, segment.target)
    return [TableName(row["schema"], row["name"]) for row in rows]


async def probe(session: Session, segment: Segment) -> ProbeAnswer:
    """Whether the single of *segment*, which was started once, happened; heals what can be healed."""
    match segment.single:
        case Single.CREATE_INDEX:
            await drop_invalid_index(session, segment)
            return _answer(await find_index(session, segment) is not None)
        case Single.DROP_INDEX:
            return await _probe_drop(session, segment)
        case Single.DETACH_PARTITION:
            return await _probe_detach(session, segment)
        case Single.CREATE_DATABASE:
            return _answer(await session.fetchval(_DATABASE_EXISTS, segment.target))
        case Single.DROP_DATABASE:
            return _answer(not await session.fetchval(_DATABASE_EXISTS, segment.target))
        case Single.REINDEX | Single.REPEATABLE:
            return ProbeAnswer.NOT_HAPPENED
        case _:
            return ProbeAnswer.UNKNOWN


async def undo(session: Session, segment: Segment) -> bool:
    """Drop what the single of *segment*, which the server refused, left behind; whether nothing is left."""
    try:
        await drop_remains(session, segment)
        return await is_untouched(session, segment)
    except asyncpg.PostgresError as problem:
        if lost_connection(problem):
            raise
        return False


async def is_untouched(session: Session, segment: Segment) -> bool:
    """Whether nothing of the single of *segment*, which the server refused, is left behind.

    Its last step takes an index or a partition away, or is rolled back: what is not there was not there
    before. A REINDEX leaves the indexes that it had begun.
    """
    match segment.single:
        case Single.REINDEX:
            return not await _leftovers(session, segment)
        case Single.DROP_INDEX:
            return await session.fetchval(_IS_VALID, segment.target) is not False
        case Single.DETACH_PARTITION:
            row = await session.fetchrow(_PARTITION, segment.target)
            return row is None or not row["pending"]
        case _:
            return True


async def _probe_drop(session: Session, segment: Segment) -> ProbeAnswer:
    row = await session.fetchrow(_TO_DROP, segment.target)
    if row is None:
        return ProbeAnswer.HAPPENED
    return ProbeAnswer.NOT_HAPPENED if row["meant"] else ProbeAnswer.UNKNOWN


async def _probe_detach(session: Session, segment: Segment) -> ProbeAnswer:
    row: asyncpg.Record | None = await session.fetchrow(_PARTITION, segment.target)
    if row is None:
        return ProbeAnswer.HAPPENED
    if not row["pending"]:
        return ProbeAnswer.NOT_HAPPENED
    finalize = fill(
        "ALTER TABLE :parent DETACH PARTITION :child FINALIZE",
        parent=TableName(row["parent_schema"], row["parent"]),
        child=TableName(row["child_schema"], row["child"]),
    )
    await session.execute(finalize)
    return ProbeAnswer.HAPPENED


def _answer(happened: bool) -> ProbeAnswer:
    return ProbeAnswer.HAPPENED if happened else ProbeAnswer.NOT_HAPPENED


_BLOCKERS = exact(
    """
SELECT b.*, coalesce((
    SELECT extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(w.waitstart))
    FROM pg_catalog.pg_locks w WHERE w.pid = $1 AND NOT w.granted), 0)::pg_catalog.float8 AS waited_seconds
FROM (
SELECT a.pid,
       CASE WHEN a.application_name <> '' THEN a.application_name
            WHEN a.backend_type <> 'client backend' THEN a.backend_type ELSE '' END AS application_name,
       coalesce(a.client_addr::pg_catalog.text, 'local') AS client, a.xact_start AS since,
       coalesce(a.state, '') AS state, coalesce(pg_catalog.left(a.query, 200), '') AS query
FROM pg_catalog.pg_stat_activity a
WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1))
UNION ALL
SELECT 0, 'prepared transaction ' || pg_catalog.quote_literal(p.gid), 'local', p.prepared,
       'until COMMIT PREPARED or ROLLBACK PREPARED', ''
FROM pg_catalog.pg_prepared_xacts p
WHERE 0 = ANY (pg_catalog.pg_blocking_pids($1)) AND EXISTS (
    SELECT FROM pg_catalog.pg_locks w
    JOIN pg_catalog.pg_locks h ON h.granted AND h.pid IS NULL AND h.locktype = w.locktype
         AND (h.database = w.database OR (h.database IS NULL AND w.database IS NULL))
         AND (h.relation = w.relation OR (h.relation IS NULL AND w.relation IS NULL))
         AND (h.transactionid = w.transactionid OR (h.transactionid IS NULL AND w.transactionid IS NULL))
    JOIN pg_catalog.pg_locks own ON own.locktype = 'transactionid' AND own.pid IS NULL
         AND own.virtualtransaction = h.virtualtransaction
    WHERE w.pid = $1 AND NOT w.granted AND own.transactionid = p.transaction)
) AS b
ORDER BY b.since
"""
)


async def blockers(session: Session, pid: int) -> list[asyncpg.Record]:
    """Who holds the locks that backend *pid* waits for, and how long it has; none when it does not wait. A
    prepared transaction, of which the server says no more than that there is one, has the pid 0."""
    return await session.fetch(_BLOCKERS, pid)
