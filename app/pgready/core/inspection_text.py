"""An inspection for people: an overview of a database, one relation in detail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC

from pgready.core.inspection import (
    Column,
    Extension,
    Function,
    Index,
    Inspection,
    Key,
    Partition,
    Policy,
    ReferencedBy,
    Relation,
    Schema,
    Type,
)
from pgready.core.inspection import Sequence as NumberSequence
from pgready.core.inspection_words import count, marks, notes, rows, size

_WIDTH = 80


# Overview


def overview(inspection: Inspection, *, searched: bool = False) -> str:
    """The database: its relations by schema, then what else there is; of a search, what it found."""
    lines = [headline(inspection, searched=searched)]
    by_schema: dict[str, list[Relation]] = {}
    for relation in inspection.relations:
        by_schema.setdefault(relation.schema, []).append(relation)
    schemas = {schema.name: schema for schema in inspection.schemas}
    for name, relations in by_schema.items():
        lines += ["", _schema_line(name, schemas.get(name)), *_indented(_table(_listed(relations)))]
    empty = [name for name in schemas if name not in by_schema]
    if empty and not searched and not inspection.left_out:
        lines += ["", f"no tables in {', '.join(empty)}"]
    sections: tuple[tuple[str, Iterable[tuple[str, ...]]], ...] = (
        ("extensions", map(_extension, inspection.extensions)),
        ("types", map(_type, inspection.types)),
        ("sequences of their own", map(_sequence, _free(inspection.sequences))),
        ("functions", map(_function, inspection.functions)),
    )
    for title, cells in sections:
        lines += _section(title, cells)
    return "\n".join([*lines, *_left_out(inspection)])


def headline(inspection: Inspection, *, searched: bool = False) -> str:
    found = count(inspection.totals.relations, "table or view", "tables and views")
    if searched:
        found = _matching(inspection.totals.relations)
    parts = [
        inspection.database,
        f"PostgreSQL {inspection.server_version}",
        size(inspection.size_bytes),
        found,
        f"{inspection.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
    ]
    return " · ".join(parts)


def _matching(number: int) -> str:
    if number == 0:
        return "no table or view matches"
    return f"{count(number, 'table or view', 'tables and views')} {'matches' if number == 1 else 'match'}"


def _schema_line(name: str, schema: Schema | None) -> str:
    line = f"schema {name}"
    if schema is not None:
        line += f" (owner {schema.owner})"
        if schema.comment:
            line += f": {_one_line(schema.comment)}"
    return line


def _listed(relations: Iterable[Relation]) -> list[tuple[str, ...]]:
    head = ("name", "kind", "rows", "size", "columns", "indexes", "")
    return [head, *map(_line, relations)]


def _line(each: Relation) -> tuple[str, ...]:
    return (
        each.name,
        each.kind,
        rows(each.rows),
        size(each.size_bytes),
        str(len(each.columns)),
        str(len(each.indexes)),
        "; ".join(notes(each)),
    )


def _extension(each: Extension) -> tuple[str, ...]:
    return each.name, each.version, f"in {each.schema}", each.comment or ""


def _function(each: Function) -> tuple[str, ...]:
    result = f" → {each.returns}" if each.returns else f" ({each.kind})"
    return (f"{each.schema}.{each.name}({each.arguments}){result}",)


def _type(each: Type) -> tuple[str, ...]:
    made_of = ", ".join(each.labels) if each.kind == "enum" else each.definition or ""
    return f"{each.schema}.{each.name}", each.kind, made_of


def _free(sequences: Iterable[NumberSequence]) -> list[NumberSequence]:
    return [each for each in sequences if each.owned_by is None]


def _sequence(each: NumberSequence) -> tuple[str, ...]:
    bounds = f"{each.minimum} to {each.maximum} by {each.increment}{', cycles' if each.cycles else ''}"
    return f"{each.schema}.{each.name}", each.type, bounds


def _left_out(inspection: Inspection) -> list[str]:
    lines = []
    if inspection.left_out:
        shown = f"{len(inspection.relations):,} of {inspection.totals.relations:,}"
        first = f", from the {inspection.offset + 1:,}. on" if inspection.offset else ""
        lines += ["", f"{shown} tables and views{first}: --limit, --offset and --search show others"]
    for name in ("types", "sequences", "functions"):
        total, shown_here = getattr(inspection.totals, name), len(getattr(inspection, name))
        if total > shown_here:
            lines.append(f"{shown_here:,} of {total:,} {name}")
    return lines


# One relation


def detail(relation: Relation) -> str:
    """*relation* with all that belongs to it."""
    lines = [f"{relation.full_name} · {relation.kind} · owner {relation.owner}"]
    if relation.comment:
        lines.append(relation.comment)
    if relation.size_bytes is not None:
        parts = f"table {size(relation.table_bytes)}, indexes {size(relation.index_bytes)}"
        lines.append(f"{rows(relation.rows)} rows, {size(relation.size_bytes)} ({parts})")
    lines += _facts(relation)
    sections: tuple[tuple[str, Iterable[tuple[str, ...]]], ...] = (
        ("columns", (_column(relation, each) for each in relation.columns)),
        (
            "keys",
            (
                (each.name, each.definition or _columns(each), _unproven(each.validated))
                for each in relation.keys
            ),
        ),
        (
            "checks",
            ((each.name, each.definition or "", _unproven(each.validated)) for each in relation.checks),
        ),
        ("indexes", map(_index, relation.indexes)),
        ("referenced by", map(_referring, relation.referenced_by)),
        (
            "triggers",
            (
                (each.definition or each.name, "" if each.enabled else "DISABLED")
                for each in relation.triggers
            ),
        ),
        ("policies", map(_policy, relation.policies)),
        ("partitions", map(_partition, relation.partitions)),
    )
    for title, cells in sections:
        lines += _section(title, cells)
    more = relation.partition_count - len(relation.partitions)
    if more:
        lines.append(f"  and {more:,} more")
    if relation.definition:
        lines += ["", "definition", *_indented(relation.definition.strip().splitlines())]
    return "\n".join(lines)


def _facts(relation: Relation) -> list[str]:
    facts = []
    if relation.partition_key:
        facts.append(f"partitioned by {relation.partition_key}")
    if relation.partition_of:
        facts.append(f"partition of {relation.partition_of} {relation.partition_bound or ''}".rstrip())
    if relation.inherits:
        facts.append(f"inherits {', '.join(relation.inherits)}")
    if relation.locked:
        facts.append("locked by another session now: its sizes and some expressions are left out")
    facts += (
        note for note in notes(relation) if note.startswith(("row security", "unlogged", "of extension"))
    )
    return facts


def _column(relation: Relation, column: Column) -> tuple[str, ...]:
    null = "" if column.nullable else "not null"
    return column.name, column.type, null, "; ".join(marks(relation, column)), _remark(column.comment)


def _columns(key: Key) -> str:
    return f"{key.kind} ({', '.join(key.columns)})"


def _remark(comment: str | None) -> str:
    return f"-- {comment}" if comment else ""


def _referring(each: ReferencedBy) -> tuple[str, ...]:
    return f"{each.schema}.{each.table} ({', '.join(each.columns)})", f"on delete {each.on_delete}", each.name


def _policy(each: Policy) -> tuple[str, ...]:
    return (
        each.name,
        each.command if each.permissive else f"{each.command}, restrictive",
        f"to {', '.join(each.roles)}",
        f"using {each.using}" if each.using else "",
        f"with check {each.check}" if each.check else "",
    )


def _index(index: Index) -> tuple[str, ...]:
    told = [word for word, holds in (("INVALID", not index.valid), ("unused", index.unused)) if holds]
    return index.name, size(index.size_bytes), index.definition or "", ", ".join(told)


def _partition(each: Partition) -> tuple[str, ...]:
    name = "  " * (each.level - 1) + (f"{each.schema}.{each.name}")
    return name, each.bound or "", f"{rows(each.rows)} rows", size(each.size_bytes)


def _unproven(validated: bool) -> str:
    return "" if validated else "NOT VALIDATED"


# Layout


def _section(title: str, cells: Iterable[tuple[str, ...]]) -> list[str]:
    table = _table(list(cells))
    return ["", title, *_indented(table)] if table else []


def _table(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """*cells* in columns; one that would push the rest off the screen does not widen its column."""
    if not cells:
        return []
    widths = [min(_WIDTH, max(len(row[at]) for row in cells)) for at in range(len(cells[0]))]
    return [
        "  ".join(
            f"{_one_line(cell):<{width}}" for cell, width in zip(row, widths, strict=True) if width
        ).rstrip()
        for row in cells
    ]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _one_line(text: str) -> str:
    return " ".join(text.split())
