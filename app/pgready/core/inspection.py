"""The schema of a database as it is, as values: what `pgready schema` and `/schema` show.

1. No row of a table is in here, and nothing about connections. What a person wrote into the schema
   (defaults, comments, checks, definitions) is.
2. A partition belongs to its parent: only what is at the top, or asked for by name, is a relation of its own.
3. Where another session has locked a relation exclusively, what could only be read by waiting for it is
   None, and the relation says so (`locked`).
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from msgspec import Struct

from pgready.core.errors import ExitCode, PgreadyError

LONGEST_SEARCH = 200
"""Characters of a search that count."""

OWN_SCHEMAS = ("information_schema", "pgready")
"""Hidden unless asked for, as is everything that starts with `pg_`."""


def is_hidden(schema: str) -> bool:
    """Whether the schema of this name is the server's or pgready's own."""
    return schema.startswith("pg_") or schema in OWN_SCHEMAS


class NoSuchRelation(PgreadyError):
    """No table or view has the name that was asked for."""

    exit_code = ExitCode.USAGE


class NoSuchSchema(PgreadyError):
    """No schema has the name that was asked for, or it is hidden."""

    exit_code = ExitCode.USAGE


class SchemaUnsettled(PgreadyError):
    """Locks came in between again and again: the schema is being changed right now."""

    exit_code = ExitCode.LOCKED


class Sort(Enum):
    """In which order relations are listed; the largest first."""

    NAME = "name"
    SIZE = "size"
    ROWS = "rows"


class Question(Struct, frozen=True):
    """What to look at.

    *name* is a relation, bare or with its schema; partitions and hidden schemas can be named, too. *words*
    must all be found in a relation's name or in those of its columns. *hidden* takes in the schemas of the
    server and of pgready. *limit* and *offset* choose from the relations; other lists take *limit* alone.
    """

    name: str | None = None
    words: tuple[str, ...] = ()
    schema: str | None = None
    hidden: bool = False
    sort: Sort = Sort.NAME
    limit: int = 200
    offset: int = 0


def words(search: str) -> tuple[str, ...]:
    """The words of a *search*."""
    return tuple(dict.fromkeys(plain(search[:LONGEST_SEARCH]).split()))


def plain(text: str) -> str:
    """*text* as a server can take it: without NUL, and without halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class Column(Struct, frozen=True):
    """*default* is an expression, and so is *generated*, whose *storage* is `stored` or `virtual`; *identity*
    is `always` or `by default`."""

    name: str
    type: str
    nullable: bool
    default: str | None = None
    identity: str | None = None
    generated: str | None = None
    storage: str | None = None
    collation: str | None = None
    comment: str | None = None


class Reference(Struct, frozen=True):
    """Where a foreign key leads, and what becomes of its rows when that row changes."""

    schema: str
    table: str
    columns: tuple[str, ...]
    on_update: str
    on_delete: str


class Key(Struct, frozen=True):
    """*kind* is `primary key`, `unique`, `foreign key` or `exclusion`; *definition* as SQL writes it."""

    name: str
    kind: str
    columns: tuple[str, ...]
    definition: str | None
    validated: bool = True
    references: Reference | None = None


class Check(Struct, frozen=True):
    """A check on the rows of a table; one that is not *validated* was never held against the old rows."""

    name: str
    definition: str | None
    validated: bool = True


class ReferencedBy(Struct, frozen=True):
    """A foreign key of another table that leads here."""

    schema: str
    table: str
    name: str
    columns: tuple[str, ...]
    on_delete: str


class Index(Struct, frozen=True):
    """*valid* is False where a concurrent build did not end well: it costs writes and serves no query.

    *scans* counts since the server's statistics were reset; *unused* is an index that speeds up reading
    alone, and was not read once while its table was, often.
    """

    name: str
    definition: str | None
    unique: bool
    primary: bool
    valid: bool
    size_bytes: int | None = None
    scans: int | None = None
    unused: bool = False


class Trigger(Struct, frozen=True):
    name: str
    definition: str | None
    enabled: bool


class Policy(Struct, frozen=True):
    """A rule of row-level security."""

    name: str
    command: str
    permissive: bool
    roles: tuple[str, ...]
    using: str | None = None
    check: str | None = None


class Partition(Struct, frozen=True):
    """*level* is 1 for a partition of the table itself, 2 for one of its partitions', …"""

    schema: str
    name: str
    level: int
    bound: str | None = None
    rows: int | None = None
    size_bytes: int | None = None


class Relation(Struct, frozen=True):
    """A table, partitioned table, view, materialized view or foreign table (*kind*).

    *rows* is the server's estimate, never a count; *size_bytes* is all of it, indexes and TOAST included.
    Both sum up the partitions. *row_security* is None, `enabled` or `forced`; *persistence* is `permanent`,
    `unlogged` or `temporary`. *definition* (of a view) is read only where a relation is asked for by name.
    """

    schema: str
    name: str
    kind: str
    owner: str
    persistence: str = "permanent"
    comment: str | None = None
    rows: int | None = None
    size_bytes: int | None = None
    table_bytes: int | None = None
    index_bytes: int | None = None
    row_security: str | None = None
    extension: str | None = None
    locked: bool = False
    partition_key: str | None = None
    partition_of: str | None = None
    partition_bound: str | None = None
    partition_count: int = 0
    inherits: tuple[str, ...] = ()
    definition: str | None = None
    columns: tuple[Column, ...] = ()
    keys: tuple[Key, ...] = ()
    checks: tuple[Check, ...] = ()
    indexes: tuple[Index, ...] = ()
    referenced_by: tuple[ReferencedBy, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    policies: tuple[Policy, ...] = ()
    partitions: tuple[Partition, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def invalid_indexes(self) -> tuple[str, ...]:
        return tuple(index.name for index in self.indexes if not index.valid)

    @property
    def unused_indexes(self) -> tuple[str, ...]:
        return tuple(index.name for index in self.indexes if index.unused)


class Schema(Struct, frozen=True):
    """A namespace, with how many of each sort are in it (partitions belong to their parents)."""

    name: str
    owner: str
    comment: str | None = None
    tables: int = 0
    views: int = 0
    sequences: int = 0
    functions: int = 0
    types: int = 0


class Extension(Struct, frozen=True):
    name: str
    version: str
    schema: str
    comment: str | None = None


class Type(Struct, frozen=True):
    """*kind* is `enum`, `domain`, `composite` or `range`. *labels* are those of an enum, in their order;
    *definition* says what the others are made of."""

    schema: str
    name: str
    kind: str
    labels: tuple[str, ...] = ()
    definition: str | None = None
    comment: str | None = None


class Sequence(Struct, frozen=True):
    """How a sequence counts, never how far it is; *owned_by* is the column that it numbers."""

    schema: str
    name: str
    type: str
    increment: int
    minimum: int
    maximum: int
    cycles: bool
    owned_by: str | None = None


class Function(Struct, frozen=True):
    """*kind* is `function`, `procedure`, `aggregate` or `window`. The body is not shown."""

    schema: str
    name: str
    kind: str
    arguments: str
    returns: str | None
    language: str
    comment: str | None = None


class Totals(Struct, frozen=True):
    """How many of each there are that match, whether or not they are listed."""

    relations: int = 0
    types: int = 0
    sequences: int = 0
    functions: int = 0


class Inspection(Struct, frozen=True):
    """A database at one moment (*taken_at*, by the server's clock), all lists of one snapshot.

    *offset* and *limit* are those of the question; *totals* says what there is beyond them.
    """

    database: str
    server_version: str
    taken_at: datetime
    size_bytes: int | None = None
    offset: int = 0
    limit: int = 0
    totals: Totals = Totals()
    schemas: tuple[Schema, ...] = ()
    extensions: tuple[Extension, ...] = ()
    relations: tuple[Relation, ...] = ()
    types: tuple[Type, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    functions: tuple[Function, ...] = ()

    @property
    def left_out(self) -> int:
        """Relations that match and are not listed."""
        return self.totals.relations - len(self.relations)


class Document(Struct, frozen=True):
    """An Inspection as JSON has it: the version of its form first."""

    schema: int
    database: str
    server_version: str
    taken_at: datetime
    size_bytes: int | None
    offset: int
    limit: int
    totals: Totals
    schemas: tuple[Schema, ...]
    extensions: tuple[Extension, ...]
    relations: tuple[Relation, ...]
    types: tuple[Type, ...]
    sequences: tuple[Sequence, ...]
    functions: tuple[Function, ...]


def document(inspection: Inspection) -> Document:
    """*inspection* as JSON has it."""
    return Document(1, *(getattr(inspection, name) for name in Document.__struct_fields__[1:]))
