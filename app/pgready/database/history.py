"""Reading and creating history tables, and refusing those that are not ours to trust.

Whoever may create in a schema could plant a table with our name and a trigger on it, and so run code as
the migrator. A history is used only where it is a plain table whose owner we trust, without triggers,
rules or defaults that call foreign functions. Nothing is found through search_path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from pgready.core.errors import HistoryRefused
from pgready.core.model import Applied, Folder, History, JournalRow, Kind, Row, SegmentState, TableName
from pgready.core.quoting import table
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.dialects.native import HISTORY, JOURNAL, Native

_FACTS = """
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
       (SELECT pg_catalog.array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       c.relowner = r.oid OR o.rolsuper
         OR (NOT r.rolsuper AND pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'))
         OR (NOT r.rolsuper AND c.relowner = d.datdba) AS trusted,
       EXISTS (SELECT FROM pg_catalog.pg_trigger t
               WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
       c.relhasrules OR EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid) AS rules,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS inherits,
       EXISTS (SELECT FROM pg_catalog.pg_depend x
               JOIN pg_catalog.pg_attrdef f
                 ON x.classid = 'pg_catalog.pg_attrdef'::regclass AND x.objid = f.oid
               WHERE f.adrelid = c.oid AND x.refclassid = 'pg_catalog.pg_proc'::regclass
                 AND x.refobjid >= 16384) AS foreign_defaults
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
JOIN pg_catalog.pg_roles r ON r.rolname = current_user
JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
WHERE (n.nspname, c.relname) IN (
    SELECT * FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])))
"""

_JOURNAL = """
SELECT kind, version, segment, state, checksum FROM pgready.journal WHERE history OPERATOR(pg_catalog.=) $1
ORDER BY kind, version, segment
"""


class Tables(Struct, frozen=True):
    """Which of the tables that concern us exist, their columns, and which of them we may not read."""

    columns: dict[TableName, frozenset[str]]
    unreadable: frozenset[TableName] = frozenset()

    def __contains__(self, name: TableName) -> bool:
        return name in self.columns


async def find_tables(session: Session, dialect: Dialect, *, read_only: bool = False) -> Tables:
    """The history tables that exist. Raises HistoryRefused for one that we must not trust.

    Reading a plain table runs nobody's code, so a *read_only* look asks for no more than that.
    """
    names = {dialect.table, HISTORY, JOURNAL}
    rows = await session.fetch(_FACTS, [name.schema for name in names], [name.name for name in names])
    found: dict[TableName, frozenset[str]] = {}
    for row in rows:
        name = TableName(row["schema"], row["name"])
        _refuse_untrusted(session, name, {**row, **(_TRUSTED if read_only else {})})
        found[name] = frozenset(row["columns"] or ())
    unreadable = frozenset(TableName(row["schema"], row["name"]) for row in rows if not row["readable"])
    return Tables(found, unreadable)


_TRUSTED = {"trusted": True, "triggers": False, "foreign_defaults": False}


def _refuse_untrusted(session: Session, name: TableName, facts: Mapping[str, Any]) -> None:
    wrong = [
        text
        for text, found in (
            ("is not a plain table", facts["kind"] != "r"),
            (
                f"belongs to {facts['owner']}, whom {session.user} has no reason to trust",
                not facts["trusted"],
            ),
            ("has a trigger", facts["triggers"]),
            ("has a rule or a policy", facts["rules"]),
            ("takes part in inheritance", facts["inherits"]),
            ("has a default that calls a function which is not the server's own", facts["foreign_defaults"]),
        )
        if found
    ]
    if wrong:
        raise HistoryRefused(
            f"the history table {table(name)} {', '.join(wrong)}: "
            f"whoever made it could run code as {session.user}",
            hint=f"look at it (\\d+ {table(name)}); drop it if it was planted, or give it to {session.user}",
            done="nothing was run",
        )


async def read(
    session: Session, dialect: Dialect, native: Native, folder: Folder, *, read_only: bool = False
) -> tuple[Tables, History]:
    """What the target says was applied, without any lock: the dialect's rows, ours, and the journal."""
    tables = await find_tables(session, dialect, read_only=read_only)
    applied: list[Applied] = []
    if dialect.table in tables:
        applied += dialect.match(await _rows(session, dialect, tables), folder)
    if dialect.table != HISTORY and HISTORY in tables:
        ours = native.match(await _rows(session, native, tables), folder)
        applied += [row for row in ours if row.kind is not Kind.VERSIONED]
    journal: tuple[JournalRow, ...] = ()
    if JOURNAL in tables and not (read_only and JOURNAL in tables.unreadable):
        rows = await session.fetch(_JOURNAL, dialect.identity)
        journal = tuple(
            JournalRow(
                kind=Kind(row["kind"]),
                version=row["version"],
                segment=row["segment"],
                state=SegmentState(row["state"]),
                checksum=row["checksum"],
            )
            for row in rows
        )
    return tables, History(exists=dialect.table in tables, applied=tuple(applied), journal=journal)


async def _rows(session: Session, dialect: Dialect, tables: Tables) -> list[Row]:
    query = dialect.select_history(tables.columns[dialect.table])
    if isinstance(dialect, Native) and HISTORY in tables.unreadable:
        query = dialect.select_status()
    rows = await session.fetch(query)
    return [dict(row) for row in rows]
