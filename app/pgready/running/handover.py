"""Whether a history was handed over: `eject` and `adopt` leave folders behind that somebody may still run.

An old replica, or a person who gives yesterday's command, would run again what the other history holds now.
A table that everybody may read remembers who went where; a history that is gone on with again leaves it.
"""

from __future__ import annotations

from msgspec import Struct

from pgready.core.errors import Diverged
from pgready.core.planning import Finding, Severity
from pgready.core.quoting import create_schema, fill
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.dialects.native import HANDOVER, Native
from pgready.running.look import Sight

CREATE = (
    f"{create_schema(HANDOVER.schema)};"
    + """
CREATE TABLE IF NOT EXISTS pgready.handover (
    history     pg_catalog.text PRIMARY KEY,
    heir        pg_catalog.text NOT NULL,
    recorded_at timestamp with time zone NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
GRANT USAGE ON SCHEMA pgready TO PUBLIC;
GRANT SELECT ON pgready.handover TO PUBLIC
"""
)

_LIVES = "DELETE FROM pgready.handover WHERE history OPERATOR(pg_catalog.=) :heir"

_LEAVES = """
INSERT INTO pgready.handover (history, heir) VALUES (:history, :heir)
ON CONFLICT (history) DO UPDATE SET heir = excluded.heir, recorded_at = excluded.recorded_at
"""

_WHERE = """
SELECT heir, pg_catalog.to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') AS since
FROM pgready.handover WHERE history OPERATOR(pg_catalog.=) :history
"""

_WENT = {"eject": "handed over to", "adopt": "taken over by"}

_HINTS = {
    "eject": "go on with the other tool's folder: --dir and --dialect; to come back: pgready adopt; "
    "to begin anew beside it: --namespace",
    "adopt": "go on with the folder that was written: --dir, --dialect native; to come back: pgready eject",
}


class _Heir(Struct, frozen=True):
    heir: str
    since: str


def pass_on(sight: Sight, history: Dialect, heir: Dialect) -> tuple[str, ...]:
    """Statements that record, where *sight* was seen, that *heir* goes on with what was *history*'s."""
    create = () if HANDOVER in sight.tables else (CREATE,)
    lives = fill(_LIVES, heir=heir.identity)
    return (*create, lives, fill(_LEAVES, history=history.identity, heir=heir.identity))


async def refuse(session: Session, dialect: Dialect, sight: Sight) -> None:
    """Raise Diverged where *dialect*'s history was handed over: what it says is nobody's to change."""
    if HANDOVER in sight.tables and (found := await findings(session, dialect)):
        raise Diverged(found[0].message, hint=found[0].hint, done="nothing was run")


async def findings(session: Session, dialect: Dialect) -> tuple[Finding, ...]:
    """Why nothing that is pending in *dialect*'s history may run; asked where there is the table."""
    rows = await session.read(fill(_WHERE, history=dialect.identity), _Heir)
    if not rows:
        return ()
    [went] = rows
    left_by = "eject" if dialect.name == Native.name else "adopt"
    message = (
        f"the history {dialect.identity} was {_WENT[left_by]} {went.heir} (pgready {left_by}, {went.since}): "
        "what is pending or applied here is that history's to say"
    )
    return (Finding(Severity.ERROR, "", None, message, _HINTS[left_by]),)
