"""What a refused statement is told as: the script's fault, or something about the table that records it."""

from __future__ import annotations

import asyncpg

from pgready.core.diagnostics import explain
from pgready.core.errors import AccessDenied, Diverged, MigrationFailed, PgreadyError
from pgready.core.model import Script, TableName
from pgready.database import history
from pgready.database.journal import RECORDED_MEANWHILE
from pgready.database.refusals import UNCONVERTED, StatementRefused
from pgready.database.session import Session
from pgready.dialects.native import JOURNAL

_GONE = "the script removed that table, or somebody else did: it keeps what is applied, so let it stand"
_CURES = {
    "25006": "the script made its transaction read-only: remove that",
    "3F000": _GONE,
    "42P01": _GONE,
    **dict.fromkeys(
        UNCONVERTED,
        "the script is not at fault: the database's encoding lacks a character of the file's name",
    ),
}
_NOT_THE_SCRIPT = "the script is not at fault: look at that table"


async def explained(
    session: Session,
    refused: StatementRefused,
    script: Script,
    *,
    version: str,
    records: TableName,
    done: str,
    then: str,
    cure: str | None = None,
    part_end: int | None = None,
) -> PgreadyError:
    """The error for what was *refused* of *script*, or of what is written about it in the table *records*.

    *cure* is what to do about the script where that is not to mend it, and *then*. *part_end* is where in the
    script the part ends that was refused, if it is not the last.
    """
    if not refused.ours:
        next_command = cure or f"mend it, then: {then}"
        report, statement = refused.report, refused.statement
        return explain(script, report, statement, done=done, next_command=next_command, part_end=part_end)
    report = refused.report
    if RECORDED_MEANWHILE in report.message:
        return Diverged(
            f"{version}: {records} has another row that says that it is applied",
            hint=f"delete the one that is too many, then: {then}",
            done=done,
        )
    denied = report.sqlstate == "42501"
    cure = await _grants(session, records) if denied else _CURES.get(report.sqlstate, _NOT_THE_SCRIPT)
    hints = (report.hint, cure, f"then: {then}")
    error = AccessDenied if denied else MigrationFailed
    return error(
        f"what became of {version} could not be recorded in {records}: {report.message}",
        sqlstate=report.sqlstate,
        detail=report.detail,
        hint="; ".join(hint.removesuffix(".") for hint in hints if hint),
        done=done,
    )


async def _grants(session: Session, records: TableName) -> str:
    try:
        grants = await history.grants(session, (records, JOURNAL))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # what was refused is told all the same
        grants = []
    return "; ".join((*grants, "or use the owner's URL" if grants else "grant it, or use the owner's URL"))
