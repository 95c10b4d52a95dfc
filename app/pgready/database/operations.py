"""How far a command is that the server reports on: index builds, VACUUM, CLUSTER, ANALYZE, COPY.

See the manual, "Progress Reporting". A role sees its own backends there without any further right. Each
view counts several things at once; what moves in the present phase is what is told.
"""

from __future__ import annotations

from pgready.core.model import Operation
from pgready.core.quoting import exact
from pgready.database.session import Session

# While it waits for others, an index build counts those whom it waits for; while it validates or sorts,
# tuples; else blocks. A COPY from a client has no known size.
_OPERATION = exact(
    """
SELECT command, phase, coalesce(c.relname::pg_catalog.text, '') AS relation, done, total, unit
FROM (
    SELECT relid, command, phase,
           CASE WHEN phase ^@ 'waiting for ' THEN lockers_done
                WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END,
           CASE WHEN phase ^@ 'waiting for ' THEN lockers_total
                WHEN tuples_total > 0 THEN tuples_total ELSE blocks_total END,
           CASE WHEN phase ^@ 'waiting for ' THEN 'sessions'
                WHEN tuples_total > 0 THEN 'tuples' ELSE 'blocks' END
    FROM pg_catalog.pg_stat_progress_create_index WHERE pid = $1
    UNION ALL
    SELECT relid, 'VACUUM', phase,
           CASE WHEN phase = 'vacuuming heap' THEN heap_blks_vacuumed ELSE heap_blks_scanned END,
           heap_blks_total, 'blocks'
    FROM pg_catalog.pg_stat_progress_vacuum WHERE pid = $1
    UNION ALL
    SELECT relid, command, phase, heap_blks_scanned, heap_blks_total, 'blocks'
    FROM pg_catalog.pg_stat_progress_cluster WHERE pid = $1
    UNION ALL
    SELECT relid, 'ANALYZE', phase, sample_blks_scanned, sample_blks_total, 'blocks'
    FROM pg_catalog.pg_stat_progress_analyze WHERE pid = $1
    UNION ALL
    SELECT relid, command, 'copying rows', tuples_processed, 0, 'tuples'
    FROM pg_catalog.pg_stat_progress_copy WHERE pid = $1
) AS p (relid, command, phase, done, total, unit)
LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid
LIMIT 1
"""
)


async def current(session: Session, pid: int) -> Operation | None:
    """What backend *pid* is at, where it is a command that the server reports on."""
    row = await session.fetchrow(_OPERATION, pid)
    return Operation(**dict(row)) if row else None
