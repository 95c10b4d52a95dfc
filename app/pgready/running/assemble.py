"""The one composition root: from settings to what makes a target ready, or only looks at it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from pgready import __version__, files
from pgready.core.bootstrap import Declared, with_passwords
from pgready.core.errors import SettingsError
from pgready.core.events import EmbeddedStarted, Event, Located, ServerNotice
from pgready.core.patience import Patience
from pgready.dialects import detect
from pgready.dialects.base import Dialect, Surroundings
from pgready.dialects.native import HISTORY, Native
from pgready.running.ahead import FirstSession
from pgready.running.assignment import Assignment
from pgready.running.host import host_name
from pgready.running.look import Looker
from pgready.running.runner import Run
from pgready.running.source import Source
from pgready.settings import Settings, required_target

if TYPE_CHECKING:  # what only the commands of the bookkeeping need
    from pgready.core.planning import Plan
    from pgready.core.reverting import Goal
    from pgready.database.embedded import EmbeddedServer
    from pgready.database.session import Session
    from pgready.running.look import Sight
    from pgready.running.recording import Author, Planner, Recording
    from pgready.running.repair import Answer
    from pgready.running.reverter import Agreement
    from pgready.running.takeover import Takeover

Emit = Callable[[Event], None]


class ByHand(Struct, frozen=True):
    """How the history is changed by hand: *reason* is for the audit; a *dry_run* records nothing."""

    reason: str | None = None
    dry_run: bool = False

    def dry(self) -> ByHand:
        return replace(self, dry_run=True)


@asynccontextmanager
async def located(settings: Settings, emit: Emit) -> AsyncIterator[Settings]:
    """*settings* with a target: the configured one, or an embedded PostgreSQL that runs meanwhile.

    Emits where it is. Raises SettingsError where nothing is configured.
    """
    if settings.embedded is None:
        emit(Located(required_target(settings).masked))
        yield settings
        return
    from pgready.database import embedded

    async with embedded.running(_directory(settings), environ=os.environ) as server:
        yield _on(server, settings, emit)


async def keep_embedded(settings: Settings, emit: Emit, moved: Callable[[Settings], None]) -> None:
    """Start the embedded PostgreSQL of *settings* again whenever it has died, until cancelled.

    *moved* gets the settings with its target; the port is another one where somebody else took it meanwhile.
    """
    from pgready.database import embedded

    await embedded.keep_running(
        _directory(settings),
        environ=os.environ,
        again=lambda server: moved(_on(server, settings, emit)),
        failed=lambda error: emit(ServerNotice("WARNING", f"{error.what}: {error.detail}", None)),
    )


def _directory(settings: Settings) -> Path:
    from pgready.database import embedded

    return Path(settings.embedded) if settings.embedded else embedded.DEFAULT_DIRECTORY


def _on(server: EmbeddedServer, settings: Settings, emit: Emit) -> Settings:
    """*settings* with *server* as target, which is told."""
    emit(
        EmbeddedStarted(
            version=server.version,
            directory=str(server.directory),
            psql=server.psql(DATABASE),
            created=server.created,
            adopted=server.adopted,
        )
    )
    target = server.dsn.with_database(DATABASE)
    emit(Located(target.masked))
    return replace(settings, target=target, admin=server.dsn)


DATABASE = "app"
"""The database that an embedded PostgreSQL is bootstrapped with."""


async def read_source(settings: Settings) -> Source:
    """The migration folder of *settings*, read and understood. Raises FolderError, ScriptError."""
    found = await anyio.to_thread.run_sync(files.read_folder, settings.dir, abandon_on_cancel=True)
    around = surroundings(settings)
    dialect, folder = detect.read(
        found, dialect=settings.dialect, namespace=settings.namespace, around=around
    )
    return Source(dialect, folder)


def surroundings(settings: Settings) -> Surroundings:
    """What a dialect may know of the process and its target."""
    return Surroundings(
        table=settings.history_table or "",
        table_from=settings.origins["history_table"],
        environ=os.environ,
        user=settings.target.user if settings.target else "",
        database=settings.target.database if settings.target else "",
        timestamp=time.strftime("%Y-%m-%d %H:%M:%S"),
    )


def run_of(
    settings: Settings,
    source: Source,
    emit: Emit,
    *,
    read_only: bool = False,
    both: bool = False,
    first: FirstSession | None = None,
) -> Run:
    """A run of *source* against the target of *settings*; a *read_only* one is for `look_only`. *first* is
    an attempt to connect that is under way, *both* as for `looker_of`."""
    looker = looker_of(settings, source, emit, read_only=read_only, both=both)
    return Run(assignment(settings), looker, emit, first)


def looker_of(
    settings: Settings, source: Source, emit: Emit, *, read_only: bool = False, both: bool = False
) -> Looker:
    """Who looks at a target for the migrations of *source*; for *both* histories, where the namespace
    says which native one."""
    return Looker(
        source,
        settings.policies,
        declared(settings),
        emit,
        read_only=read_only,
        idle_namespace="" if both else _idle_namespace(settings, source.dialect),
    )


def _idle_namespace(settings: Settings, dialect: Dialect) -> str:
    """The namespace, where one was given that keeps no folder apart: a peer's history has none."""
    if settings.namespace == Native().namespace or dialect.name == Native.name or settings.history_table:
        return ""
    has_own_table = dialect.table.name != detect.make(dialect.name).table.name
    return "" if has_own_table else settings.namespace


def declared(settings: Settings) -> Declared:
    """What is declared, with the passwords as their files hold them now: they may have been rotated."""
    try:
        return with_passwords(settings.declared, _read_secret, os.environ)
    except ValueError as problem:
        raise SettingsError(tuple(str(problem).splitlines())) from None


def assignment(settings: Settings) -> Assignment:
    return Assignment(
        target=required_target(settings),
        admin=settings.admin,
        declared=declared(settings),
        policies=settings.policies,
        patience=Patience(
            connect_seconds=settings.connect_timeout_seconds,
            lock_seconds=settings.lock_timeout_seconds,
            relation_lock_seconds=settings.relation_lock_timeout_seconds,
        ),
        vouched_pooler=settings.pooler == "session",
        statement_timeout_ms=round(settings.statement_timeout_seconds * 1000),
        applied_by=host_name(),
        pgready_version=__version__,
    )


async def prepare(
    settings: Settings, emit: Emit, *, read_only: bool = False, first: FirstSession | None = None
) -> Run:
    """A run that makes the target of *settings* (see `located`) ready; *first* as for `run_of`."""
    return run_of(settings, await read_source(settings), emit, read_only=read_only, first=first)


async def repair(
    settings: Settings, emit: Emit, version: str, answer: Answer | None, by_hand: ByHand
) -> Recording:
    """Repair *version* in the target of *settings*."""
    from pgready.running import handover
    from pgready.running.repair import Repairer

    source = await read_source(settings)
    repairer = Repairer(source, by=host_name(), pgready_version=__version__)

    async def plan(session: Session, sight: Sight) -> Recording:
        await handover.refuse(session, source.dialect, sight)
        return await repairer.plan(sight, version, answer)

    return await _record(settings, source, emit, "repair", plan, by_hand)


async def baseline(settings: Settings, emit: Emit, version: str | None, by_hand: ByHand) -> Recording:
    """Take the versions up to *version* (None: all) for applied in the target of *settings*."""
    from pgready.running import handover

    source = await read_source(settings)
    takeover = _takeover(settings, source)

    async def plan(session: Session, sight: Sight) -> Recording:
        await handover.refuse(session, source.dialect, sight)
        return await takeover.baseline(session, sight, version)

    return await _record(settings, source, emit, "baseline", plan, by_hand)


async def adopt(settings: Settings, emit: Emit, to: Path, by_hand: ByHand) -> Recording:
    """Write the peer's folder of *settings* as native files into *to*, and take over its history."""
    from pgready.running.takeover import written_as_native

    source = await read_source(settings)
    if source.dialect.name == Native.name:
        raise SettingsError(("the folder is native already: there is nothing to adopt",))
    takeover = _takeover(settings, source)
    native, folder = written_as_native(source.folder)
    written = [file.source for file in native]

    async def plan(session: Session, sight: Sight) -> Recording:
        await anyio.to_thread.run_sync(files.holds_folder, to, written)
        return await takeover.adopt(session, sight, native, folder)

    async def write() -> None:
        await anyio.to_thread.run_sync(files.write_folder, to, written)

    return await _record(settings, source, emit, "adopt", plan, by_hand, before_commit=write, both=True)


async def eject(settings: Settings, emit: Emit, by_hand: ByHand) -> Recording:
    """Hand the native history over to the tool whose folder *settings* name."""
    source = await read_source(settings)
    if source.dialect.name == Native.name:
        raise SettingsError(
            ("the folder is pgready's own: there is nobody to hand its history to",),
            hint="give the other tool's folder, and say which it is: --dir DIR --dialect NAME",
        )
    plan = _takeover(settings, source).eject
    return await _record(settings, source, emit, "eject", plan, by_hand, both=True)


async def plan_down(settings: Settings, emit: Emit, goal_of: Callable[[Plan], Goal]) -> Agreement:
    """What would be reverted in the target of *settings* to reach the goal."""
    from pgready.running import reverter

    source = await read_source(settings)
    return await reverter.plan(run_of(settings, source, emit), source.dialect, goal_of)


async def down(settings: Settings, emit: Emit, agreement: Agreement, reason: str | None) -> None:
    """Revert what was agreed to."""
    from pgready.running import reverter

    source = await read_source(settings)
    told_to = assignment(settings)

    def at_work(session: Session, sight: Sight) -> reverter.Reverter:
        return reverter.Reverter(
            session,
            sight,
            source.dialect,
            told_to.patience,
            emit,
            applied_by=told_to.applied_by,
            statement_timeout_ms=told_to.statement_timeout_ms,
            command=agreement.goal.command,
        )

    await reverter.revert(
        run_of(settings, source, emit),
        agreement,
        at_work,
        _author(source, "down", reason),
        emit,
        patience_seconds=settings.lock_timeout_seconds,
    )


def _author(source: Source, action: str, reason: str | None, *also: Dialect) -> Author:
    from pgready.running.recording import Author

    return Author(
        action=action,
        dialects=(source.dialect, *also),
        recorded_by=host_name(),
        pgready_version=__version__,
        reason=reason,
    )


def _takeover(settings: Settings, source: Source) -> Takeover:
    from pgready.running.takeover import Takeover

    return Takeover(source, Native(settings.namespace), by=host_name(), pgready_version=__version__)


async def _record(
    settings: Settings,
    source: Source,
    emit: Emit,
    action: str,
    plan: Planner,
    by_hand: ByHand,
    *,
    before_commit: Callable[[], Awaitable[None]] | None = None,
    both: bool = False,
) -> Recording:
    """Record what *plan* finds in the history of *source*, or in *both*: its own and the native one."""
    from pgready.database import lock
    from pgready.running.recording import record

    natives = (Native(settings.namespace),) if both else ()
    return await record(
        run_of(settings, source, emit, both=both),
        plan,
        _author(source, action, by_hand.reason, *natives),
        emit,
        patience_seconds=settings.lock_timeout_seconds,
        dry_run=by_hand.dry_run,
        also=lock.keys_for(HISTORY) if both else None,
        before_commit=before_commit,
    )


def _read_secret(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")
