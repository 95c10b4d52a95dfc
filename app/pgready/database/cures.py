"""Why a step of the bootstrap failed, as the error that its user reads, with what cures it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import asyncpg

from pgready.core.errors import AccessDenied, BootstrapFailed, PgreadyError
from pgready.core.extensions import source
from pgready.core.quoting import Name, fill
from pgready.core.reconcile import Step
from pgready.database.session import Session

_MUST_BE = re.compile(r'must be (?:able to SET ROLE|member of role) "(.+)"')
"""PostgreSQL's words from 16 on, and before, where something is to belong to a role that is not one's own."""


def explained(step: Step, problem: asyncpg.PostgresError, sessions: Sequence[Session]) -> PgreadyError:
    """The error for *step*, which each of *sessions* was refused: *problem* is the first one's."""
    what = f"{step.what} {step.name}: {problem.args[0]}"
    detail = getattr(problem, "detail", None)
    hint = getattr(problem, "hint", None)
    if isinstance(problem, asyncpg.InsufficientPrivilegeError):
        right = _to_be_granted(problem, sessions[0]) or _another_role(sessions)
        return AccessDenied(what, sqlstate=problem.sqlstate, detail=detail or hint, hint=right)
    cure = _CURES.get(problem.sqlstate or "") or _of_words(str(problem.args[0]), sessions[0].server_major)
    return BootstrapFailed(what, sqlstate=problem.sqlstate, detail=detail, hint=cure or hint)


_CURES = {
    "3F000": "declare the schema in pgready.toml ([[schema]]), or create it",
    "55006": "end whoever is connected to the template, or name another: [database] template",
}


def _of_words(message: str, major: int) -> str | None:
    """The cure for what the server tells apart in words alone."""
    if _ROLE_LACKS.search(message):
        return "declare the role in pgready.toml ([[role]]), or create it"
    lacking = _EXTENSION_LACKS.search(message)
    return source(lacking[1], major) if lacking else None


_ROLE_LACKS = re.compile(r'^role ".+" does not exist')
_EXTENSION_LACKS = re.compile(r'^extension "(.+)" is not available')


def _another_role(sessions: Sequence[Session]) -> str:
    users = " and ".join(dict.fromkeys(session.user for session in sessions))
    return f"{users} may not do this: PGREADY_ADMIN_DATABASE_URL must name a role that may"


def _to_be_granted(problem: asyncpg.PostgresError, session: Session) -> str | None:
    found = _MUST_BE.search(str(problem.args[0]))
    if found is None:
        return None
    template = "GRANT :role TO :user" if session.server_major < 16 else "GRANT :role TO :user WITH SET TRUE"
    grant = fill(template, role=Name(found[1]), user=Name(session.user))
    who = f"{session.user} itself, where it has ADMIN OPTION on {found[1]}, else a superuser"
    return f"{grant} (by {who}), or PGREADY_ADMIN_DATABASE_URL must name a role that may"
