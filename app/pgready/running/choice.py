"""Which of several dialects a folder is, where only the database can tell."""

from __future__ import annotations

from collections.abc import Sequence

from pgready.core.errors import FolderError
from pgready.database import history
from pgready.database.session import Session
from pgready.dialects import detect
from pgready.dialects.base import Dialect
from pgready.dialects.native import Native


async def verify(session: Session, chosen: Dialect, candidates: Sequence[str]) -> None:
    """Raise FolderError unless *chosen* is what the folder is, which fits all *candidates* alike.

    The history of one of them in the database is the proof. Where there is none, plain numbered files are
    native; anything else is for a person to say.
    """
    dialects = [chosen if name == chosen.name else detect.make(name) for name in candidates]
    for dialect in dialects:
        dialect.settle(session.schema)
    found = await history.present(session, dialects)
    if found == [chosen] or (not found and chosen.name == Native.name):
        return
    if chosen.name == Native.name and chosen in found:
        return  # whoever came from a peer's history may have left it there
    raise _undecided(candidates, found)


_PRESENT = """
SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relname = ANY ($1) ORDER BY 1, 2 LIMIT 1
"""


async def refuse_rivals(session: Session, chosen: Dialect) -> None:
    """Raise FolderError where the target has the history of a tool whose folders look like *chosen*'s.

    Asked before the first run, for all that the other has applied would be applied again.
    """
    rival = await session.fetchrow(_PRESENT, list(chosen.rivals))
    if rival is not None:
        problem = (
            f"the folder may be {chosen.name}'s, which has no history here, and the database has "
            f"{rival['schema']}.{rival['name']}, another tool's: what that applied would run again"
        )
        raise FolderError(
            (problem,), hint=f"where it is {chosen.name}'s all the same: --dialect {chosen.name}"
        )


def _undecided(candidates: Sequence[str], found: Sequence[Dialect]) -> FolderError:
    either = " or ".join(f"--dialect {name}" for name in candidates)
    if not found:
        problem = (
            f"the folder may be {' or '.join(candidates)}, and the database has no history of either yet"
        )
        return FolderError((problem,), hint=f"say which it is: {either}")
    lines = [f"{each.name}: the database has its history, {each.table}" for each in found]
    problem = f"the folder's files may be {' or '.join(candidates)}, and it was not said which"
    named = f"--dialect {found[0].name}" if len(found) == 1 else either
    return FolderError(
        (problem, *lines), hint=f"to go on with that history: {named}" if len(found) == 1 else named
    )
