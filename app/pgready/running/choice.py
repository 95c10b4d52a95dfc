"""Which of several dialects a folder is, where only the database can tell."""

from __future__ import annotations

from collections.abc import Sequence

from pgready.core.errors import FolderError, HistoryRefused
from pgready.core.quoting import exact
from pgready.database import history
from pgready.database.session import Session
from pgready.dialects import detect
from pgready.dialects.base import Dialect, InCurrentSchema


async def verify(session: Session, chosen: Dialect, candidates: Sequence[str]) -> None:
    """Raise FolderError unless *chosen* is what the folder is, which fits all *candidates* alike.

    The history of one of them in the database is the proof. Where there is none, it is the dialect that is
    presumed, or a person has to say. The presumed one's table without a version in it proves nothing beside
    another's: the native one also serves a peer's repeatables, and what was handed over to that.
    """
    dialects = [chosen if name == chosen.name else detect.make(name) for name in candidates]
    for dialect in dialects:
        dialect.settle(session.schema)
    found = await history.present(session, dialects)
    if found == [chosen] or (chosen.presumed and not found):
        return
    raise undecided(candidates, found)


_ALONG_SEARCH_PATH = exact(
    """
SELECT n.nspname::pg_catalog.text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident($1))
"""
)


async def refuse_elsewhere(session: Session, chosen: Dialect) -> None:
    """Raise HistoryRefused where *chosen*'s tool would find a history that lies in another schema.

    Its own is not there: all that the other says is applied would run again.
    """
    if not (isinstance(chosen, InCurrentSchema) and chosen.sought):
        return
    schema = await session.fetchval(_ALONG_SEARCH_PATH, chosen.sought)
    if schema is not None:
        found = f"{schema}.{chosen.sought}"
        raise HistoryRefused(
            f"{chosen.name} finds its history along search_path in {found}, and this session's schema is "
            f"{session.schema}, which has none: what is applied there would run again",
            hint=f"to go on with it: --history-table {found}; for another: --history-table {chosen.table}",
            done="nothing was run",
        )


def undecided(candidates: Sequence[str], found: Sequence[Dialect] = ()) -> FolderError:
    """The error that a person has to say which of *candidates* it is: *found* are those whose histories the
    database has."""
    either = " or ".join(f"--dialect {name}" for name in [each.name for each in found] or candidates)
    if not found:
        problem = (
            f"the folder may be {' or '.join(candidates)}, and the database has no history of either yet"
        )
        return FolderError((problem,), hint=f"say which it is: {either}")
    lines = [f"{each.name}: the database has its history, {each.table}" for each in found]
    problem = f"the folder's files may be {' or '.join(candidates)}, and it was not said which"
    return FolderError(
        (problem, *lines), hint=f"to go on with that history: {either}" if len(found) == 1 else either
    )
