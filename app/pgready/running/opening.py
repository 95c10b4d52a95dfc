"""The sessions of one run: how each is opened, and what is told of the first."""

from __future__ import annotations

from pgready.core.dsn import Dsn
from pgready.core.events import Connected
from pgready.database.connect import attempt_seconds, open_session
from pgready.database.session import Pooling, Session
from pgready.running.assignment import Assignment
from pgready.running.host import application_name


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


def connected(session: Session, attempt: int) -> Connected:
    """The event that *session* was opened, at the run's *attempt*."""
    return Connected(
        attempt=attempt,
        server_version=session.server_version,
        database=session.database,
        user=session.user,
        pooler=session.pooling is not Pooling.DIRECT,
    )
