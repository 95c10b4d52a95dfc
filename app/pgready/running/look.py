"""What a look at the target finds: the plan, the work that is left, and what must be made first.

The same look serves the lock-free fast path, the second look under the lock, `plan` and `status`. It
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import anyio.lowlevel
from asyncpg import PostgresError
from msgspec import Struct
from msgspec.structs import replace

from pgready.core import planning, resumption
from pgready.core.bootstrap import Declared
from pgready.core.dsn import Dsn
from pgready.core.errors import PgreadyError, Place, ScriptError
from pgready.core.events import DriftFound, Event, HistoryLocked, Planned
from pgready.core.ladder import LAST_MS
from pgready.core.model import History, Kind, LockHolder, Script, TableName
from pgready.core.needs import Needs
from pgready.core.planning import Finding, Plan, Policies, Severity, Work
from pgready.core.segments import SegmentKind, place
from pgready.database import history, lock
from pgready.database.refusals import LOCK_CODES
from pgready.database.session import Session
from pgready.dialects.base import Dialect
from pgready.dialects.native import HANDOVER, HISTORY, JOURNAL, Native
from pgready.running import reasons
from pgready.running.source import Source, all_refused
from pgready.running.watch import Watcher

if TYPE_CHECKING:  # what applies is loaded where there is something to apply
    from pgready.running.apply import Applier

_AT_ONCE = 16
"""Scripts that are compiled between two turns of the event loop, in which a daemon answers probes."""

_COMPILED_BEFORE_THE_LOCK = 100
"""Where no more are pending, what is wrong with them is told without waiting for the lock. More are left to
whoever gets it: fifty replicas that start at once would compile them fifty times."""


class Sight(Struct, frozen=True):
    """One look: *plan*, *work* (its pending part), what is missing, and the lock's keys.

    *keyed*: the dialect's history has its primary key. *taken_back* are the versions of which a `down` has
    begun and not ended, *left_over* those that are recorded while the journal has parts of them.
    """

    plan: Plan
    work: tuple[Work, ...]
    needs: Needs
    create_history: bool
    create_native: bool
    keys: lock.LockKeys
    columns: frozenset[str]
    tables: frozenset[TableName]
    keyed: bool
    taken_back: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()

    @property
    def bootstrap(self) -> bool:
        return self.needs.cluster or self.needs.target or self.create_history or self.create_native

    @property
    def bootstrap_or_work(self) -> bool:
        """Whether `up` would change anything."""
        return self.bootstrap or bool(self.work)


class Looker:
    """Looks at a target for *source*'s migrations."""

    def __init__(
        self,
        source: Source,
        policies: Policies,
        declared: Declared,
        emit: Callable[[Event], None],
        *,
        read_only: bool = False,
        idle_namespace: str = "",
    ) -> None:
        """*idle_namespace* was given, and keeps nothing apart."""
        self._read_only = read_only
        self._idle_namespace = idle_namespace
        self._source = source
        self._policies = policies
        self._declared = declared
        self._emit = emit
        self._passwords_compared = False

    @property
    def checks(self) -> Sequence[Script]:
        return self._source.folder.checks

    async def look(self, session: Session, *, under_lock: bool, looks_again: bool = False) -> Sight:
        """Read the history, plan, and compile all that is pending before the first of it runs.

        Whoever *looks_again* under the lock may leave it to then.
        """
        dialect = self._source.dialect
        dialect.settle(session.schema)
        tables, found = await history.read(session, dialect, self._source.folder, read_only=self._read_only)
        candidates = self._source.folder.candidates
        if len(candidates) > 1 and not (dialect.presumed and _holds_versions(found)):
            from pgready.running import choice  # whoever came from another's history may have left that

            await choice.verify(session, dialect, candidates)
        if dialect.table not in tables and dialect.table != HISTORY:
            from pgready.running import choice

            await choice.refuse_elsewhere(session, dialect)
        plan = planning.plan(self._source.folder, found, self._policies)
        if any(entry.migration is None for entry in plan.entries):
            from pgready.core import renames  # most folders have a file for every row

            plan = renames.refused(plan)
        problems: list[Finding] = []
        if looks_again and len(plan.pending) > _COMPILED_BEFORE_THE_LOCK:
            work = tuple(map(resumption.work, plan.pending))
        else:
            work, problems = await self._compile(plan, found)
        problems += resumption.orphans(plan, found, dialect.identity)
        left_over = resumption.left_over(plan, found)
        problems += map(resumption.told_left_over, left_over)
        if found.taken_back:
            from pgready.core import reverting  # hardly ever

            problems += reverting.interrupted(plan, found, dialect.identity)
        problems += self._remarks()
        if plan.pending and HANDOVER in tables:
            from pgready.running import handover  # hardly anybody changes the tool

            if handed_over := await handover.findings(session, dialect):
                plan = replace(plan, findings=handed_over)  # changed files are not ours to accept any more
        if problems:
            plan = replace(plan, findings=(*plan.findings, *problems))
        needs = await self._needs(session)
        self._emit(Planned(plan, under_lock, dialect.name, work))
        if not under_lock:
            for drift in needs.at_rest:
                self._emit(DriftFound(drift.what, drift.name, drift.difference))
        return Sight(
            plan=plan,
            work=work,
            needs=needs,
            create_history=bool(work) and dialect.table not in tables,
            create_native=self._needs_native(work) and not {HISTORY, JOURNAL} <= tables.columns.keys(),
            keys=lock.keys_for(dialect.table, dialect.lock_keys(session.database)),
            columns=tables.columns.get(dialect.table, frozenset()),
            tables=frozenset(tables.columns),
            keyed=dialect.table in tables.keyed,
            taken_back=found.taken_back,
            left_over=left_over,
        )

    async def look_at_none(self, target: Dsn) -> Sight:
        """What a look at *target* would find in the database that is not there yet. Asks nobody."""
        from pgready.database import bootstrap

        dialect, candidates = self._source.dialect, self._source.folder.candidates
        if len(candidates) > 1 and not dialect.presumed:
            from pgready.running import choice

            raise choice.undecided(candidates)
        found = History(exists=False)
        plan = planning.plan(self._source.folder, found, self._policies)
        work, problems = await self._compile(plan, found)
        problems = [_unmade(target.database), *problems, *self._remarks()]
        plan = replace(plan, findings=(*plan.findings, *problems))
        self._emit(Planned(plan, False, dialect.name, work))
        return Sight(
            plan=plan,
            work=work,
            needs=bootstrap.needs_of_none(self._declared, target.database, target.user),
            create_history=bool(work),
            create_native=self._needs_native(work),
            keys=lock.keys_for(dialect.table, dialect.lock_keys(target.database)),
            columns=frozenset(),
            tables=frozenset(),
            keyed=False,
        )

    def _remarks(self) -> Iterator[Finding]:
        """What is said of the dialect and the settings, whatever the target holds."""
        dialect = self._source.dialect
        if not dialect.proven:
            yield _unproven(dialect)
        if self._idle_namespace:
            yield _idle(dialect, self._idle_namespace)

    async def tell_locked(
        self, session: Session, problem: PostgresError, waited_seconds: float
    ) -> tuple[LockHolder, ...]:
        """Tell who keeps the history from being read, and return them. Raises *problem* where nobody does."""
        if problem.sqlstate not in LOCK_CODES:
            raise problem
        holders = await history.holders(session, self._source.dialect)
        self._emit(HistoryLocked(waited_seconds, holders))
        return holders

    def _needs_native(self, work: Sequence[Work]) -> bool:
        """Whether our own tables are needed: for the journal, or for what a peer's history does not keep."""
        dialect = self._source.dialect
        if dialect.table == HISTORY:
            return bool(work)
        return any(
            _journaled(each) or not dialect.keeps(self._source.migration(each.kind, each.version))
            for each in work
        )

    async def _needs(self, session: Session) -> Needs:
        if not self._declared:
            return Needs()
        from pgready.database import bootstrap  # loaded where something is declared

        compare = not (self._read_only or self._passwords_compared)
        return await bootstrap.look(session, self._declared, compare_passwords=compare)

    async def _compile(self, plan: Plan, found: History) -> tuple[tuple[Work, ...], list[Finding]]:
        work: list[Work] = []
        findings: list[Finding] = []
        refused: list[PgreadyError] = []
        for number, entry in enumerate(plan.pending, 1):
            if not number % _AT_ONCE:
                await anyio.lowlevel.checkpoint()
            try:
                script = await self._source.compiled(entry.kind, entry.version)
            except ScriptError as problem:
                refused.append(problem)
                continue
            outdated = resumption.outdated(entry, found, script.segments)
            finding = None if outdated else resumption.hindrance(entry, found, script.segments)
            if finding is not None:
                findings.append(finding)
            if script.is_empty and entry.kind is Kind.VERSIONED:
                from pgready.core import blanks  # hardly ever

                findings.append(blanks.pending(entry))
            work.append(resumption.work(entry, script.segments, outdated))
        if refused:
            raise all_refused(refused)
        return tuple(work), findings

    async def create_tables(self, session: Session, sight: Sight) -> None:
        """Create the history (and journal) tables that *sight* lacks, fenced. The lock must be held."""
        self._passwords_compared = True
        scripts = []
        if sight.create_history:
            scripts.append(self._source.dialect.create_history())
        if sight.create_native and self._source.dialect.table != HISTORY:
            scripts.append(Native().create_history())
        if scripts:
            from pgready.database import execute
            from pgready.running.frames import BEGIN

            opening = [BEGIN, *lock.fence(session, sight.keys, LAST_MS)]
            await execute.run_plain(session, opening, [*scripts, "COMMIT"])

    def applier(
        self,
        session: Session,
        sight: Sight,
        watcher: Watcher,
        *,
        version: str,
        applied_by: str,
        timeout_ms: int,
        lock_seconds: float,
        applied_before: int,
    ) -> Applier:
        """Who applies *sight*'s work on *session*."""
        from pgready.database import journal
        from pgready.running.apply import Applier
        from pgready.running.frames import Frames
        from pgready.running.tables import Tables

        tables = Tables(self._source.dialect, sight.columns, keyed=sight.keyed)
        marks = journal.Journal(self._source.dialect, applied_by)
        frames = Frames(
            session,
            sight.keys,
            self._source,
            tables,
            marks,
            applied_by=applied_by,
            pgready_version=version,
            statement_timeout_ms=timeout_ms,
            taken_back=sight.taken_back,
        )
        return Applier(
            session,
            sight.keys,
            self._source,
            tables,
            marks,
            frames,
            sight.work,
            watcher,
            self._emit,
            applied_by=applied_by,
            lock_seconds=lock_seconds,
            applied_before=applied_before,
        )

    def refuse_singles(self, session: Session, sight: Sight) -> None:
        """Raise PoolerError when *sight* has work that cannot run in a transaction."""
        from pgready.database import pooler

        for work in sight.work:
            if SegmentKind.SINGLE in work.compiled[work.next :]:
                raise pooler.unproven_pooler_with_singles(session, work.version)

    async def stays(self, plan: Plan, begun: tuple[Kind, str] | None, before: int) -> str | None:
        """What stays of what this run has *begun*, where some of it is done, and it is not complete; *before*
        it so many were applied."""
        for entry in plan.pending:
            done, started = entry.segments_done, entry.segment_started
            if begun == (entry.kind, entry.version) and entry.migration and (done or started):
                script = await self._source.compiled(*begun)
                if done <= len(script.segments):  # or another's file has more, and it was somebody else
                    return reasons.done_so_far(entry.migration, script, done, before, undone=not started)
        return None

    async def place(self, kind: Kind, version: str, segment: int) -> Place:
        """Where in its file a segment starts."""
        script = self._source.migration(kind, version).script
        compiled = await self._source.compiled(kind, version)
        return place(script, compiled.segments[segment].statements[0].start)


def _holds_versions(found: History) -> bool:
    """Whether it says anything of versions: the native tables also serve what a peer's history lacks."""
    rows = [row.kind for row in found.applied] + [mark.kind for mark in found.journal]
    return Kind.VERSIONED in rows


def _unmade(database: str) -> Finding:
    message = f"the database {database} does not exist: what is said is of an empty one"
    hint = "is it the right name? pgready up creates it, where the role may"
    return Finding(Severity.WARNING, "", None, message, hint)


def _unproven(dialect: Dialect) -> Finding:
    message = f"the dialect {dialect.name} is unproven: the tool itself has not been run against it yet"
    return Finding(Severity.WARNING, "", None, message, "look at the plan before the first run")


def _idle(dialect: Dialect, namespace: str) -> Finding:
    message = (
        f"the namespace {namespace} keeps nothing apart: "
        f"{dialect.name}'s history {dialect.table} has the versions of every folder"
    )
    hint = "a second folder needs a table of its own: --history-table; else leave --namespace out"
    return Finding(Severity.WARNING, "", None, message, hint)


def _journaled(work: Work) -> bool:
    segments = work.segments or ()  # not compiled: the look under the lock will tell
    return len(segments) > 1 or SegmentKind.SINGLE in segments
