"""What is applied: migrations of three statements, of one, sleeping ones, and one that is 100 MB long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.peers.peer import Step

_STATEMENTS = """\
CREATE TABLE item_{n} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, \
created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX item_{n}_name ON item_{n} (name);
INSERT INTO item_{n} (name) VALUES ('first');
"""
_SMALL = "CREATE TABLE small_{n} (id integer);\n"

# Five digits each, so that every tool sorts them as numbers, whether it takes them for numbers or not.
_FIRST_VERSION = 10_001


def steps(count: int, *, small: bool = False) -> list[Step]:
    """*count* migrations of three statements, or *small* ones of one."""
    text = _SMALL if small else _STATEMENTS
    table = "small" if small else "item"
    return [
        Step(_FIRST_VERSION + n, f"{table}_{n}", text.format(n=n), f"DROP TABLE {table}_{n};")
        for n in range(count)
    ]


def native(folder: Path, steps: Sequence[Step]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        (folder / f"{step.version}_{step.name}.sql").write_text(step.up, encoding="utf-8")
    return folder


def sleeping(count: int, seconds: float) -> list[Step]:
    """Migrations that take long in the server, as a backfill or an index does: two statements and a table."""
    sleep = f"SELECT pg_sleep({seconds / 2});\n"
    return [
        Step(_FIRST_VERSION + n, f"slept_{n}", f"{sleep}CREATE TABLE slept_{n} (id integer);\n{sleep}", "")
        for n in range(count)
    ]


def pause(folder: Path, seconds: int) -> None:
    """A migration before all others of *folder* that sleeps, for whoever has to get ready."""
    (folder / "00000_pause.sql").write_text(f"SELECT pg_sleep({seconds});\n", encoding="utf-8")


_LARGE_TABLE = "CREATE TABLE large (id bigint, name text, note text, at timestamptz);\n"


def inserts(size_bytes: int, rows_each: int) -> Step:
    """One migration of *size_bytes*, which inserts *rows_each* rows a statement, as a dump does."""

    def written() -> Iterator[str]:
        rows: list[str] = []
        for number in range(size_bytes // _ROW_BYTES):
            rows.append(f"({number}, 'name of {number:08}', '{_NOTE}', '2026-01-01 00:00:00+00')")
            if len(rows) == rows_each:
                yield f"INSERT INTO large VALUES {', '.join(rows)};\n"
                rows = []

    return Step(_FIRST_VERSION, "large", _LARGE_TABLE + "".join(written()), "DROP TABLE large;")


def copied(size_bytes: int) -> Step:
    """One migration of *size_bytes*, which copies its rows in, as a dump does."""
    lines = (
        f"{number}\tname of {number:08}\t{_NOTE}\t2026-01-01 00:00:00+00\n"
        for number in range(size_bytes // _ROW_BYTES)
    )
    text = f"{_LARGE_TABLE}COPY large FROM stdin;\n{''.join(lines)}\\.\n"
    return Step(_FIRST_VERSION, "large", text, "DROP TABLE large;")


_NOTE = "a note as long as notes are; " * 3
_ROW_BYTES = 150
