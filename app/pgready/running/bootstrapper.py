"""Creates what is declared and missing, on connections of whoever may create it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from pgready.core.dsn import Dsn
from pgready.core.errors import SettingsError
from pgready.core.events import Event
from pgready.database import bootstrap, kinship
from pgready.database.connect import CannotConnect
from pgready.database.session import Session
from pgready.running.assignment import Assignment

_MAINTENANCE_DATABASES = ("postgres", "template1")
_OF_ONE_DATABASE = frozenset({"28000", "42501", "53300", "55000"})
"""Refusals that another database of the same server may not share: pg_hba.conf, CONNECT, its limit of
connections, ALLOW_CONNECTIONS."""


class Bootstrapper:
    """For one run: *open_session* connects as the run does. Raises PgreadyError and CannotConnect."""

    def __init__(
        self,
        assignment: Assignment,
        open_session: Callable[[Dsn, float], Awaitable[Session]],
        emit: Callable[[Event], None],
        left_seconds: float,
    ) -> None:
        """*left_seconds* is how long, from now on, whom it connects to may stay silent."""
        self._assignment = assignment
        self._open_session = open_session
        self._emit = emit
        self._deadline = anyio.current_time() + left_seconds

    async def make_cluster(self, session: Session | None = None) -> None:
        """Create the database and the roles, from the maintenance database.

        *session* is one in the target, where that exists already.
        """
        admin = await self._open_maintenance(self._assignment.admin or self._assignment.target)
        try:
            await self._refuse_another_server(admin, session)
            await bootstrap.bootstrap_cluster(
                admin,
                self._assignment.declared,
                self._assignment.target.database,
                self._emit,
                target_user=_acts_as(self._assignment.target),
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
            admin = await self._open_in_target(self._assignment.admin.with_database(session.database))
        try:
            if admin is not None:
                await self._refuse_another_server(admin, session)
            await bootstrap.bootstrap_target(session, self._assignment.declared, self._emit, admin=admin)
        finally:
            if admin is not None:
                await admin.close()

    async def _refuse_another_server(self, admin: Session, session: Session | None) -> None:
        """Raise SettingsError where *admin* leads elsewhere than the target's address.

        Without a *session* in the target another of its server's databases is asked. Where its role is not
        let in there either, it may have to be made first: nothing is proven, and nothing refused.
        """
        if self._assignment.admin is None:
            return
        target = self._assignment.target
        if session is not None:
            related = await kinship.are_on_one_server(session, admin)
        else:
            try:
                beside = await self._open(target.with_database(_MAINTENANCE_DATABASES[0]))
            except CannotConnect:
                return
            try:
                related = await kinship.are_on_one_server(beside, admin)
            finally:
                await beside.close()
        if not related:
            raise self._another_server(admin.dsn)

    def _another_server(self, admin: Dsn) -> SettingsError:
        return SettingsError(
            (
                "the admin URL leads to another server than the target's: "
                f"{admin.masked}, and not that of {self._assignment.target.masked}",
            ),
            hint="mend PGREADY_ADMIN_DATABASE_URL, or the target's URL; nothing was made on either",
        )

    async def _open_in_target(self, admin: Dsn) -> Session:
        """A session of *admin* in the target's database, in which the run has one already."""
        try:
            return await self._open(admin)
        except CannotConnect as refused:
            if refused.missing_database:  # and yet it is there, on the target's server
                raise self._another_server(admin) from refused
            raise

    async def _open(self, dsn: Dsn) -> Session:
        return await self._open_session(dsn, max(0.0, self._deadline - anyio.current_time()))

    async def _open_maintenance(self, dsn: Dsn) -> Session:
        problem: CannotConnect | None = None
        # An admin URL names the database to work from; it is only ours to replace where it does not exist.
        own = (dsn.database,) if self._assignment.admin is not None else ()
        for database in (*own, *_MAINTENANCE_DATABASES):
            try:
                return await self._open(dsn.with_database(database))
            except CannotConnect as refused:
                problem = problem or refused
                if not (refused.missing_database or refused.error.sqlstate in _OF_ONE_DATABASE):
                    break
        assert problem is not None
        if problem.missing_database:
            problem.error.hint = "name a database to work from: PGREADY_ADMIN_DATABASE_URL"
        raise problem


def _acts_as(dsn: Dsn) -> str:
    """The role as which a session of *dsn* works: that of `?role=`, where it sets one."""
    role = dsn.server_settings.get("role", "none")
    return dsn.user if role == "none" else role
