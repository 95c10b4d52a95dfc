"""Folders as the tools allow them, made by hypothesis: versions in any spelling, names of any characters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime

from hypothesis import strategies as st
from msgspec import Struct

from pgready.core.model import SourceFile
from pgready.dialects.flyway_layout import number_of
from pgready.dialects.layout import BIGINT_MAX

Files = list[SourceFile]
Layout = st.SearchStrategy[Files]

AT_MOST = 6
ANY_NUMBER = 10**40
YEAR_10000_MS = 253_402_300_800_000

NAMES = st.text(
    st.sampled_from("abB_-.' \"\\:$%é")
    | st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"),
    min_size=1,
    max_size=30,
).filter(lambda name: not name.lower().endswith((".up", ".down")))
WORDS = st.text(st.characters(categories=("L", "N"), include_characters="_"), min_size=1, max_size=30)
TEXTS = st.sampled_from(["SELECT 1;\n", "SELECT 1;\r\n", "SELECT 'ä';"])  # few, so that many are the same
SAME_MOMENTS = st.just(datetime(2026, 1, 1))
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31))


def numbers(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, 20) | st.sampled_from([20260101000000, 20260101000001, 2**31, most])


class Item(Struct, frozen=True):
    """A migration to be: its number, and that as it is written."""

    number: int
    digits: str
    name: str
    text: str

    def file(self, path: str) -> SourceFile:
        return SourceFile(path.format(digits=self.digits, name=self.name), self.text.encode())


def by_number(item: Item) -> Hashable:
    return item.number


def by_name(item: Item) -> Hashable:
    return item.digits, item.name


def items(
    least: int,
    most: int,
    names: st.SearchStrategy[str] = NAMES,
    unique_by: Callable[[Item], Hashable] = by_number,
) -> st.SearchStrategy[list[Item]]:
    item = st.builds(
        lambda number, width, name, text: Item(number, f"{number:0{width}}", name, text),
        numbers(least, most),
        st.sampled_from([1, 1, 4, 14]),
        names,
        TEXTS,
    )
    return st.lists(item, min_size=1, max_size=AT_MOST, unique_by=unique_by)


def called(path: str, found: st.SearchStrategy[list[Item]]) -> Layout:
    return found.map(lambda each: [item.file(path) for item in each])


@st.composite
def unbroken(draw: st.DrawFn) -> Files:
    names = draw(st.lists(NAMES, min_size=1, max_size=AT_MOST))
    return [
        SourceFile(f"{number:03}_{name}.sql", draw(TEXTS).encode())
        for number, name in enumerate(names, start=1)
    ]


@st.composite
def committed(draw: st.DrawFn) -> Files:
    """A chain, as graphile-migrate makes it."""
    slugs = draw(st.lists(st.text("aZ9-_", max_size=5), min_size=1, max_size=AT_MOST))
    files, previous = [], ""
    for number, slug in enumerate(slugs, start=1):
        body = draw(TEXTS).strip() + "\n"
        digest = hashlib.sha1(f"{previous}\n{body}".lstrip().encode(), usedforsecurity=False).hexdigest()
        headers = f"--! Previous: {previous or '-'}\n--! Hash: sha1:{digest}\n\n"
        files.append(SourceFile(f"committed/{number:06}-{slug}.sql", f"{headers}{body}".encode()))
        previous = f"sha1:{digest}"
    return files


@st.composite
def folders(draw: st.DrawFn) -> Files:
    moments = draw(st.lists(SAME_MOMENTS | MOMENTS, min_size=1, max_size=AT_MOST))
    paths = {f"{moment:%Y%m%d%H%M%S}_{draw(NAMES)}/migration.sql" for moment in moments}
    return [SourceFile(path, draw(TEXTS).encode()) for path in sorted(paths)]


@st.composite
def journal(draw: st.DrawFn) -> Files:
    found = draw(items(0, 20, unique_by=by_name))
    whens = numbers(0, YEAR_10000_MS - 1)
    stamps = draw(st.lists(whens, min_size=len(found), max_size=len(found), unique=True))
    entries = [
        {"idx": idx, "when": when, "tag": f"{item.digits}_{item.name}"}
        for idx, (item, when) in enumerate(zip(found, stamps, strict=True))
    ]
    scripts = [item.file("{digits}_{name}.sql") for item in found]
    return [SourceFile("meta/_journal.json", json.dumps({"entries": entries}).encode()), *scripts]


@st.composite
def flyway(draw: st.DrawFn) -> Files:
    parts = st.lists(st.sampled_from(["0", "1", "2", "01", "10", "20260101000000"]), min_size=1, max_size=3)
    versions = st.builds(str.join, st.sampled_from("._"), parts)
    found = draw(st.lists(versions, min_size=1, max_size=AT_MOST, unique_by=number_of))
    views = draw(st.lists(NAMES, max_size=2, unique_by=lambda name: name.replace("_", " ")))
    paths = [f"V{version}__{draw(NAMES)}.sql" for version in found]
    paths += [f"views/R__{name}.sql" for name in views]
    return [SourceFile(path, draw(TEXTS).encode()) for path in paths]


LAYOUTS: Mapping[str, Layout] = {
    "native": called("{digits}_{name}.sql", items(0, ANY_NUMBER)),
    "drizzle": journal() | folders(),
    "golang-migrate": called("{digits}_{name}.up.sql", items(0, BIGINT_MAX)),
    "goose": called("{digits}_{name}.sql", items(1, BIGINT_MAX)),
    "dbmate": called("{digits}_{name}.sql", items(0, ANY_NUMBER, unique_by=lambda item: item.digits)),
    "sqlx": called("{digits}_{name}.sql", items(0, BIGINT_MAX)),
    "flyway": flyway(),
    "node-pg-migrate": called("{digits}_{name}.sql", items(0, ANY_NUMBER, unique_by=by_name)),
    "prisma": folders(),
    "graphile-migrate": committed(),
    "tern": unbroken(),
    "refinery": called("V{digits}__{name}.sql", items(0, BIGINT_MAX, WORDS)),
}
