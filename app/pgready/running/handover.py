"""Whether a history was handed over: `eject` and `adopt` leave folders behind that somebody may still run.

An old replica, or a person who gives yesterday's command, would run again what the other history holds now.
The audit remembers who went where; the newest of its rows about a history counts.
"""

from __future__ import annotations

from pgready.core.errors import Diverged
from pgready.core.planning import Finding, Severity
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.dialects.native import AUDIT, Native
from pgready.running.look import Sight

_NEWEST = """
SELECT action, history, pg_catalog.to_char(
           recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') AS recorded_at
FROM pgready.audit WHERE $1 OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(history, ', '))
ORDER BY id DESC LIMIT 1
"""

_WENT = {"eject": "handed over to", "adopt": "taken over by"}

_HINTS = {
    "eject": "go on with the other tool's folder: --dir and --dialect; to come back: pgready adopt; "
    "to begin anew beside it: --namespace",
    "adopt": "go on with the folder that was written: --dir, --dialect native; to come back: pgready eject",
}


async def refuse(session: Session, dialect: Dialect, sight: Sight) -> None:
    """Raise Diverged where *dialect*'s history was handed over: what is taken back there stays recorded."""
    if AUDIT in sight.tables and (found := await findings(session, dialect)):
        raise Diverged(found[0].message, hint=found[0].hint, done="nothing was run")


async def findings(session: Session, dialect: Dialect) -> tuple[Finding, ...]:
    """Why nothing that is pending in *dialect*'s history may run; asked where the audit can be read."""
    left_by = "eject" if dialect.name == Native.name else "adopt"
    row = await session.fetchrow(_NEWEST, dialect.identity)
    if row is None or row["action"] != left_by:
        return ()
    heir = next(name for name in row["history"].split(", ") if name != dialect.identity)
    message = (
        f"the history {dialect.identity} was {_WENT[left_by]} {heir} (pgready {left_by}, "
        f"{row['recorded_at']}): what is pending or applied here is that history's to say"
    )
    return (Finding(Severity.ERROR, "", None, message, _HINTS[left_by]),)
