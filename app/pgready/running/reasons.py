"""Why a run gave up, as the error that its user reads."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from pgready.core.dsn import Dsn
from pgready.core.errors import (
    AccessDenied,
    Diverged,
    LockLost,
    LockNotObtained,
    PgreadyError,
    Place,
    SettingsError,
    Uncertain,
    Unreachable,
    first_of,
    typed,
)
from pgready.core.events import MigrationRetried
from pgready.core.model import Kind, LockHolder, Migration
from pgready.core.patience import Patience
from pgready.core.planning import Plan
from pgready.core.resumption import BY_HAND, went_with_session
from pgready.core.segments import CompiledScript, place
from pgready.core.steps import GiveUp, GiveUpReason
from pgready.database.refusals import StatementRefused

_LOCK_TIMEOUT = "55P03"


def unexpected(problem: BaseException) -> PgreadyError:
    """An error of the server or the driver outside any script, without a traceback."""
    sqlstate = getattr(problem, "sqlstate", None)
    text = _said(problem)
    if sqlstate == "42501":
        return AccessDenied(
            text, sqlstate=sqlstate, hint="grant it to the migrating role, or use the owner's URL"
        )
    if sqlstate == _LOCK_TIMEOUT:
        return LockNotObtained(
            text, sqlstate=sqlstate, hint="something locks a table of the history: end it and start again"
        )
    hint = getattr(problem, "hint", None)
    if sqlstate == "3F000":  # of the history's table: --history-table may name any
        hint = "create it, or declare it in pgready.toml ([[schema]])"
    return PgreadyError(text, sqlstate=sqlstate, detail=getattr(problem, "detail", None), hint=hint)


def history_not_made(problem: asyncpg.PostgresError) -> PgreadyError:
    """The server, or an event trigger of somebody's, refuses the tables that say what is applied."""
    error = unexpected(problem)
    return type(error)(
        f"the history's tables could not be made: {error.what}",
        sqlstate=error.sqlstate,
        detail=error.detail,
        hint=f"{(error.hint or 'see what refuses them').removesuffix('.')}; then: pgready up",
        done="no migration was run",
    )


def _said(problem: BaseException) -> str:
    if isinstance(problem, asyncpg.InternalClientError):
        # A server that shuts down says so unasked, and the driver, asked something before it sees the
        # connection's end, complains that it "cannot switch to state 11".
        return "the connection was lost"
    if isinstance(problem, OSError):
        return problem.strerror or str(problem) or type(problem).__name__
    return str(problem.args[0]) if problem.args else type(problem).__name__


def in_spite_of_bootstrap(error: PgreadyError, admin: Dsn | None) -> PgreadyError:
    """*error* of the target's address, behind a bootstrap through *admin* that made its database and role."""
    if admin is None or error.sqlstate not in ("3D000", "28P01", "28000"):
        return error
    if error.sqlstate == "3D000":
        return SettingsError(
            (f"{error.what}, but at the admin URL, {admin.masked}: that leads to another server",),
            hint="mend PGREADY_ADMIN_DATABASE_URL, or the target's URL; does a pooler know the database?",
        )
    hint = f"{error.hint}; and whether {admin.masked}, the admin URL, leads to the same server"
    return AccessDenied(error.what, sqlstate=error.sqlstate, hint=hint)


def unreachable(
    error: PgreadyError | None,
    said: PgreadyError | None,
    attempts: int | None,
    elapsed_seconds: float | None,
    patience: Patience,
) -> PgreadyError:
    """*attempts* to connect were in vain for *elapsed_seconds*; None of the first: to make another connection
    was; None of both: each connection was lost. What the server *said* last is told, too, where at the end
    it said nothing."""
    if isinstance(error, SettingsError):
        return error
    last = error.what if error is not None else "the connection was lost again and again"
    if said is not None and said is not error:
        last, error = f"{said.what}; then no answer in time", said
    hint = "is the server running and the address right?"
    if elapsed_seconds is None:
        tried = f"{patience.reconnects + 1} times in a row"
    else:
        tried = f"{elapsed_seconds:.0f} s"
        hint += " PGREADY_CONNECT_TIMEOUT sets the patience"
    if attempts is not None:
        tried = f"{attempts} attempt{'s' if attempts != 1 else ''} in {tried}"
    return Unreachable(
        f"{last} (gave up after {tried})",
        sqlstate=error.sqlstate if error is not None else None,
        hint=hint,
    )


def _so_far(applied: int, nothing: str) -> str:
    return f"{applied} {_was(applied)} applied in this run" if applied else nothing


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def done_so_far(
    migration: Migration, script: CompiledScript, parts: int, before: int, *, undone: bool = True
) -> str:
    """What stays of *migration*, of which *parts* are done, and how many were applied *before* it.

    *undone*: nothing is left of the statement that failed.
    """
    others = f"{before} before it {_was(before)} applied in this run" if before else "nothing else was run"
    left = "the statement that failed may have happened in part"
    if parts == 0:
        stays = f"nothing of {migration.version} was applied" if undone else f"of {migration.version} {left}"
        return f"{stays}; {others}"
    named, verb = ("part 1", "stays") if parts == 1 else (f"parts 1 to {parts}", "stay")
    line = place(migration.script, script.segments[parts - 1].statements[-1].end).line
    stays = f"{named} of {len(script.segments)} of {migration.version} (up to line {line}) {verb} applied"
    return f"{stays}; {others}" if undone else f"{stays}, and {left}; {others}"


def lock_not_obtained(
    holder: LockHolder | None, patience: Patience, applied: int, stays: str | None
) -> PgreadyError:
    return LockNotObtained(
        f"the migration lock is held by another: {describe(holder)}; waited {patience.lock_seconds:g} s",
        hint="wait for it and start again; PGREADY_LOCK_TIMEOUT sets the patience",
        done=stays or _so_far(applied, "nothing was applied by this process"),
    )


def retried(
    version: str, refused: PgreadyError, blockers: Sequence[LockHolder], attempt: int, delay_seconds: float
) -> MigrationRetried:
    """The event that what was *refused* is tried again; a script may itself raise what is worth that."""
    locked = f"a table was locked{_by(blockers)}: " if refused.sqlstate == _LOCK_TIMEOUT else ""
    reason = f"{locked}{refused.what}"
    return MigrationRetried(
        version, reason, attempt, delay_seconds, refused.sqlstate, refused.place, refused.detail
    )


def _by(blockers: Sequence[LockHolder]) -> str:
    """Who holds a relation; nothing where the wait was too short to look."""
    return " by " + "; ".join(describe(holder) for holder in blockers) if blockers else ""


def relation_locked(
    version: str,
    refused: PgreadyError,
    blockers: Sequence[LockHolder],
    patience: Patience,
    then: str = "start again",
) -> PgreadyError:
    """The error for what was *refused* at the last try; after its cure, *then*."""
    seconds = f"{patience.relation_lock_seconds:g} s"
    if refused.sqlstate == _LOCK_TIMEOUT:
        what = f"a relation stayed locked for {seconds}{_by(blockers)}: {refused.what}"
        cure = "end what holds it"
    else:
        what, cure = f"{refused.what} (tried again for {seconds})", "end what it collides with, or mend it"
    return LockNotObtained(
        f"{version}: {what}",
        place=refused.place,
        sqlstate=refused.sqlstate,
        detail=refused.detail,
        hint=f"{cure}, then: {then}; PGREADY_RELATION_LOCK_TIMEOUT sets the patience",
        done=refused.done,
    )


def looked_in_vain(holders: Sequence[LockHolder], patience: Patience) -> PgreadyError:
    return LockNotObtained(
        f"the history stayed locked for {patience.relation_lock_seconds:g} s{_by(holders)}",
        hint="end what holds it and start again; PGREADY_RELATION_LOCK_TIMEOUT sets the patience",
        done="nothing more was run",
    )


def fence_lost(version: str | None) -> PgreadyError:
    about = f" of {version}" if version else ""
    return LockLost(
        f"the migration lock was lost again and again before a transaction{about}",
        hint="is there a pooler, or something that ends idle sessions, between us and the server? "
        "give pgready a direct connection",
        done="nothing of that transaction was applied",
    )


def say_so(version: str) -> str:
    """The way out where only a person can tell what became of a statement."""
    return f"look, then say so: pgready repair {typed(version)} --done | --not-done"


def cure(
    migration: Migration, script: CompiledScript, parts: int, refused: StatementRefused, *, undone: bool
) -> str | None:
    """What to do about what was *refused* for *script*, of which *parts* are done, where that is not to mend
    it, and start again."""
    stuck = _stuck(script, parts) if migration.kind is Kind.VERSIONED else None  # all else begins anew
    if refused.committed or (stuck and not undone):
        answer = say_so(migration.version)
        return f"{answer}; then {stuck}" if stuck else answer
    if stuck:
        return stuck
    if refused.statement in script.segments[min(parts, len(script.segments) - 1)].settings:
        return "it is set again for each later part of the script: have what it names again, then: pgready up"
    return None if undone else "what it left is seen to by: pgready up"


def _stuck(script: CompiledScript, parts: int) -> str | None:
    """What to do where nothing goes on behind *parts*: what is left needs what went with their session."""
    for number, needs in went_with_session(script.segments, parts):
        return (
            f"{BY_HAND}, as part {number + 1} needs {needs.name}, which part {needs.segment + 1} made for "
            "this session alone; then: pgready up"
        )
    return None


def uncertain(version: str, place: Place | None, applied: int, stays: str | None) -> PgreadyError:
    return Uncertain(
        f"{version}: a statement outside a transaction was started by a run that died, or failed behind a "
        "COMMIT of its own, and nothing can tell whether it happened",
        place=place,
        hint=say_so(version),
        done=stays or _so_far(applied, "nothing was run"),
    )


def refused(plan: Plan, applied: int = 0, stays: str | None = None) -> PgreadyError:
    """One error for all findings that the policies refuse, after *applied* were applied; *stays* tells of the
    parts of one more."""
    errors = plan.errors
    hints = dict.fromkeys(finding.hint for finding in errors if finding.hint)
    return Diverged(
        "\n".join(first_of([finding.message for finding in errors])),
        hint="; ".join(first_of(list(hints))) or None,
        done=stays or _so_far(applied, "nothing was run"),
    )


def describe(holder: LockHolder | None) -> str:
    """A holder in a few words."""
    if holder is None:
        return "a session that was gone when we looked"
    name = holder.application_name or "without a name"
    parts = [holder.label, name if holder.pid else "", holder.state]
    if holder.since is not None:
        parts.append(f"since {holder.since:%H:%M:%S} UTC")
    return ", ".join(part for part in parts if part)


def explain(
    action: GiveUp,
    *,
    error: PgreadyError | None,
    said: PgreadyError | None,
    attempts: int | None,
    elapsed_seconds: float | None,
    applied: int,
    stays: str | None,
    patience: Patience,
    holder: LockHolder | None,
    blockers: Sequence[LockHolder],
    locked_out: PgreadyError | None,
    plan: Plan,
    place: Place | None,
) -> PgreadyError:
    """The error for *action*, which ended the run; *elapsed_seconds* went in vain into connecting. *stays*
    tells of the parts that it did of what is not complete."""
    version = action.version or ""
    match action.reason:
        case GiveUpReason.FAILED:
            return error or PgreadyError("the run failed")
        case GiveUpReason.UNREACHABLE:
            return unreachable(error, said, attempts, elapsed_seconds, patience)
        case GiveUpReason.LOCK_NOT_OBTAINED:
            return lock_not_obtained(holder, patience, applied, stays)
        case GiveUpReason.RELATION_LOCKED:
            if locked_out is None:
                return looked_in_vain(blockers, patience)
            return relation_locked(version, locked_out, blockers, patience)
        case GiveUpReason.FENCE_LOST:
            return fence_lost(action.version)
        case GiveUpReason.REFUSED:
            return refused(plan, applied, stays)
        case GiveUpReason.UNCERTAIN:
            return uncertain(version, place, applied, stays)
