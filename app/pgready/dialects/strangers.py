"""Tools whose folders this version does not read, and what betrays them.

A folder of theirs is refused by name. Read as native, a goose or dbmate file would run its Down section
too, and a folder of programs would look like one in which nothing is to be done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pgready.core.model import SourceFile

_PATHS: Mapping[str, str] = {
    "Flyway or refinery": r"(.*/)?([VU][0-9][0-9._]*|R)__.+\.sql",
    "Prisma": r"migration_lock\.toml|schema\.prisma",
    "golang-migrate or sqlx": r"[0-9]+_.*\.up\.sql",
    "yoyo": r".+\.rollback\.sql",
    "Diesel": r"[^/]+/up\.sql|diesel\.toml",
    "Atlas": r"atlas\.sum",
    "Alembic": r"alembic\.ini|script\.py\.mako|versions/.+\.py",
    "Sqitch": r"sqitch\.plan",
    "graphile-migrate": r"committed/[0-9]+.*\.sql",
    "a tool whose migrations are programs (Knex, TypeORM, Rails, goose in Go, …)": (
        r"[0-9]+[-_][^/]*\.(js|ts|mjs|cjs|py|rb|go|php)"
    ),
}
_PATH_PATTERNS = {name: re.compile(pattern) for name, pattern in _PATHS.items()}

_HEAD_BYTES = 64 * 1024
"""Where a file's first marker is looked for: behind a licence, but not in 100 MB of data."""

# The needle stands in for the pattern in most files: a search for bytes is thirty times faster.
_TEXTS: Mapping[str, tuple[bytes, str]] = {
    "goose": (b"+goose", r"^--\s*\+goose\s+\w+"),
    "dbmate": (b"migrate:", r"^--\s*migrate:(up|down)\b"),
    "node-pg-migrate": (b" migration", r"^\s*--+\s*(up|down) migration\s*$"),
    "tern": (b"create above / drop below", r"^---- create above / drop below ----"),
    "graphile-migrate": (b"--! ", r"^--! (previous|hash):"),
    "Liquibase": (b"liquibase formatted", r"^\s*--\s*liquibase formatted sql"),
}
_TEXT_PATTERNS = {
    name: (needle, re.compile(pattern.encode(), re.IGNORECASE | re.MULTILINE))
    for name, (needle, pattern) in _TEXTS.items()
}

_BOTH_WAYS = ("goose", "dbmate", "node-pg-migrate", "tern")
"""Their one file holds the statements that apply and those that revert."""


def find_strangers(paths: Sequence[str], scripts: Sequence[SourceFile]) -> dict[str, str]:
    """The tools that *paths* and the text of *scripts* betray, each with its proof."""
    found: dict[str, str] = {}
    for name, pattern in _PATH_PATTERNS.items():
        path = next((path for path in paths if pattern.fullmatch(path)), None)
        if path is not None:
            found[name] = path
    for name, path, marker in _markers(scripts):
        found.setdefault(name, f"{path} has `{marker}`")
    return found


def two_way_files(scripts: Sequence[SourceFile]) -> list[str]:
    """One problem for each of *scripts* that would undo, in one go, what it did."""
    return [
        f"{path}: has {name}'s `{marker}`: its reverting statements would run as well"
        for name, path, marker in _markers(scripts)
        if name in _BOTH_WAYS
    ]


def _markers(scripts: Sequence[SourceFile]) -> Iterator[tuple[str, str, str]]:
    for script in scripts:
        head = script.data[:_HEAD_BYTES]
        low = head.lower()
        for name, (needle, pattern) in _TEXT_PATTERNS.items():
            if needle in low and (match := pattern.search(head)):
                yield name, script.path, match.group().decode(errors="replace").strip()
