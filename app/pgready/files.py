"""Reads a migration folder from disk: every file below it, once, as bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pgready.core.errors import FolderError
from pgready.core.model import SourceFile

_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})


def read_folder(directory: str) -> tuple[SourceFile, ...]:
    """Every file below *directory*, sorted by path, which is written with `/`.

    Hidden entries (so also a mounted ConfigMap's `..data`) and what editors leave beside a file are not
    looked at; links are followed. Raises FolderError for a folder that is not there, and naming every
    file that cannot be read.
    """
    if not os.path.isdir(directory):  # noqa: PTH112 - pathlib costs a start of a thousand files 20 ms
        hint = "name it with --dir or PGREADY_DIR"
        raise FolderError((f"{directory}: no such folder",), hint=hint)
    found: list[SourceFile] = []
    problems: list[str] = []
    for path, full in sorted(_walk(directory, "", ())):
        try:
            with open(full, "rb") as file:  # noqa: PTH123 - see above
                found.append(SourceFile(path, file.read()))
        except OSError as problem:
            problems.append(f"{path}: cannot be read ({problem.strerror})")
    if problems:
        raise FolderError(tuple(problems), hint="every file is read before anything is run")
    return tuple(found)


def _walk(directory: str, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, str]]:
    """Relative and full paths; a link that leads back up is not followed again."""
    status = os.stat(directory)  # noqa: PTH116 - see above
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            if _is_dropping(entry.name):
                continue
            if entry.is_dir():
                if entry.name not in _SKIPPED_FOLDERS:
                    yield from _walk(entry.path, f"{below}{entry.name}/", (*above, identity))
            else:
                yield below + entry.name, entry.path


def _is_dropping(name: str) -> bool:
    """Whether *name* is hidden, or a backup or lock file of an editor."""
    return name.startswith((".", "#")) or name.endswith(("~", ".swp", ".swo", ".orig", ".bak"))
