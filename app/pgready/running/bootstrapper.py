"""Creates what is declared and missing, on connections of whoever may create it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pgready.core.dsn import Dsn
from pgready.core.events import Event
from pgready.database import bootstrap
from pgready.database.connect import CannotConnect
from pgready.database.session import Session
from pgready.running.assignment import Assignment

_MAINTENANCE_DATABASES = ("postgres", "template1")


class Bootstrapper:
    """For one run: *open_session* connects as the run does. Raises PgreadyError and CannotConnect."""

    def __init__(
        self,
        assignment: Assignment,
        open_session: Callable[[Dsn], Awaitable[Session]],
        emit: Callable[[Event], None],
    ) -> None:
        self._assignment = assignment
        self._open = open_session
        self._emit = emit

    async def make_cluster(self) -> None:
        """Create the database and the roles, from the maintenance database."""
        admin = await self._open_maintenance(self._assignment.admin or self._assignment.target)
        try:
            await bootstrap.bootstrap_cluster(
                admin,
                self._assignment.declared,
                self._assignment.target.database,
                self._emit,
                target_user=self._assignment.target.user,
                patience_seconds=self._assignment.patience.lock_seconds,
            )
        finally:
            await admin.close()

    async def make_target(self, session: Session) -> None:
        """Create schemas, extensions and grants in the database of *session*, whose lock is held."""
        if not self._assignment.declared:
            return
        admin = None
        if self._assignment.admin is not None:
            admin = await self._open(self._assignment.admin.with_database(session.database))
        try:
            await bootstrap.bootstrap_target(session, self._assignment.declared, self._emit, admin=admin)
        finally:
            if admin is not None:
                await admin.close()

    async def _open_maintenance(self, dsn: Dsn) -> Session:
        problem: CannotConnect | None = None
        # An admin URL names the database to work from; it is only ours to replace where it does not exist.
        own = (dsn.database,) if self._assignment.admin is not None else ()
        for database in (*own, *_MAINTENANCE_DATABASES):
            try:
                return await self._open(dsn.with_database(database))
            except CannotConnect as refused:
                problem = problem or refused
        assert problem is not None
        if problem.missing_database:
            problem.error.hint = "name a database to work from: PGREADY_ADMIN_DATABASE_URL"
        raise problem
