"""Makes a declaration true: database and roles on the admin connection, the rest in the target.

The rules that this module keeps:

1. Look first, without a lock and in one round trip. Nothing is locked where nothing is missing.
2. Database and roles belong to the whole server, so they are made under a fixed key; the rest runs while
   the caller holds the target's lock. Both look again under the lock.
3. Another tool, or a replica in another database, is stopped by no lock of ours. So a failed statement is
   judged by looking at the catalogue again, never by its SQLSTATE: what exists by then is well.
4. "tuple concurrently updated" (XX000) and its kin say nothing about the statement: it is sent again, as
   is one that collided in a catalogue's unique index while what it was to make is still missing.
5. Nor does success say anything of a GRANT: what the role may not grant is left out with a warning. The
   catalogue is looked at again, and the next session is asked for what is still missing.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from pgready.core import scram
from pgready.core.bootstrap import Declared, Role
from pgready.core.errors import LockNotObtained, PgreadyError, Unreachable
from pgready.core.events import Bootstrapped, DriftFound, Event, LockWaited, ServerNotice
from pgready.core.extensions import lacking, unavailable
from pgready.core.facts import Ask, CatalogFacts, Held, asks, default_asks, question
from pgready.core.model import LockHolder
from pgready.core.needs import Drift, Needs, Task
from pgready.core.quoting import exact, fill, literals
from pgready.core.reconcile import Step, drift, missing, password_drift, uncompared_passwords
from pgready.database import lock
from pgready.database.connect import CannotConnect, open_session
from pgready.database.cures import explained
from pgready.database.facts import read_facts, read_passwords
from pgready.database.session import GRACE_SECONDS, Session

Emit = Callable[[Event], None]

CLUSTER_KEYS = lock.LockKeys(main=lock.derive("cluster lock"), fence=lock.derive("cluster fence"))
"""Held while the database and roles are made; taken in the database of the admin connection."""

PATIENCE_SECONDS = 600.0
RETRY_SECONDS = 30.0
"""How long one statement is sent again while others change the same rows."""

_RETRY_PAUSE_SECONDS = (0.01, 0.1)
_POLL_SECONDS = (0.05, 0.25)
_TELL_SECONDS = 5.0


async def look(session: Session, declared: Declared, *, compare_passwords: bool = True) -> Needs:
    """Compare *declared* with the catalogue of *session*, the target's; changes nothing, takes no lock.

    A role that may only read the catalogue suffices. It cannot read passwords, so where some are declared
    the cluster's bootstrap is needed to compare them, unless *compare_passwords* is False.
    """
    if not declared:
        return Needs()
    facts = await _facts(session, declared, session.database, session.user)
    steps = missing(declared, facts, _new_salt)
    uncompared = password_drift(declared, facts)
    lacks = lacking(declared, facts)
    cannot_be = {("extension", each.name) for each in lacks}
    return Needs(
        cluster=(compare_passwords and bool(uncompared)) or any(step.of_cluster for step in steps),
        target=any(not step.of_cluster for step in steps),
        drift=drift(declared, facts) + (() if compare_passwords else uncompared),
        tasks=tuple(
            Task(step.what, step.name, step.action)
            for step in steps
            if (step.what, step.name) not in cannot_be
        ),
        lacking=lacks,
    )


def needs_of_none(declared: Declared, database: str, user: str | None) -> Needs:
    """What the target needs where there is no *database* of that name; *user* is the role of its URL.

    Nobody is asked: extensions are taken for available, and a role may be there, for it is the server's.
    """
    facts = CatalogFacts(
        server_version_num=0,
        database=database,
        user=user or "",
        reads_passwords=False,
        target=database,
        target_user=user,
        available={each.name: (each.version or "",) for each in declared.extensions},
        grants=tuple(map(_held_in_a_new_one, asks(declared))),
        defaults=tuple(map(_held_in_a_new_one, default_asks(declared, user))),
    )
    steps = missing(declared, facts, _new_salt)
    return Needs(
        cluster=True,
        target=any(not step.of_cluster for step in steps),
        tasks=tuple(
            Task(step.what, step.name, f"{step.action}{_UNLESS.get(step.what, '')}") for step in steps
        ),
    )


_UNLESS = dict.fromkeys(("role", "membership"), ", unless it is there")


def _held_in_a_new_one(ask: Ask) -> Held:
    there = ask.schema in (None, "public") and (ask.kind in ("database", "schema") or ask.owner is not None)
    return Held.LACKING if there else Held.ABSENT


async def bootstrap_cluster(
    session: Session,
    declared: Declared,
    target_database: str,
    emit: Emit,
    *,
    target_user: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Make the declared roles and *target_database*, through *session*, an admin connection.

    *target_user* is the role of the target's URL: it owns the new database where no owner is declared.
    Raises LockNotObtained, AccessDenied, BootstrapFailed.
    """
    part = declared.of_cluster

    async def facts_now() -> CatalogFacts:
        facts = await _facts(session, part, target_database, target_user)
        return await _with_logins(session, part, facts)

    async def left_now() -> tuple[Step, ...]:
        return _of_cluster(part, await facts_now())

    facts = await facts_now()
    if _of_cluster(part, facts):
        async with _cluster_lock(session, emit, patience_seconds):
            await _carry_out([session], await left_now(), left_now, emit)
            facts = await facts_now()
    _tell(drift(part, facts) + password_drift(part, facts), emit)


async def bootstrap_target(
    session: Session, declared: Declared, emit: Emit, *, admin: Session | None = None
) -> None:
    """Make the declared schemas, extensions and grants in *session*'s database, whose lock the caller holds.

    *admin* is a connection to the same database whose role may do more; what it makes belongs to
    *session*'s role all the same, but for extensions. Raises AccessDenied, BootstrapFailed.
    """
    part = declared.of_target
    if not part:
        return

    async def left_now() -> tuple[Step, ...]:
        return _of_target(part, await _facts(session, part, session.database, session.user))

    facts = await _facts(session, part, session.database, session.user)
    if problem := unavailable(part, facts):
        raise problem
    sessions = [session] if admin is None else [admin, session]
    await _carry_out(sessions, _of_target(part, facts), left_now, emit)
    _tell(drift(part, facts), emit)


def _of_cluster(declared: Declared, facts: CatalogFacts) -> tuple[Step, ...]:
    return tuple(step for step in missing(declared, facts, _new_salt) if step.of_cluster)


def _of_target(declared: Declared, facts: CatalogFacts) -> tuple[Step, ...]:
    return tuple(step for step in missing(declared, facts, _new_salt) if not step.of_cluster)


_LeftNow = Callable[[], Awaitable[tuple[Step, ...]]]
"""Looks at the catalogue again and tells what is still missing."""


async def _carry_out(
    sessions: Sequence[Session], steps: tuple[Step, ...], left_now: _LeftNow, emit: Emit
) -> None:
    for session in sessions if steps else ():
        await session.execute("SET lock_timeout = 0")
    for step in steps:
        try:
            if await _run(sessions, step, left_now, emit):
                emit(Bootstrapped(step.what, step.name, step.action))
        except PgreadyError as problem:
            if not step.optional:
                raise
            emit(DriftFound(step.what, step.name, f"{problem.what}; optional, so left out"))
    for session in sessions if steps else ():
        await session.bound_looks()


async def _run(sessions: Sequence[Session], step: Step, left_now: _LeftNow, emit: Emit) -> bool:
    """Run *step*; False where somebody else has done it meanwhile."""
    start = anyio.current_time()
    next_tell = start + _TELL_SECONDS
    while True:
        problem = await _try(sessions, step, left_now)
        if problem is None:
            return True
        if not await _is_left(step, left_now):
            return False
        if await _is_standbys(problem, sessions[0]):
            what = f"{step.what} {step.name}: {problem.args[0]}, for the server is a standby"
            raise CannotConnect(Unreachable(what, sqlstate=problem.sqlstate), transient=True) from problem
        now = anyio.current_time()
        if not _is_passing(problem) or now > start + RETRY_SECONDS:
            raise explained(step, problem, sessions) from problem
        if now >= next_tell:
            emit(ServerNotice("WARNING", f"{step.what} {step.name}: {problem.args[0]}; tried again", None))
            next_tell = now + _TELL_SECONDS
        await anyio.sleep(random.uniform(*_RETRY_PAUSE_SECONDS))


async def _is_standbys(problem: asyncpg.PostgresError, session: Session) -> bool:
    """Whether a promotion would cure the refusal, as where a client came to a standby a moment too early."""
    return problem.sqlstate == "25006" and await session.fetchval("SELECT pg_catalog.pg_is_in_recovery()")


async def _is_left(step: Step, left_now: _LeftNow) -> bool:
    return step.identity in [each.identity for each in await left_now()]


async def _try(sessions: Sequence[Session], step: Step, left_now: _LeftNow) -> asyncpg.PostgresError | None:
    """Run *step* on the first session that is allowed to; why the first one could not, or None."""
    denied: asyncpg.PostgresError | None = None
    for session in sessions:
        try:
            await session.execute(_self_granting(session, step))
        except asyncpg.InsufficientPrivilegeError as problem:
            denied = denied or problem
            continue
        except asyncpg.PostgresError as problem:
            if session.closed or (problem.sqlstate or "")[:3] in _CONNECTION_LOST:
                raise
            return problem
        if step.what not in _GRANTED or not await _is_left(step, left_now):
            return None
        denied = denied or asyncpg.InsufficientPrivilegeError("the server granted nothing of it, or not all")
    return denied


def _self_granting(session: Session, step: Step) -> str:
    """The SQL of *step*; a role with CREATEROLE may make things for the role that it creates with it."""
    creates = step.what == "role" and step.action == "created"
    return _SELF_GRANT + step.sql if creates and session.server_major >= _SELF_GRANT_SINCE else step.sql


_SELF_GRANT_SINCE = 16
# For this message alone, and only where the administrator has not said otherwise.
_SELF_GRANT = """
SELECT pg_catalog.set_config('createrole_self_grant', 'set', true)
WHERE pg_catalog.current_setting('createrole_self_grant') OPERATOR(pg_catalog.=) '';
"""

_GRANTED = frozenset({"grant", "default privileges"})


_CONNECTION_LOST = ("080", "57P")
_PASSING = frozenset({"40001", "40P01", "55006"})
"""Serialisation, deadlock, and a template database that somebody is connected to."""


def _is_passing(problem: asyncpg.PostgresError) -> bool:
    """Whether others at the same catalogue rows are to blame, so that sending it again may succeed."""
    if problem.sqlstate == "XX000":
        return "concurrently" in str(problem.args[0])
    if problem.sqlstate == "23505":
        # Two sessions' first default privileges of one kind, for different roles, share a row.
        return getattr(problem, "schema_name", None) == "pg_catalog"
    return problem.sqlstate in _PASSING


async def _with_logins(session: Session, declared: Declared, facts: CatalogFacts) -> CatalogFacts:
    """*facts* with an attempt to log in as each role whose password they cannot judge."""
    uncompared = uncompared_passwords(declared, facts)
    if not uncompared:
        return facts
    names = literals(role.name for role in uncompared)
    expired = frozenset(row.name for row in await session.read(fill(_EXPIRED, names=names), _Expired))
    answers = {role.name: await _logs_in(session, role) for role in uncompared if role.name not in expired}
    logins = {name: answer for name, answer in answers.items() if answer is not None}
    return replace(facts, logins={**facts.logins, **logins}, expired=expired)


_EXPIRED = exact(
    """
SELECT r.rolname::pg_catalog.text AS name
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = ANY (ARRAY[:names]::pg_catalog.name[]) AND r.rolvaliduntil <= pg_catalog.now()
"""
)


class _Expired(Struct, frozen=True):
    name: str


async def _logs_in(session: Session, role: Role) -> bool | None:
    """Whether the server takes the declared password of *role*; None where it does not say."""
    dsn = replace(session.dsn, user=role.name, password=role.password)
    try:
        probe = await open_session(dsn, application_name="pgready password check")
    except CannotConnect as refused:
        # 42501: let in, but not into this database, which is said after the password was right.
        return {"28P01": False, "42501": True}.get(refused.error.sqlstate or "")
    await probe.close()
    return True


@asynccontextmanager
async def _cluster_lock(session: Session, emit: Emit, patience_seconds: float) -> AsyncIterator[None]:
    """Hold CLUSTER_KEYS, polled and jittered. Raises LockNotObtained, naming the holder."""
    start = anyio.current_time()
    next_tell = start
    while not await lock.try_take(session, CLUSTER_KEYS):
        now = anyio.current_time()
        if now >= min(next_tell, start + patience_seconds):
            holder = await lock.holder(session, CLUSTER_KEYS)
            if now >= start + patience_seconds:
                raise _not_obtained(holder, now - start)
            emit(LockWaited(holder, now - start))
            next_tell = now + _TELL_SECONDS
        await anyio.sleep(random.uniform(*_POLL_SECONDS))
    try:
        yield
    finally:
        await _release(session)


def _not_obtained(holder: LockHolder | None, waited_seconds: float) -> LockNotObtained:
    who = "nobody that is visible to us"
    if holder is not None:
        who = f"pid {holder.pid} ({holder.application_name or 'unnamed'}, {holder.client})"
    return LockNotObtained(
        f"waited {waited_seconds:.0f} s for the lock on the server's roles and databases, held by {who}",
        hint="wait for it to end, or raise PGREADY_LOCK_TIMEOUT",
    )


async def _release(session: Session) -> None:
    """Unlock within the grace period; a connection that cannot is dropped, and its lock with it."""
    with anyio.move_on_after(GRACE_SECONDS, shield=True) as scope:
        try:
            if not session.closed:
                await lock.release(session, CLUSTER_KEYS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            session.connection.terminate()
    if scope.cancelled_caught:
        session.connection.terminate()


def _new_salt() -> bytes:
    return secrets.token_bytes(scram.SALT_BYTES)


def _tell(found: tuple[Drift, ...], emit: Emit) -> None:
    for each in found:
        emit(DriftFound(each.what, each.name, each.difference))


async def _facts(session: Session, declared: Declared, target: str, target_user: str | None) -> CatalogFacts:
    facts = await read_facts(session, question(declared, target, target_user))
    asked = [role.name for role in declared.roles if role.password is not None]
    if not asked or not facts.reads_passwords:
        return facts
    return replace(facts, passwords=await read_passwords(session, asked))
