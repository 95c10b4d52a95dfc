"""A schema as people read it on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from pgready.core.inspection import (
    Check,
    Column,
    Extension,
    Function,
    Index,
    Inspection,
    Key,
    Partition,
    Policy,
    Reference,
    ReferencedBy,
    Relation,
    Schema,
    Totals,
    Trigger,
    Type,
    document,
    is_hidden,
    words,
)
from pgready.core.inspection import Sequence as NumberSequence
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


@pytest.mark.parametrize(
    ("relations", "said"),
    [
        ((), "no table or view matches"),
        ((BOOKS,), "1 table or view matches"),
        ((BOOKS, replace(BOOKS, name="loans")), "2 tables and views match"),
    ],
)
def test_an_overview_of_a_search_counts_what_matches(relations: tuple[Relation, ...], said: str) -> None:
    told = overview(inspection(*relations), searched=True)

    assert told.splitlines()[0] == f"app · PostgreSQL 18.1 · 8.6 MB · {said} · 2026-05-04 12:00:00 UTC"
    assert "no tables in" not in told


@pytest.mark.parametrize(
    ("name", "hidden"), [("pg_toast", True), ("pgready", True), ("public", False), ("pgx", False)]
)
def test_a_schema_of_the_server_or_of_pgready_is_hidden(name: str, hidden: bool) -> None:
    assert is_hidden(name) is hidden


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


def test_a_table_says_whose_it_is_and_what_keeps_it_from_being_told_in_full() -> None:
    part = Relation(
        "library", "loans_1", "table", "ann", persistence="unlogged", partition_of="library.loans",
        partition_bound="DEFAULT", inherits=("library.base",), locked=True, row_security="enabled",
        extension="lending",
    )  # fmt: skip

    assert detail(part).splitlines()[1:] == [
        "partition of library.loans DEFAULT",
        "inherits library.base",
        "locked by another session now: its sizes and some expressions are left out",
        "row security enabled",
        "unlogged",
        "of extension lending",
    ]
    assert notes(part) == ("locked now", "row security enabled", "unlogged", "of extension lending")


def test_a_view_is_told_with_its_definition_triggers_and_policies() -> None:
    view = Relation(
        "library", "late", "view", "ann", definition=" SELECT 1;\n",
        triggers=(Trigger("t", "CREATE TRIGGER t …", True), Trigger("u", "", False)),
        policies=(
            Policy("p", "all", True, ("ann", "bob"), "a"), Policy("q", "select", False, ("bob",), check="b"),
        ),
    )  # fmt: skip

    assert detail(view).splitlines() == [
        "library.late · view · owner ann",
        "",
        "triggers",
        "  CREATE TRIGGER t …",
        "  u                   DISABLED",
        "",
        "policies",
        "  p  all                  to ann, bob  using a",
        "  q  select, restrictive  to bob                with check b",
        "",
        "definition",
        "  SELECT 1;",
    ]


def test_a_key_without_a_definition_is_told_by_its_columns() -> None:
    relation = Relation("s", "t", "table", "ann", keys=(Key("k", "primary key", ("a", "b"), None),))

    assert detail(relation).splitlines()[-1] == "  k  primary key (a, b)"


def test_a_column_says_how_its_value_is_made() -> None:
    column = Column("a", "text", False, generated="lower(b)", storage="stored", collation="C")

    assert marks(Relation("s", "t", "table", "ann"), column) == ("generated stored: lower(b)", "collation C")


def test_an_overview_counts_functions_and_sequences_and_says_which_are_left_out() -> None:
    whole = replace(
        inspection(Relation("other", "t", "table", "ann")),
        schemas=(Schema("other", "ann"), Schema("library", "ann")),
        offset=10,
        totals=Totals(relations=20, types=1, sequences=3, functions=4),
        sequences=(
            NumberSequence("s", "n", "bigint", 1, 1, 9, True),
            NumberSequence("s", "o", "bigint", 1, 1, 9, False, "s.t.a"),
        ),
        functions=(
            Function("s", "f", "function", "a int", "int", "sql"),
            Function("s", "p", "procedure", "", None, "sql"),
        ),
    )

    assert overview(whole).splitlines()[2] == "schema other (owner ann)"
    assert overview(whole).splitlines()[11:] == [
        "",
        "sequences of their own",
        "  s.n  bigint  1 to 9 by 1, cycles",
        "",
        "functions",
        "  s.f(a int) → int",
        "  s.p() (procedure)",
        "",
        "1 of 20 tables and views, from the 11. on: --limit, --offset and --search show others",
        "2 of 3 sequences",
        "2 of 4 functions",
    ]


def test_a_schema_that_is_not_listed_is_told_by_its_name() -> None:
    assert "schema other" in overview(inspection(Relation("other", "t", "table", "ann"))).splitlines()


def test_as_json_it_is_the_same_under_a_version_of_its_own() -> None:
    whole = inspection(BOOKS)

    made = document(whole)

    assert made.schema == 1
    assert (made.database, made.relations, made.types) == (whole.database, whole.relations, whole.types)


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
