"""The daemon's one connection between its runs: a cheap glance every few seconds, a look where it differs.

It holds no transaction and no lock, and is closed before a run opens its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from pgready.core.errors import PgreadyError
from pgready.core.events import Event, Planned, ReadyReached
from pgready.core.model import Kind
from pgready.core.outstanding import Outstanding, Times, outstanding, times, without_superseded
from pgready.core.planning import Finding, Flag, Plan
from pgready.database import marks
from pgready.database.connect import CannotConnect, attempt_seconds, open_session
from pgready.database.marks import Marker
from pgready.database.refusals import lost_connection
from pgready.database.session import Pooling, Session
from pgready.dialects.native import HISTORY, JOURNAL
from pgready.running import assemble, reasons
from pgready.running.host import application_name, host_name
from pgready.running.look import Looker, Sight
from pgready.running.source import Source
from pgready.settings import Settings, required_target

_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 300.0  # it compiles what is pending; each of its queries is bounded by the server

_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Unreachable(Exception):
    """The target cannot be reached: why, in a sentence."""

    def __init__(self, reason: str, *, missing_database: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing_database = missing_database


class View(Struct, frozen=True):
    """What a look saw: what a run would do, and pending migrations that hold no statement yet.

    *mark* is from before the look; *news* is the plan, where it is another one than was told before.
    """

    mark: str
    news: Planned | None
    outstanding: Outstanding
    lacking: bool
    unwritten: tuple[str, ...]


class Refused(Exception):
    """The folder, the settings or the history cannot be used; a run would say why. *mark* is as before."""

    def __init__(self, mark: str) -> None:
        super().__init__(mark)
        self.mark = mark


class Busy(Exception):
    """The history is locked just now."""


class Vigil:
    """Watches one target with the settings that *reload* gives.

    Every method connects where need be, and raises Unreachable, without a connection, where the target
    cannot be asked.
    """

    def __init__(self, reload: Callable[[], Settings]) -> None:
        self._reload = reload
        self._session: Session | None = None
        self._marker: Marker | None = None
        self._tables = frozenset({HISTORY, JOURNAL})
        self._known: Times = {}
        self._told: _Gist | None = None
        self._planned: Planned | None = None

    def listen(self, event: Event) -> None:
        """Take note of what is told."""
        match event:
            case Planned(plan):
                self._told = _gist(plan)
            case ReadyReached() if self._told is not None:
                self._told = replace(self._told, pending=False)

    async def mark(self) -> str | None:
        """What tells that the history is as it was; None while it is locked."""
        async with self._reached() as session:
            if self._marker is None or self._marker.tables != self._tables:
                self._marker = Marker(session, self._tables)
            return await self._marker.mark()

    async def unrest(self) -> tuple[str, str | None]:
        """How many relations the target has, and who is at work in it."""
        async with self._reached() as session:
            return await marks.relations(session), await marks.at_work(session)

    async def look(self, *, ours: bool, find_unwritten: bool) -> View:
        """What a run would do now. *ours*: it is our files that changed, so they count, even where
        somebody has applied another form of them. Raises Refused, Busy."""
        try:
            settings = self._reload()
            source = await assemble.read_source(settings)
            looker = assemble.looker_of(settings, source, self._hear)
        except PgreadyError as error:
            raise Refused(await self._known_mark()) from error
        async with self._reached() as session:
            source.dialect.settle(session.schema)
        self._tables = frozenset({HISTORY, JOURNAL, source.dialect.table})
        mark = await self._known_mark()
        async with self._reached(_LOOK_SECONDS) as session:
            sight = await _look(looker, session, mark)
        plan = sight.plan if ours else without_superseded(sight.plan, self._known)
        self._known = times(plan, self._known)
        news = self._news(plan)
        unwritten = await _unwritten(source, plan) if find_unwritten else ()
        return View(mark, news, outstanding(plan), sight.needs.cluster or sight.needs.target, unwritten)

    def _news(self, plan: Plan) -> Planned | None:
        """The look's own event with *plan* in the place of its own, unless that was told before."""
        if _gist(plan) == self._told or self._planned is None:
            return None
        pending = {(entry.kind, entry.version) for entry in plan.pending}
        work = tuple(each for each in self._planned.work if (each.kind, each.version) in pending)
        return replace(self._planned, plan=plan, work=work)

    async def close(self) -> None:
        """Hang up; no-op without a connection."""
        session, self._session, self._marker = self._session, None, None
        if session is not None:
            await session.close()

    async def _known_mark(self) -> str:
        mark = await self.mark()
        if mark is None:
            raise Busy
        return mark

    @asynccontextmanager
    async def _reached(self, seconds: float = _ANSWER_SECONDS) -> AsyncIterator[Session]:
        """The connection, and whatever goes wrong with it as Unreachable."""
        try:
            session = self._session or await self._open()
            with anyio.fail_after(seconds):
                yield session
        except CannotConnect as problem:
            raise Unreachable(problem.error.what, missing_database=problem.missing_database) from problem
        except TimeoutError as problem:
            await self.close()
            raise Unreachable("the server does not answer") from problem
        except _DRIVER_ERRORS as problem:
            await self.close()
            raise Unreachable(reasons.unexpected(problem).what) from problem

    async def _open(self) -> Session:
        try:
            settings = self._reload()
            target = required_target(settings)
        except PgreadyError as error:  # settings that cannot be read: the run that they are for will say so
            raise Unreachable(error.what) from error
        session = await open_session(
            target,
            application_name=application_name(host_name()),
            vouched_pooler=settings.pooler == "session",
            timeout_seconds=attempt_seconds(target, settings.connect_timeout_seconds),
        )
        self._session = session
        if session.pooling is not Pooling.UNPROVEN:  # there the next transaction may be on another backend
            await session.set_own(round(1000 * _ANSWER_SECONDS))
        return session

    def _hear(self, event: Event) -> None:
        """Hold back what the run has said already; the plan is news once it is weighed."""
        if isinstance(event, Planned):
            self._planned = event


async def _look(looker: Looker, session: Session, mark: str) -> Sight:
    try:
        return await looker.look(session, under_lock=False)
    except PgreadyError as error:
        raise Refused(mark) from error
    except asyncpg.PostgresError as problem:
        if lost_connection(problem):
            raise
        raise Busy if problem.sqlstate in marks.BUSY else Refused(mark) from problem


class _Gist(Struct, frozen=True):
    """What makes a plan worth telling again; who applied what and when, its run has told."""

    entries: tuple[tuple[Kind, str, tuple[Flag, ...]], ...]
    findings: tuple[Finding, ...]
    pending: bool


def _gist(plan: Plan) -> _Gist:
    entries = tuple((entry.kind, entry.version, entry.flags) for entry in plan.entries)
    return _Gist(entries, plan.findings, bool(plan.pending))


async def _unwritten(source: Source, plan: Plan) -> tuple[str, ...]:
    """The files of pending migrations that hold no statement."""
    found: list[str] = []
    for entry in plan.pending:
        if entry.kind is Kind.VERSIONED:
            script = await source.compiled(entry.kind, entry.version)
            if script.is_empty:
                found.append(source.migration(entry.kind, entry.version).script.path)
    return tuple(found)
