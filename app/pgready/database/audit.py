"""`pgready.audit`: who changed by hand what a history says, when, and why.

A row is written in the transaction of the change. The table is made with the first of them, and is the only
thing of ours in a target whose history is a peer's and that needed no journal.
"""

from __future__ import annotations

from pgready.core.errors import AccessDenied
from pgready.core.quoting import create_schema, exact, fill, identifier
from pgready.database.session import Session

CREATE = (
    f"{create_schema('pgready')};"
    + """
CREATE TABLE IF NOT EXISTS pgready.audit (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at     timestamp with time zone NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    history         pg_catalog.text NOT NULL,
    action          pg_catalog.text NOT NULL,
    what            pg_catalog.text NOT NULL,
    reason          pg_catalog.text,
    database_user   pg_catalog.text NOT NULL,
    recorded_by     pg_catalog.text NOT NULL,
    pgready_version pg_catalog.text NOT NULL
);
REVOKE ALL ON pgready.audit FROM PUBLIC
"""
)
"""Makes the table, and its schema where that is missing."""

_SITUATION = exact(
    """
SELECT x.schema IS NOT NULL AS has_schema, x.audit IS NOT NULL AS has_table,
       pg_catalog.current_database()::pg_catalog.text AS database,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS makes_schema,
       pg_catalog.has_schema_privilege(x.schema, 'USAGE')
         AND pg_catalog.has_schema_privilege(x.schema, 'CREATE') AS makes_table,
       pg_catalog.has_table_privilege(x.audit, 'INSERT') AS writes
FROM (SELECT (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pgready') AS schema,
             (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = 'pgready' AND c.relname = 'audit') AS audit) AS x
"""
)


async def creation(session: Session) -> tuple[str, ...]:
    """What makes the audit, as far as it is missing. Raises AccessDenied where it cannot be kept here."""
    row = await session.fetchrow(_SITUATION)
    assert row is not None, "a SELECT without WHERE has a row"
    create: tuple[str, ...] = ()
    if row["has_table"]:
        allowed, needed = row["writes"], "INSERT ON pgready.audit"
    elif row["has_schema"]:
        allowed, needed, create = row["makes_table"], "USAGE, CREATE ON SCHEMA pgready", (CREATE,)
    else:
        allowed, needed = row["makes_schema"], f"CREATE ON DATABASE {identifier(row['database'])}"
        create = (CREATE,)
    if not allowed:
        raise AccessDenied(
            f"permission denied: {session.user} cannot write pgready.audit, which keeps changes by hand",
            hint=f"GRANT {needed} TO {identifier(session.user)}; or use the owner's URL",
            sqlstate="42501",
            done="nothing was recorded",
        )
    return create


_ENTRY = """
INSERT INTO pgready.audit (history, action, what, reason, database_user, recorded_by, pgready_version)
VALUES (:history, :action, :what, :reason, session_user, :recorded_by, :pgready_version)
"""


def entry(
    *, history: str, action: str, what: str, reason: str | None, recorded_by: str, pgready_version: str
) -> str:
    """One INSERT; *history* names the changed ones by identity, *recorded_by* this host or pod."""
    return fill(
        _ENTRY,
        history=history,
        action=action,
        what=what,
        reason=reason,
        recorded_by=recorded_by,
        pgready_version=pgready_version,
    )
