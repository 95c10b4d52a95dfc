"""`pgready.audit`: who changed by hand what a history says, when, and why.

A row is written in the transaction of the change. The table is made with the first of them, and is the only
thing of ours in a target whose history is a peer's and that needed no journal.
"""

from __future__ import annotations

from pgready.core.quoting import fill

CREATE = """
CREATE SCHEMA IF NOT EXISTS pgready;
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

_ENTRY = """
INSERT INTO pgready.audit (history, action, what, reason, database_user, recorded_by, pgready_version)
VALUES (:history, :action, :what, :reason, session_user, :recorded_by, :pgready_version)
"""


def entry(
    *, history: str, action: str, what: str, reason: str | None, recorded_by: str, pgready_version: str
) -> str:
    """One INSERT; *history* is the changed one's identity, *recorded_by* this host or pod."""
    return fill(
        _ENTRY,
        history=history,
        action=action,
        what=what,
        reason=reason,
        recorded_by=recorded_by,
        pgready_version=pgready_version,
    )
