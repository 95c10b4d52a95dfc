"""`checks/`: queries that must return no row. Ready means that they passed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg

from pgready.core.compile import compile_script
from pgready.core.diagnostics import ServerReport, explain
from pgready.core.errors import ChecksFailed, PgreadyError, first_of
from pgready.core.events import CheckFailed, Event
from pgready.core.model import Script
from pgready.core.segments import Statement, place
from pgready.database.refusals import lost_connection
from pgready.database.session import Session

_SHOWN_ROWS = 3


async def run_checks(session: Session, checks: Sequence[Script], emit: Callable[[Event], None]) -> None:
    """Run every query of *checks*, read-only. Raises ChecksFailed naming all that returned rows."""
    failures: list[tuple[Script, Statement, list[asyncpg.Record]]] = []
    for check in checks:
        for segment in compile_script(check).segments:
            for statement in segment.statements:
                rows = await _rows(session, check, statement)
                if rows:
                    emit(CheckFailed(check.path, len(rows)))
                    failures.append((check, statement, rows))
    if failures:
        raise _failed(failures)


async def _rows(session: Session, check: Script, statement: Statement) -> list[asyncpg.Record]:
    """The first rows that the query returns; one more than is shown, to tell that there are more."""
    query = check.text[statement.start : statement.end]
    try:
        async with session.rolled_back_on_failure():
            await session.execute("BEGIN READ ONLY; SET LOCAL lock_timeout = 0")
            cursor = await session.connection.cursor(query)
            rows: list[asyncpg.Record] = await cursor.fetch(_SHOWN_ROWS + 1)
            await session.execute("ROLLBACK")
    except asyncpg.PostgresError as problem:
        if lost_connection(problem):
            raise
        raise _broken(check, statement, problem) from problem
    return rows


def _broken(check: Script, statement: Statement, problem: asyncpg.PostgresError) -> PgreadyError:
    position = getattr(problem, "position", None)
    report = ServerReport(
        sqlstate=problem.sqlstate or "",
        message=str(problem.args[0]) if problem.args else "",
        detail=getattr(problem, "detail", None),
        hint=getattr(problem, "hint", None),
        position=None if position is None else statement.start + int(position) - 1,
    )
    return explain(
        check, report, statement, done="all migrations are applied", next_command="mend it, then: pgready up"
    )


def _failed(failures: Sequence[tuple[Script, Statement, list[asyncpg.Record]]]) -> ChecksFailed:
    """The values are in the detail alone, which is not for everybody (`service.discretion`)."""
    script, statement, rows = failures[0]
    shown = [", ".join(f"{name}={value}" for name, value in row.items()) for row in rows[:_SHOWN_ROWS]]
    others = ", ".join(first_of(list(dict.fromkeys(check.path for check, _, _ in failures[1:]))))
    also = f"; so did: {others}" if others else ""
    return ChecksFailed(
        f"the check returned {_counted(rows)} ({', '.join(rows[0].keys())}), and must return none{also}",
        place=place(script, statement.start),
        detail="; ".join(shown) + (" and more" if len(rows) > _SHOWN_ROWS else ""),
        done="all migrations are applied; the target is not ready",
        hint="mend the data or the schema in a new migration, then: pgready up",
    )


def _counted(rows: Sequence[asyncpg.Record]) -> str:
    if len(rows) > _SHOWN_ROWS:
        return f"more than {_SHOWN_ROWS} rows"
    return f"{len(rows)} row{'s' if len(rows) != 1 else ''}"
