"""Reading and creating history tables, and refusing those that are not ours to trust.

Whoever may create in a schema could plant a table with our name and a trigger on it, and so run code as
the migrator. A history is used only where it is a plain table whose owner we trust, in a schema whose
owner we trust, without triggers, rules or defaults that call foreign functions. One whose rows the server
hides from us says less than was applied, so it is refused as well. Nothing is found through search_path.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict, replace

from pgready.core.errors import HistoryRefused
from pgready.core.model import TAKING_BACK, Applied, Folder, History, JournalRow, LockHolder, Row, TableName
from pgready.core.quoting import exact, fill, identifier, literals, table
from pgready.database import lock
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.dialects.native import AUDIT, HANDOVER, HISTORY, JOURNAL, Native, beside

_FACTS = exact(
    """
SELECT x.schema::pg_catalog.text, x.name::pg_catalog.text, x.kind::pg_catalog.text,
       pg_catalog.pg_get_userbyid(x.owner)::pg_catalog.text AS owner,
       (SELECT pg_catalog.array_agg(a.attname::pg_catalog.text) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = x.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       x.owner = r.oid OR pg_catalog.pg_has_role(x.owner, r.oid, 'MEMBER')
         OR (NOT r.rolsuper AND (pg_catalog.pg_has_role(r.oid, x.owner, 'USAGE') OR x.owner = d.datdba))
         AS trusted,
       EXISTS (SELECT FROM pg_catalog.pg_trigger t
               WHERE t.tgrelid = x.oid AND NOT t.tgisinternal) AS triggers,
       pg_catalog.has_table_privilege(x.oid, 'SELECT') AS readable,
       EXISTS (SELECT FROM pg_catalog.pg_index i
               WHERE i.indrelid = x.oid AND i.indisprimary AND i.indisvalid) AS keyed,
       EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = x.oid)
         OR EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = x.oid) AS rules,
       CASE WHEN pg_catalog.has_table_privilege(x.oid, 'SELECT')
            THEN pg_catalog.row_security_active(x.oid) ELSE x.hides_from_owner END AS hidden,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE x.oid = ANY (ARRAY[i.inhrelid, i.inhparent]))
         AS inherits,
       EXISTS (SELECT FROM pg_catalog.pg_depend g
               JOIN pg_catalog.pg_attrdef f
                 ON g.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND g.objid = f.oid
               WHERE f.adrelid = x.oid AND g.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                 AND g.refobjid >= 16384) AS foreign_defaults
FROM pg_catalog.pg_roles r
JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
CROSS JOIN LATERAL (
    SELECT n.nspname AS schema, c.relname AS name, c.oid, c.relkind AS kind, c.relowner AS owner,
           c.relrowsecurity AND c.relforcerowsecurity AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_roles o WHERE o.oid = c.relowner
               AND (o.rolsuper OR o.rolbypassrls)) AS hides_from_owner
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (n.nspname, c.relname) = ANY (
        SELECT * FROM ROWS FROM (
            pg_catalog.unnest(ARRAY[:schemas]::pg_catalog.text[]),
            pg_catalog.unnest(ARRAY[:names]::pg_catalog.text[])))
    UNION ALL
    SELECT n.nspname, NULL, NULL, NULL,
           CASE WHEN pg_catalog.pg_get_userbyid(n.nspowner) = 'pg_database_owner' THEN d.datdba
                ELSE n.nspowner END, false
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname = ANY (ARRAY[:schemas]::pg_catalog.text[])
) AS x
WHERE r.rolname = current_user
"""
)

_JOURNAL = """
SELECT kind, version, segment, state, checksum, duration_ms, recorded_at FROM pgready.journal
WHERE history OPERATOR(pg_catalog.=) :history ORDER BY kind, version, segment
"""


class _Facts(Struct, frozen=True):
    """What decides whether a table, or without a *name* its schema, is to be trusted."""

    schema: str
    name: str | None
    kind: str | None
    owner: str
    columns: tuple[str, ...] | None
    trusted: bool
    triggers: bool
    readable: bool | None
    keyed: bool
    rules: bool
    hidden: bool | None
    inherits: bool
    foreign_defaults: bool


class _NativeRow(Struct, frozen=True):
    kind: str
    version: str
    name: str
    checksum: str
    token_checksum: str | None
    applied_at: datetime | None
    duration_ms: int | None
    applied_by: str


class Tables(Struct, frozen=True):
    """Which of the tables that concern us exist, their columns, which of them we may not read, and which
    have their primary key: a restore may not have come to that yet."""

    columns: dict[TableName, frozenset[str]]
    unreadable: frozenset[TableName] = frozenset()
    keyed: frozenset[TableName] = frozenset()

    def __contains__(self, name: TableName) -> bool:
        return name in self.columns


async def find_tables(session: Session, dialect: Dialect, *, read_only: bool = False) -> Tables:
    """The history tables that exist. Raises HistoryRefused for one that we must not trust.

    Reading a plain table runs nobody's code, so a *read_only* look asks for no more than that, and that all
    of its rows are seen: what is not readable is read through a view, which sees what its owner does.
    """
    names = sorted({dialect.table, HISTORY, JOURNAL, AUDIT, HANDOVER}, key=str)
    schemas, tables = literals(name.schema for name in names), literals(name.name for name in names)
    found: dict[TableName, frozenset[str]] = {}
    unreadable: set[TableName] = set()
    keyed: set[TableName] = set()
    for row in await session.read(fill(_FACTS, schemas=schemas, names=tables), _Facts):
        facts = replace(row, trusted=True, triggers=False, foreign_defaults=False) if read_only else row
        if facts.name is None:
            _refuse_untrusted_schema(session, facts)
            continue
        name = TableName(facts.schema, facts.name)
        _refuse_untrusted(session, name, facts)
        found[name] = frozenset(facts.columns or ())
        if not facts.readable:
            unreadable.add(name)
        if facts.keyed:
            keyed.add(name)
    return Tables(found, frozenset(unreadable), frozenset(keyed))


def _refuse_untrusted_schema(session: Session, facts: _Facts) -> None:
    """Whoever owns a schema may drop what is in it, and put something else in its place."""
    if facts.trusted:
        return
    schema = identifier(facts.schema)
    raise HistoryRefused(
        f"the schema {schema} belongs to {facts.owner}, whom {session.user} has no reason to trust: "
        f"whoever owns it could run code as {session.user}",
        hint=f"ALTER SCHEMA {schema} OWNER TO {identifier(session.user)}; or drop it if it was planted",
        done="nothing was run",
    )


def _refuse_untrusted(session: Session, name: TableName, facts: _Facts) -> None:
    wrong = [
        text
        for text, found in (
            ("is not a plain table", facts.kind != "r"),
            (
                f"belongs to {facts.owner}, whom {session.user} has no reason to trust",
                not facts.trusted,
            ),
            ("has a trigger", facts.triggers),
            ("has a rule or a policy", facts.rules),
            ("takes part in inheritance", facts.inherits),
            ("has a default that calls a function which is not the server's own", facts.foreign_defaults),
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
    if facts.hidden:
        raise HistoryRefused(
            f"row level security hides rows of {table(name)} from {session.user}: "
            "what was applied could not be told from what was not",
            hint=f"as {facts.owner}: ALTER TABLE {table(name)} DISABLE ROW LEVEL SECURITY; "
            "or use the URL of a role that it does not hold for",
            done="nothing was run",
        )


async def read(
    session: Session, dialect: Dialect, folder: Folder, *, read_only: bool = False
) -> tuple[Tables, History]:
    """What the target says was applied, without any lock: the dialect's rows, ours, and the journal."""
    tables = await find_tables(session, dialect, read_only=read_only)
    applied: list[Applied] = []
    if not dialect.owns(tables.columns.get(dialect.table, frozenset())) and dialect.table in tables:
        raise _of_another_tool(dialect, tables)
    recorded = await _rows(session, dialect, tables) if dialect.table in tables else []
    applied += dialect.match(recorded, folder)
    if dialect.table != HISTORY and HISTORY in tables:
        ours = beside(dialect)
        applied += ours.match(await _rows(session, ours, tables), folder)
    marks: list[JournalRow] = []
    if JOURNAL in tables and not (read_only and JOURNAL in tables.unreadable):
        marks = await session.read(fill(_JOURNAL, history=dialect.identity), JournalRow)
    return tables, History(
        exists=dialect.table in tables,
        applied=tuple(applied),
        journal=tuple(mark for mark in marks if mark.segment != TAKING_BACK),
        taken_back=tuple(mark.version for mark in marks if mark.segment == TAKING_BACK),
    )


def _of_another_tool(dialect: Dialect, tables: Tables) -> HistoryRefused:
    columns = ", ".join(sorted(tables.columns[dialect.table]))
    return HistoryRefused(
        f"the table {table(dialect.table)} is not {dialect.name}'s: its columns are {columns}",
        hint="another tool's history has that name: --dialect says whose folder this is",
        done="nothing was run",
    )


_LACKING = """
SELECT pg_catalog.string_agg(privilege, ', ')
FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
WHERE NOT pg_catalog.has_table_privilege(pg_catalog.to_regclass($1), privilege)
"""


async def grants(session: Session, names: Sequence[TableName]) -> list[str]:
    """What the session's role lacks to read and write those of the tables *names* that exist."""
    lacking = [(name, await session.fetchval(_LACKING, table(name))) for name in names]
    role = identifier(session.user)
    return [f"GRANT {privileges} ON {table(name)} TO {role}" for name, privileges in lacking if privileges]


_HOLDERS = exact(
    """
SELECT coalesce(l.pid, 0) AS pid,
       CASE WHEN l.pid IS NULL THEN 'a prepared transaction'
            WHEN a.application_name <> '' THEN a.application_name
            WHEN a.backend_type <> 'client backend' THEN a.backend_type ELSE '' END AS application_name,
       coalesce(a.client_addr::pg_catalog.text, 'local') AS client, a.xact_start AS since,
       coalesce(a.state, '') AS state, coalesce(pg_catalog.left(a.query, 200), '') AS query
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'AccessExclusiveLock'
  AND (n.nspname, c.relname) = ANY (
    SELECT * FROM ROWS FROM (
        pg_catalog.unnest(ARRAY[:schemas]::pg_catalog.text[]),
        pg_catalog.unnest(ARRAY[:names]::pg_catalog.text[])))
ORDER BY a.xact_start
"""
)


async def holders(session: Session, dialect: Dialect) -> tuple[LockHolder, ...]:
    """Who keeps a table of the history from being read."""
    tables = (dialect.table, HISTORY, JOURNAL, AUDIT, HANDOVER)
    schemas, names = literals(each.schema for each in tables), literals(each.name for each in tables)
    query = fill(_HOLDERS, schemas=schemas, names=names)
    return tuple(map(lock.told, await session.read(query, LockHolder)))


_COLUMNS = exact(
    """
SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name,
       pg_catalog.array_agg(a.attname::pg_catalog.text) AS columns
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND (n.nspname, c.relname) = ANY (
    SELECT * FROM ROWS FROM (
        pg_catalog.unnest(ARRAY[:schemas]::pg_catalog.text[]),
        pg_catalog.unnest(ARRAY[:names]::pg_catalog.text[])))
GROUP BY 1, 2
"""
)


class _Columns(Struct, frozen=True):
    schema: str
    name: str
    columns: tuple[str, ...]


async def present(session: Session, dialects: Sequence[Dialect]) -> list[Dialect]:
    """Those of *dialects*, settled, whose history the target has."""
    tables = [dialect.table for dialect in dialects]
    schemas, names = literals(each.schema for each in tables), literals(each.name for each in tables)
    rows = await session.read(fill(_COLUMNS, schemas=schemas, names=names), _Columns)
    columns = {TableName(row.schema, row.name): frozenset(row.columns) for row in rows}
    return [each for each in dialects if each.table in columns and each.owns(columns[each.table])]


async def _rows(session: Session, dialect: Dialect, tables: Tables) -> Sequence[Row]:
    if not isinstance(dialect, Native):
        query = dialect.select_history(tables.columns[dialect.table])
        return [dict(row) for row in await session.fetch(query)]
    readable = HISTORY not in tables.unreadable
    query = dialect.select_history(tables.columns[HISTORY]) if readable else dialect.select_status()
    return [asdict(row) for row in await session.read(query, _NativeRow)]
