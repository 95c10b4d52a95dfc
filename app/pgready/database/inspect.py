"""The schema of a database, read from its catalogue in a few queries of one snapshot.

1. Read-only, with a short patience: a statement that takes long, or waits for a lock, ends.
2. Nothing waits for DDL. Sizes, and some expressions, can only be read under a relation's lock, so those of
   relations that are locked exclusively are left out. A lock that comes in between ends the look after
   LOCK_MS, and it begins anew.
3. The number of queries does not depend on the number of tables, nor does what is held in memory: relations
   are read for one page of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import msgspec
from msgspec import Struct

from pgready.core.dsn import Dsn
from pgready.core.errors import PgreadyError, Unreachable
from pgready.core.inspection import (
    OWN_SCHEMAS,
    Check,
    Column,
    Extension,
    Function,
    Index,
    Inspection,
    Key,
    Partition,
    Policy,
    Question,
    Reference,
    ReferencedBy,
    Relation,
    Schema,
    SchemaUnsettled,
    Totals,
    Trigger,
    Type,
)
from pgready.core.inspection import Sequence as NumberSequence
from pgready.database import inspect_objects, inspect_relations
from pgready.database.connect import CannotConnect, open_session
from pgready.database.session import Session

STATEMENT_SECONDS = 10
LOCK_MS = 200
PARTITION_LIMIT = 200
"""How many partitions of one table are listed; the largest databases have tens of thousands."""

_TRIES = 3
_LOCKED = "55P03"
_VANISHED = "XX000"  # "cache lookup failed": what the snapshot shows was dropped while it was described

# The search_path makes every name in an expression a qualified one, whoever looks. Compiling such queries
# takes longer than running them.
_BEGIN = f"""
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s';
SET LOCAL lock_timeout = '{LOCK_MS}ms';
SET LOCAL search_path = pg_catalog;
SET LOCAL jit = off
"""

_PARTS: tuple[tuple[str, type[Struct], str], ...] = (
    ("columns", Column, inspect_relations.COLUMNS),
    ("checks", Check, inspect_relations.CHECKS),
    ("indexes", Index, inspect_relations.INDEXES),
    ("referenced_by", ReferencedBy, inspect_relations.REFERENCED_BY),
    ("triggers", Trigger, inspect_relations.TRIGGERS),
    ("policies", Policy, inspect_relations.POLICIES),
)
"""What a relation is made of: field, type, query."""

_Row = TypeVar("_Row", bound=Struct)
_Parts = dict[int, dict[str, Any]]


async def inspect_at(dsn: Dsn, question: Question, *, vouched_pooler: bool = False) -> Inspection:
    """What *question* asks of the database at *dsn*, on a connection of its own. Raises PgreadyError."""
    async with _connected(dsn, vouched_pooler) as session:
        return await inspect(session, question)


async def names_at(dsn: Dsn, *, vouched_pooler: bool = False) -> tuple[str, ...]:
    """What a relation could have been meant by a name that there is not: `schema.name` of the first ones."""
    async with _connected(dsn, vouched_pooler) as session:
        await session.execute(_BEGIN)
        rows = await session.fetch(inspect_relations.NAMES, list(OWN_SCHEMAS))
    return tuple(row["name"] for row in rows)


@asynccontextmanager
async def _connected(dsn: Dsn, vouched_pooler: bool) -> AsyncIterator[Session]:
    try:
        session = await open_session(dsn, application_name="pgready schema", vouched_pooler=vouched_pooler)
    except CannotConnect as problem:
        raise problem.error from problem
    try:
        yield session
    except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError) as problem:
        raise Unreachable(f"{dsn.masked}: the connection was lost") from problem
    finally:
        await session.close()


async def inspect(session: Session, question: Question) -> Inspection:
    """What *question* asks of *session*'s database. Raises SchemaUnsettled, and PgreadyError where the
    server refuses or takes too long."""
    for _ in range(_TRIES):
        try:
            async with session.rolled_back_on_failure():
                await session.execute(_BEGIN)
                found = await _inspect(session, question)
                await session.execute("COMMIT")
                return found
        except asyncpg.PostgresError as problem:
            if problem.sqlstate not in (_LOCKED, _VANISHED):
                raise _refused(problem) from problem
    raise SchemaUnsettled(
        "the schema is being changed at this moment", hint="ask again when the migration is through"
    )


def _refused(problem: asyncpg.PostgresError) -> PgreadyError:
    if problem.sqlstate == "57014":
        return PgreadyError(
            f"the catalogue was not read within {STATEMENT_SECONDS} s",
            sqlstate=problem.sqlstate,
            hint="narrow it to one schema or to fewer tables",
        )
    return PgreadyError(f"the catalogue cannot be read: {problem.args[0]}", sqlstate=problem.sqlstate)


async def _inspect(session: Session, question: Question) -> Inspection:
    (server,) = await session.fetch(inspect_objects.SERVER)
    matching, relations = await _relations(session, question)
    where = (question.schema, question.hidden, list(OWN_SCHEMAS))
    lists: dict[str, Any] = {}
    totals = {"relations": matching}
    if question.name is None:
        lists["schemas"] = _made(await session.fetch(inspect_objects.SCHEMAS, *where), Schema)
        if not question.words:
            lists["extensions"] = _made(
                await session.fetch(inspect_objects.EXTENSIONS, *where[:2]), Extension
            )
        for field, kind, sql in (
            ("types", Type, inspect_objects.TYPES),
            ("sequences", NumberSequence, inspect_objects.SEQUENCES),
            ("functions", Function, inspect_objects.FUNCTIONS),
        ):
            rows = await session.fetch(sql, *where, list(question.words), question.limit)
            lists[field] = _made(rows, kind)
            totals[field] = rows[0]["total"] if rows else 0
    return Inspection(
        **dict(server),
        offset=question.offset,
        limit=question.limit,
        totals=Totals(**totals),
        relations=relations,
        **lists,
    )


async def _relations(session: Session, question: Question) -> tuple[int, tuple[Relation, ...]]:
    """How many match, and those of the page that is asked for."""
    locked = await session.fetchval(inspect_relations.LOCKED)
    picked = await session.fetchrow(
        inspect_relations.PICK,
        question.name,
        list(question.words),
        question.schema,
        question.hidden,
        question.sort.value,
        question.offset,
        question.limit,
        locked,
        list(OWN_SCHEMAS),
    )
    assert picked is not None  # an aggregate has a row
    if not picked["oids"]:
        return picked["matching"], ()
    rows = await session.fetch(inspect_relations.RELATIONS, picked["oids"], locked)
    parts = await _parts(session, picked["oids"], locked, definitions=question.name is not None)
    relations = (_relation(row, parts[row["relation"]]) for row in rows)
    return picked["matching"], tuple(relations)


async def _parts(
    session: Session, oids: Sequence[int], locked: Sequence[int], *, definitions: bool
) -> _Parts:
    """What each of *oids* is made of, by the field of Relation."""
    parts: _Parts = {oid: {} for oid in oids}
    for field, kind, sql in _PARTS:
        arguments = (oids, locked) if "$2" in sql else (oids,)
        _share(parts, field, kind, await session.fetch(sql, *arguments))
    _share(parts, "keys", Key, await session.fetch(inspect_relations.KEYS, oids, locked))
    partitions = await session.fetch(inspect_relations.PARTITIONS, oids, locked, PARTITION_LIMIT)
    _share(parts, "partitions", Partition, partitions)
    if definitions:
        for row in await session.fetch(inspect_relations.DEFINITIONS, oids, locked):
            parts[row["relation"]]["definition"] = row["definition"]
    return parts


def _share(parts: _Parts, field: str, kind: type[Struct], rows: Sequence[asyncpg.Record]) -> None:
    """Give each relation its own of *rows* as *field*."""
    for row in rows:
        values = dict(row)
        made = _key(values) if kind is Key else msgspec.convert(values, kind)
        parts[values["relation"]].setdefault(field, []).append(made)


def _key(values: dict[str, Any]) -> Key:
    if values["to_table"] is not None:
        values["references"] = Reference(
            values["to_schema"],
            values["to_table"],
            tuple(values["to_columns"]),
            values["on_update"],
            values["on_delete"],
        )
    return msgspec.convert(values, Key)


def _relation(row: asyncpg.Record, parts: dict[str, Any]) -> Relation:
    return msgspec.convert({**row, **parts}, Relation)


def _made(rows: Sequence[asyncpg.Record], kind: type[_Row]) -> tuple[_Row, ...]:
    return tuple(msgspec.convert(dict(row), kind) for row in rows)
