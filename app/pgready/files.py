"""Reads a migration folder from disk."""

from __future__ import annotations

import os

from pgready.core.errors import FolderError
from pgready.core.model import SourceFile


def read_folder(directory: str) -> tuple[SourceFile, ...]:
    """Every file below *directory*, sorted by path. Raises FolderError where there is no such folder."""
    if not os.path.isdir(directory):
        raise FolderError((f"{directory}: no such folder",), hint="set PGREADY_DIR, or --dir")
    found: list[SourceFile] = []
    for folder, subfolders, names in os.walk(directory, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found.append(SourceFile(os.path.relpath(path, directory), file.read()))
    return tuple(sorted(found, key=lambda file: file.path))
