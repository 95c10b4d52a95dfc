"""What the server said about a statement → an error that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.errors import AccessDenied, MigrationFailed, PgreadyError
from pgready.core.masking import masked, spans
from pgready.core.model import Script
from pgready.core.secrets import MASK
from pgready.core.segments import Statement, place

_QUOTED = re.compile(r'"[^"]*"')
_OF_A_CONNECTION = re.compile(r"connection (?:info )?string|connection option|\bURI\b|percent-encoded")
_AROUND = 4096
_COPY_LINE = re.compile(r"^COPY [^,]+, line (\d+)", re.MULTILINE)

_NO_TRANSACTION = (
    "this statement cannot run in a transaction: begin the file with  -- pgready: no-transaction"
)

_CURES: Mapping[str, str] = {
    "25001": _NO_TRANSACTION,
    "2D000": _NO_TRANSACTION,
    "55P04": "a new enum value cannot be used in the transaction that adds it: use it in a file of its own",
    "57014": "the statement was cancelled; where a statement_timeout did it: -- pgready: statement-timeout=0",
    "42501": "the migrating role lacks a privilege: grant it, or set PGREADY_DATABASE_URL to the owner's URL",
}


class ServerReport(Struct, frozen=True):
    """The fields of an ErrorResponse that we use; *position* is an offset into the script, from 0."""

    sqlstate: str
    message: str
    detail: str | None = None
    hint: str | None = None
    context: str | None = None
    position: int | None = None


def explain(
    script: Script,
    report: ServerReport,
    statement: Statement | None,
    *,
    done: str,
    next_command: str,
    part_end: int | None = None,
) -> PgreadyError:
    """The error for *statement* of *script* (None: when its transaction was about to commit, at *part_end*
    where others follow, else at the script's end)."""
    report = _masked(report, script)
    facts = [text for text in (report.detail, _context(report)) if text]
    hints = [text for text in (report.hint, _CURES.get(report.sqlstate), next_command) if text]
    error = AccessDenied if report.sqlstate == "42501" else MigrationFailed
    what = report.message
    if statement is None:
        when = "script's end was reached" if part_end is None else "transaction that ends here was committed"
        what = f"{what} (when the {when})"
    return error(
        what,
        place=place(script, _offset(script, report, statement, part_end)),
        sqlstate=report.sqlstate,
        detail=_joined(facts) or None,
        hint=_joined(hints),
        done=done,
    )


def _joined(texts: list[str]) -> str:
    """*texts* in one line; what the server says ends with a full stop, which a `;` takes the place of."""
    return "; ".join((*(text.removesuffix(".") for text in texts[:-1]), *texts[-1:]))


def _masked(report: ServerReport, script: Script) -> ServerReport:
    """*report* without what was put in for variables of *script*, and without passwords.

    PL/pgSQL's context quotes statements, a message the token that stands at the place, and libpq's pieces of
    a connection string.
    """
    at = report.position
    in_password = at is not None and any(
        begin <= at < end for begin, end in spans(script.text, max(0, at - _AROUND), at + _AROUND)
    )

    def mask(text: str | None) -> str | None:
        if not text:
            return text
        for value in sorted(filter(None, script.values), key=len, reverse=True):
            text = text.replace(value, MASK)
        if in_password or _OF_A_CONNECTION.search(text):
            text = _QUOTED.sub(f'"{MASK}"', text)
        return masked(text)

    return replace(
        report,
        message=mask(report.message) or "",
        detail=mask(report.detail),
        hint=mask(report.hint),
        context=mask(report.context),
    )


def _offset(script: Script, report: ServerReport, statement: Statement | None, part_end: int | None) -> int:
    if report.position is not None:
        return report.position
    if statement is None:
        return len(script.text.rstrip()) if part_end is None else part_end
    row = _COPY_LINE.search(report.context or "") if statement.copy_data else None
    if row and statement.copy_data:
        return _line_start(script.text, statement.copy_data[0], int(row.group(1)))
    return statement.start


def _line_start(text: str, start: int, line: int) -> int:
    for _ in range(line - 1):
        following = text.find("\n", start) + 1
        if not following:
            break
        start = following
    return start


def _context(report: ServerReport) -> str | None:
    return " ← ".join(report.context.splitlines()) if report.context else None
