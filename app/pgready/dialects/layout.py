"""What the layouts of several tools have in common: one folder of files, pairs of scripts, problems."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from pgready.core.errors import FolderError
from pgready.core.model import Migration, Script, SourceFile
from pgready.dialects.base import Draft, is_sql

BIGINT_MAX = 2**63 - 1
"""No history holds a greater version."""


class TopLevel:
    """The files right in the folder, by name; *skipped* are scripts below it, which the tool never sees."""

    def __init__(self, files: Sequence[SourceFile], below: str) -> None:
        self._named = {file.path.removeprefix(below): file for file in files}
        nested = [file.path for name, file in self._named.items() if "/" in name]
        self.skipped = [path for path in nested if is_sql(path)]
        self.ignored = [path for path in nested if not is_sql(path)]

    def __iter__(self) -> Iterator[tuple[str, SourceFile]]:
        return ((name, file) for name, file in self._named.items() if "/" not in name)


def checksum(script: SourceFile) -> str:
    """Hex SHA-256 of the file, for histories that keep none: it tells what `adopt` took over."""
    return hashlib.sha256(script.data).hexdigest()


def number(digits: str) -> int | None:
    """*digits* as a version that a bigint holds, or None."""
    return int(digits) if len(digits.lstrip("0")) <= 19 and int(digits) <= BIGINT_MAX else None


def spellings(migrations: Sequence[Migration]) -> Mapping[int, Migration]:
    """The migrations by their numbers: a file may say 000001 and its history row 1."""
    return {int(migration.version): migration for migration in migrations}


def empty(path: str) -> Script:
    """A script with nothing in it, which *path* stands for."""
    return Script(path, "")


def both_ways(draft: Draft) -> tuple[SourceFile, ...]:
    """*draft* as `.up.sql` and `.down.sql`."""
    return tuple(SourceFile(f"{draft.stem}.{way}.sql", b"") for way in ("up", "down"))


def refuse(problems: Sequence[str]) -> None:
    """Raise FolderError when there are *problems*."""
    if problems:
        raise FolderError(tuple(problems), hint="no file is skipped in silence; nothing was run")
