"""The same migrations in every tool's layout: three statements each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

_STATEMENTS = (
    "CREATE TABLE item_{n} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE INDEX item_{n}_name ON item_{n} (name)",
    "INSERT INTO item_{n} (name) VALUES ('first')",
)
_SMALL = ("CREATE TABLE small_{n} (id integer)",)

_BASE_MS = 1_700_000_000_000


def native(folder: Path, count: int, *, small: bool = False) -> Path:
    statements = _SMALL if small else _STATEMENTS
    for n, name in _names(folder, count):
        _write(folder / f"{name}.sql", "".join(f"{each.format(n=n)};\n" for each in statements))
    return folder


def sleeping(folder: Path, seconds: int) -> Path:
    """A migration a second, which sleeps for it in two statements and makes a table."""
    for n, name in _names(folder, seconds):
        sleep = "SELECT pg_sleep(0.5);\n"
        _write(folder / f"{name}.sql", f"{sleep}CREATE TABLE slept_{n} (id integer);\n{sleep}")
    return folder


def pause(folder: Path, seconds: int) -> None:
    """A migration before all others of *folder* that sleeps, for whoever has to get ready."""
    _write(folder / "00000_pause.sql", f"SELECT pg_sleep({seconds});\n")


def dbmate(folder: Path, count: int) -> Path:
    for n, name in _names(folder, count):
        _write(folder / f"{name}.sql", f"-- migrate:up\n{_sql(n)}\n-- migrate:down\nDROP TABLE item_{n};\n")
    return folder


def drizzle(folder: Path, count: int) -> Path:
    entries = []
    for n, name in _names(folder, count):
        text = "--> statement-breakpoint\n".join(f"{each.format(n=n)};" for each in _STATEMENTS)
        _write(folder / f"{name}.sql", text)
        entries.append({"idx": n - 1, "version": "7", "when": _BASE_MS + n, "tag": name, "breakpoints": True})
    (folder / "meta").mkdir(exist_ok=True)
    journal = {"version": "7", "dialect": "postgresql", "entries": entries}
    _write(folder / "meta/_journal.json", json.dumps(journal))
    return folder


def node_pg_migrate(folder: Path, count: int) -> Path:
    for n, name in _names(folder, count):
        text = f"-- Up Migration\n{_sql(n)}\n-- Down Migration\nDROP TABLE item_{n};\n"
        _write(folder / f"{_BASE_MS + n}_{name}.sql", text)
    return folder


def yoyo(folder: Path, count: int) -> Path:
    for n, name in _names(folder, count):
        _write(folder / f"{name}.sql", _sql(n))
    return folder


def alembic(folder: Path, count: int, url: str) -> Path:
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    _write(folder / "alembic.ini", f"[alembic]\nscript_location = {folder}\n")
    _write(folder / "env.py", _ALEMBIC_ENV.format(url=url))
    before = "None"
    for n, name in _names(folder, count):
        calls = "".join(f"    op.execute({each.format(n=n)!r})\n" for each in _STATEMENTS)
        text = f"from alembic import op\nrevision = 'r{n}'\ndown_revision = {before}\ndef upgrade():\n{calls}"
        _write(folder / "versions" / f"v{name}.py", text)
        before = f"'r{n}'"
    return folder


_ALEMBIC_ENV = """\
from alembic import context
from sqlalchemy import create_engine, pool

with create_engine({url!r}, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def _sql(n: int) -> str:
    return "".join(f"{each.format(n=n)};\n" for each in _STATEMENTS)


def _names(folder: Path, count: int) -> Iterator[tuple[int, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    return ((n, f"{n:05}_item_{n}") for n in range(1, count + 1))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
