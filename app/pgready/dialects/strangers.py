"""Tools whose folders this version does not read, and what betrays them.

A folder of theirs is refused by name. Read as native, a goose or dbmate file would run its Down section
too, and a folder of programs would look like one in which nothing is to be done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from msgspec import Struct

from pgready.core.model import SourceFile

PROGRAMS = "a tool whose migrations are programs (Knex, TypeORM, Rails, goose in Go, …)"

_PATHS: Mapping[str, str] = {
    "Flyway or refinery": r"(.*/)?[VU][0-9][0-9._]*__.+\.sql",
    "flyway": r"(.*/)?(B[0-9][0-9._]*|R)__.+\.sql|flyway(\.user)?\.(toml|conf)",
    "refinery": r"(.*/)?[VU][0-9]+__\w+\.rs|refinery\.toml",
    "Prisma": r"migration_lock\.toml|schema\.prisma|[^/]+/ops\.json",
    "golang-migrate or sqlx": r"[0-9]+_.*\.up\.sql",
    "yoyo": r".+\.rollback\.sql",
    "Diesel": r"[^/]+/up\.sql|diesel\.toml",
    "Atlas": r"atlas\.sum",
    "tern": r"tern\.conf",
    "Alembic": r"alembic\.ini|script\.py\.mako|versions/.+\.py",
    "Sqitch": r"sqitch\.plan",
    "graphile-migrate": r"committed/[0-9]+.*\.sql",
    PROGRAMS: r"[0-9]+[-_][^/]*\.(js|ts|mjs|cjs|py|rb|go|php)",
}
_ANY_PATH = "|".join(f"(?:{pattern})" for pattern in _PATHS.values())


class _Marker(Struct, frozen=True):
    """Comment lines that betray *tool*, each at a line's start: all of *lines* must be there.

    Where *needle* is not among a file's lowercase bytes, no pattern is tried: a search for bytes is thirty
    times faster. A *sure* one means that the file holds what applies and what reverts. *Prose* may be an
    ordinary heading, too, where the file's name says already which way it goes.
    """

    tool: str
    needle: bytes
    lines: tuple[str, ...]
    sure: bool = True
    prose: bool = False


# No class here spans lines, and what repeats is bounded or anchored: a file of a million dashes is read, too.
_END = r"[^\w\r\n]*(?=[\r\n]|\Z)"
_MARKERS = (
    _Marker("goose", b"+goose", (r"--[ \t]*\+goose[ \t]+\w+",)),
    _Marker("dbmate", b"migrate:", (r"--[ \t]*migrate:(?:up|down)\b",)),
    _Marker("sql-migrate", b"+migrate", (r"--[ \t]*\+migrate[ \t]+\w+",)),
    _Marker("micrate", b"+micrate", (r"--[ \t]*\+micrate[ \t]+\w+",)),
    _Marker("rambler", b"rambler", (rf"--[ \t]*rambler[ \t]+(?:up|down){_END}",)),
    _Marker("tern", b"create above / drop below", (r"---- create above / drop below ----",)),
    _Marker("tern", b"tern: disable-tx", (r"---- tern: disable-tx ----",), sure=False),
    _Marker("MyBatis Migrations", b"@undo", (r"--[ \t]*(?://)?[ \t]*@undo\b",)),
    _Marker("Play", b"!downs", (r"(?:#[ \t]*)?--[ \t-]*!downs\b",)),
    _Marker("node-pg-migrate", b"migration", (rf"--[ \t-]*(?:up|down)[ \t]+migration{_END}",), prose=True),
    # Its own pattern asks for no more than this, but so may an ordinary comment begin.
    _Marker(
        "node-pg-migrate",
        b"migration",
        (r"--[ \t-]*down[ \t]+migration\b[^\r\n]{0,60}",),
        sure=False,
        prose=True,
    ),
    _Marker(
        "a tool whose files hold their own reverse",
        b"down",
        (rf"--[^\w\r\n!]*ups?{_END}", rf"--[^\w\r\n!]*downs?{_END}"),
        sure=False,
        prose=True,
    ),
    _Marker("graphile-migrate", b"--! ", (r"--! (?:previous|hash):",), sure=False),
    _Marker("Liquibase", b"liquibase formatted", (r"--[ \t]*liquibase formatted sql",), sure=False),
)

_HEAD_BYTES = 64 * 1024
"""All lines of a file are looked at up to here, and then only comments that speak of reverting: some tools
mark nothing else, and what applies may be 100 MB long."""

_REVERTING = re.compile(rb"--(?<!---)[^\w\r\n]{0,20}(?:\w{1,40}[^\w\r\n]{1,20}){0,3}(?i:downs?|drop|undo)\b")


def find_strangers(paths: Sequence[str], scripts: Sequence[SourceFile]) -> dict[str, str]:
    """The tools that *paths* and the text of *scripts* betray, each with its proof."""
    found: dict[str, str] = {}
    telling = list(filter(re.compile(_ANY_PATH).fullmatch, paths))  # most often none
    for name, pattern in _PATHS.items():
        path = next((path for path in telling if re.fullmatch(pattern, path)), None)
        if path is not None:
            found[name] = path
    for path, marker, text in _marked(scripts):
        found.setdefault(marker.tool, f"{path} has `{text}`")
    return found


def two_way_files(scripts: Sequence[SourceFile]) -> list[str]:
    """One problem for each of *scripts* that surely would undo, in one go, what it did."""
    return [
        f"{path}: has {marker.tool}'s `{text}`: its reverting statements would run as well"
        for path, marker, text in _marked(scripts)
        if marker.sure
    ]


def _marked(scripts: Sequence[SourceFile]) -> Iterator[tuple[str, _Marker, str]]:
    """Each script's path, the markers that it has, and the line that shows it."""
    for script in scripts:
        telling = _telling(script.data)
        low = telling.lower()
        one_way = script.path.lower().endswith((".up.sql", ".down.sql"))
        for marker in _MARKERS:
            if one_way and marker.prose:
                continue
            if marker.needle in low and (text := _shown(marker, telling)):
                yield script.path, marker, text


def _telling(data: bytes) -> bytes:
    """The part of *data* where markers may be."""
    if b"--" not in data:
        return b""
    if len(data) <= _HEAD_BYTES:
        return data
    head = data.rfind(b"\n", 0, _HEAD_BYTES) + 1 or _HEAD_BYTES
    return b"\n".join((data[:head], *_comments_behind(data, head)))


def _comments_behind(data: bytes, head: int) -> Iterator[bytes]:
    for match in _REVERTING.finditer(data, head):
        before = data[max(head, match.start() - 80) : match.start()].replace(b"\r", b"\n")
        if not before.rpartition(b"\n")[2].strip():
            yield data[match.start() : match.end() + 80].partition(b"\n")[0]


def _shown(marker: _Marker, data: bytes) -> str | None:
    match: re.Match[bytes] | None = None
    for line in marker.lines:
        match = _compiled(line).search(data)
        if match is None:
            return None
    return match["line"].decode(errors="replace").strip() if match else None


@cache
def _compiled(line: str) -> re.Pattern[bytes]:
    # A byte order mark or white space may come first; `--` ends at a lone CR as well.
    pattern = rf"(?:^|(?<=\r))(?:\xef\xbb\xbf)?[ \t]*(?P<line>{line})"
    return re.compile(pattern.encode("latin-1"), re.IGNORECASE | re.MULTILINE)
