"""What the server says no to: the opening, a statement, or the connection as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from pgready.core.segments import Statement

if TYPE_CHECKING:
    from pgready.core.diagnostics import ServerReport


LOCK_CODES = frozenset({"55P03", "40P01", "40001"})
"""A lock was not to be had, and the same may succeed later."""

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that the driver raises."""


UNCONVERTED = frozenset({"22P05", "22021"})
"""A character that the database's encoding lacks, or has no bytes for."""


class OpeningRefused(Exception):
    """A statement of the opening failed: we do not hold the lock, or the version is recorded already."""


class StatementRefused(Exception):
    """The server refused something of the segment; the transaction was rolled back.

    *statement* is the failing one (None: in the closing, as with a deferred constraint) and *offset* the
    character of the script that the server points at, where it does. *ours* is True of what we write behind
    the script, its record: the script is not at fault. *committed*: before it failed outside a transaction it
    may have committed something, which stays.
    """

    def __init__(
        self,
        problem: asyncpg.PostgresError,
        statement: Statement | None,
        offset: int | None,
        *,
        ours: bool = False,
        committed: bool = False,
    ) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.statement = statement
        self.offset = offset
        self.ours = ours
        self.committed = committed

    @property
    def report(self) -> ServerReport:
        """What the server said, with the place in the script."""
        from pgready.core.diagnostics import ServerReport

        return ServerReport(
            sqlstate=self.problem.sqlstate or "",
            message=str(self.problem.args[0]) if self.problem.args else "",
            detail=getattr(self.problem, "detail", None),
            hint=getattr(self.problem, "hint", None),
            context=getattr(self.problem, "context", None),
            position=self.offset,
        )


def lost_connection(problem: BaseException) -> bool:
    """Whether *problem* means that the connection is gone, so that nobody knows what happened."""
    if isinstance(problem, asyncpg.PostgresError):
        if getattr(problem, "severity_en", None) == "ERROR":
            return False  # the session goes on, whatever the code: dblink has lost another connection
        code = problem.sqlstate or ""
        return code.startswith(("08", "57P")) or code == "25P03" or code == "25P04"
    return isinstance(problem, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError)
