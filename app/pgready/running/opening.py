"""The sessions of one run: how each is opened, and what is told of the first."""

from __future__ import annotations

from pgready.core.dsn import Dsn
from pgready.core.errors import AccessDenied, DatabaseMissing, PgreadyError, RoleMissing
from pgready.core.events import Connected
from pgready.core.quoting import exact
from pgready.database.connect import CannotConnect, attempt_seconds, open_session
from pgready.database.refusals import DRIVER_ERRORS
from pgready.database.session import Pooling, Session
from pgready.running.assignment import Assignment
from pgready.running.host import application_name

_THERE = exact(
    """
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::pg_catalog.name),
       EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $2::pg_catalog.name)
"""
)


class Opener:
    """Opens the sessions of a run of *assignment*."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment

    async def open(self, dsn: Dsn, left_seconds: float | None = None) -> Session:
        """A session at *dsn*, for which there are *left_seconds*, or the patience for connecting. Raises
        CannotConnect."""
        left = self._assignment.patience.connect_seconds if left_seconds is None else left_seconds
        return await open_session(
            dsn,
            application_name=application_name(self._assignment.applied_by),
            vouched_pooler=self._assignment.vouched_pooler,
            timeout_seconds=attempt_seconds(dsn, left),
        )

    async def open_target(self) -> Session:
        """Another session at the target."""
        return await self.open(self._assignment.target)

    async def unmade(self, refused: PgreadyError) -> PgreadyError:
        """What to tell who only looks of *refused*, which a bootstrap may cure: what the target lacks.

        The administrator is asked whether a role that the server does not let in is there.
        """
        target, admin = self._assignment.target, self._assignment.admin
        if admin is None or not isinstance(refused, AccessDenied):
            return refused
        try:
            session = await self.open(admin)
            try:
                row = await session.fetchrow(_THERE, target.user, target.database)
            finally:
                await session.close()
        except (CannotConnect, *DRIVER_ERRORS):
            hint = f"{refused.hint}; or is the role not there yet? pgready up creates it"
            return AccessDenied(refused.what, sqlstate=refused.sqlstate, hint=hint)
        has_role, has_database = row or (True, True)
        if has_role:
            return refused
        if not has_database:
            what, hint = f"neither the role {target.user} nor the database exists", "pgready up creates both"
            return DatabaseMissing(f"{target.masked}: {what}", sqlstate=refused.sqlstate, hint=hint)
        what = f"{target.masked}: the role {target.user} does not exist"
        return RoleMissing(what, sqlstate=refused.sqlstate, hint="pgready up creates it")


def connected(session: Session, attempt: int) -> Connected:
    """The event that *session* was opened, at the run's *attempt*."""
    return Connected(
        attempt=attempt,
        server_version=session.server_version,
        database=session.database,
        user=session.user,
        pooler=session.pooling is not Pooling.DIRECT,
    )
