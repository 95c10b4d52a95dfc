"""One cheap query that tells whether a history is still what it was, and one for who is at work.

The mark needs to know nothing of a tool's columns: which tables there are, how many rows they have, and
which transactions wrote them. An insert, an update, a delete, a restore each change it; ten thousand rows
take two milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg

from pgready.core.model import TableName
from pgready.core.quoting import Sql, exact, fill, fragment, table
from pgready.database.refusals import lost_connection
from pgready.database.session import Session

_MARK = "SELECT pg_catalog.concat_ws('; ', :parts)"
_PRESENCE = "pg_catalog.concat_ws(' ', :name, pg_catalog.to_regclass(:name)::pg_catalog.oid)"
_CONTENT = """(
    SELECT pg_catalog.concat_ws(
        ' ', pg_catalog.count(*),
        pg_catalog.sum(xmin::pg_catalog.text::bigint), pg_catalog.max(xmin::pg_catalog.text::bigint))
    FROM :table
)"""
_EXISTS = "SELECT pg_catalog.to_regclass($1) IS NOT NULL"

_AT_WORK = exact(
    """
SELECT pg_catalog.format('%s (pid %s)', a.application_name, a.pid)
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
  AND (a.application_name = 'pg_restore' OR (a.application_name = 'psql' AND a.state <> 'idle'))
ORDER BY a.pid LIMIT 1
"""
)
_RELATIONS = "SELECT pg_catalog.count(*)::pg_catalog.text FROM pg_catalog.pg_class"

BUSY = frozenset({"55P03", "57014"})
"""A lock, or the whole query, took too long: somebody is at it."""

_GONE = frozenset({"42P01", "3F000"})


class Marker:
    """Marks *tables* on one session; it remembers which of them exist, to need a single query."""

    def __init__(self, session: Session, tables: Iterable[TableName]) -> None:
        self.tables = frozenset(tables)
        self._session = session
        self._query: str | None = None

    async def mark(self) -> str | None:
        """A text that differs when the tables do; None while they are locked. Raises what a lost
        connection raises."""
        try:
            return await self._mark()
        except asyncpg.PostgresError as problem:
            if lost_connection(problem):
                raise
            return None if problem.sqlstate in BUSY else f"refused: {problem.sqlstate}"

    async def _mark(self) -> str:
        if self._query is not None:
            try:
                return str(await self._session.fetchval(self._query))
            except asyncpg.PostgresError as problem:
                if problem.sqlstate not in _GONE:
                    raise
        names = sorted(self.tables, key=str)
        there = [name for name in names if await self._session.fetchval(_EXISTS, table(name))]
        self._query = _query(names, there)
        return str(await self._session.fetchval(self._query))


def _query(tables: Sequence[TableName], there: Sequence[TableName]) -> str:
    parts = [fragment(_PRESENCE, name=table(name)) for name in tables]
    parts += [fragment(_CONTENT, table=name) for name in there]
    return fill(_MARK, parts=Sql(", ".join(parts)))


async def at_work(session: Session) -> str | None:
    """Somebody who looks like a restore: pg_restore, or psql in the middle of something."""
    found: str | None = await session.fetchval(_AT_WORK)
    return found


async def relations(session: Session) -> str:
    """How many relations there are, which changes while a dump is being restored."""
    return str(await session.fetchval(_RELATIONS))
