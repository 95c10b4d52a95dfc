"""A schema as people read it on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgready.core.inspection import (
    Check,
    Column,
    Extension,
    Index,
    Inspection,
    Key,
    Partition,
    Reference,
    ReferencedBy,
    Relation,
    Schema,
    Totals,
    Type,
    words,
)
from pgready.core.inspection_text import detail, overview
from pgready.core.inspection_words import marks, notes, size

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

AUTHORS = Reference("library", "authors", ("id",), "no action", "cascade")
BOOKS = Relation(
    "library",
    "books",
    "table",
    "ann",
    comment="One row a book.",
    rows=1204,
    size_bytes=1_300_000,
    table_bytes=900_000,
    index_bytes=400_000,
    columns=(
        Column("id", "bigint", False, identity="always"),
        Column("author_id", "bigint", False),
        Column("title", "text", True, default="'untitled'::text", comment="As on the\ncover."),
    ),
    keys=(
        Key("books_pkey", "primary key", ("id",), "PRIMARY KEY (id)"),
        Key(
            "books_author",
            "foreign key",
            ("author_id",),
            "FOREIGN KEY (author_id) REFERENCES library.authors(id)",
            references=AUTHORS,
        ),
    ),
    checks=(Check("short", "CHECK (length(title) < 99)", validated=False),),
    indexes=(
        Index("books_pkey", "CREATE UNIQUE INDEX books_pkey …", True, True, True, 8192),
        Index("half", "CREATE INDEX half …", False, False, False, 16384),
    ),
    referenced_by=(ReferencedBy("library", "loans", "loans_book", ("book_id",), "set null"),),
)


def inspection(*relations: Relation, matching: int = 0) -> Inspection:
    return Inspection(
        "app",
        "18.1",
        NOON,
        size_bytes=9_000_000,
        totals=Totals(relations=matching or len(relations)),
        schemas=(Schema("library", "ann", "What can be lent.", tables=1), Schema("public", "ann")),
        extensions=(Extension("pg_trgm", "1.6", "public"),),
        relations=relations,
        types=(Type("library", "shelf", "enum", ("left", "right")),),
    )


def test_an_overview_has_a_line_a_table_with_what_is_wrong_with_it() -> None:
    assert overview(inspection(BOOKS)).splitlines() == [
        "app · PostgreSQL 18.1 · 8.6 MB · 1 table or view · 2026-05-04 12:00:00 UTC",
        "",
        "schema library (owner ann): What can be lent.",
        "  name   kind   rows    size    columns  indexes",
        "  books  table  ~1,204  1.2 MB  3        2        invalid: half; not validated: short",
        "",
        "no tables in public",
        "",
        "extensions",
        "  pg_trgm  1.6  in public",
        "",
        "types",
        "  library.shelf  enum  left, right",
    ]


def test_an_overview_says_what_it_leaves_out() -> None:
    last = overview(inspection(BOOKS, matching=10_000)).splitlines()[-1]

    assert last == "1 of 10,000 tables and views: --limit, --offset and --search show others"


def test_a_table_is_told_with_all_that_belongs_to_it() -> None:
    assert detail(BOOKS).splitlines() == [
        "library.books · table · owner ann",
        "One row a book.",
        "~1,204 rows, 1.2 MB (table 879 kB, indexes 391 kB)",
        "",
        "columns",
        "  id         bigint  not null  identity always; primary key",
        "  author_id  bigint  not null  → library.authors.id",
        "  title      text              default 'untitled'::text      -- As on the cover.",
        "",
        "keys",
        "  books_pkey    PRIMARY KEY (id)",
        "  books_author  FOREIGN KEY (author_id) REFERENCES library.authors(id)",
        "",
        "checks",
        "  short  CHECK (length(title) < 99)  NOT VALIDATED",
        "",
        "indexes",
        "  books_pkey  8 kB   CREATE UNIQUE INDEX books_pkey …",
        "  half        16 kB  CREATE INDEX half …               INVALID",
        "",
        "referenced by",
        "  library.loans (book_id)  on delete set null  loans_book",
    ]


def test_partitions_that_are_not_listed_are_counted() -> None:
    loans = Relation(
        "library", "loans", "partitioned table", "ann", partition_key="RANGE (day)", partition_count=300,
        partitions=(Partition("library", "loans_1", 1, "DEFAULT", 5, 8192),),
    )  # fmt: skip

    assert detail(loans).splitlines()[-3:] == [
        "partitions",
        "  library.loans_1  DEFAULT  ~5 rows  8 kB",
        "  and 299 more",
    ]
    assert notes(loans) == ("300 partitions",)


def test_a_column_of_a_key_of_several_is_marked_where_that_says_something() -> None:
    both = ("a", "b")
    keys = (Key("k", "primary key", both, ""), Key("u", "unique", both, ""))
    relation = Relation("s", "t", "table", "ann", keys=keys)

    assert marks(relation, Column("a", "int", False)) == ("primary key",)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (8192, "8 kB"), (1536, "1.5 kB"), (10**13, "9.1 TB"),
     (10**21, "888178 PB")],
)  # fmt: skip
def test_sizes_are_written_as_postgresql_counts(size_bytes: int | None, text: str) -> None:
    assert size(size_bytes) == text


def test_a_search_is_words_that_a_server_can_take() -> None:
    assert words("  two\twords two \0 ") == ("two", "words")
    assert words("\udc80") == ("?",)
    assert words("x" * 999) == ("x" * 200,)
