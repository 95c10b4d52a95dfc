"""Writes the next empty migration into a folder: what `pgready new` does. Asks no database.

1. The folder is locked from the look that finds the newest version until the file is there, so that two at
   once get two versions. Where the file system has no locks, rule 3 finds them out.
2. No file is overwritten, and of a pair both are written or none.
3. What was written is read back as the next run would read it. Where it would be refused, or would not run
   behind all others, it is taken away again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from pgready import files
from pgready.core.errors import FolderError
from pgready.core.model import Folder, SourceFile
from pgready.dialects import detect, drafts
from pgready.dialects.base import Dialect
from pgready.running.assemble import surroundings
from pgready.settings import Settings


class Wish(Struct, frozen=True):
    """What is to be written: a migration *name* of those *words*, or a *repeatable* script."""

    words: tuple[str, ...]
    down: bool = False
    repeatable: bool = False


class Drafted(Struct, frozen=True):
    """What was written; *version* is None of a repeatable script, *paths* are below the folder."""

    dialect: str
    version: str | None
    name: str
    paths: tuple[str, ...]


def draft(settings: Settings, wish: Wish, now: datetime) -> Drafted:
    """Write what *wish* asks for into the folder of *settings*, which is made where it is missing.

    Raises FolderError, with nothing written, and SettingsError.
    """
    name = drafts.name_of(wish.words)
    root = Path(settings.dir)
    try:
        _refuse(settings, root, wish, name)
        with _locked(root):
            dialect, folder = _read(settings)
            below = detect.MAIN if (root / detect.MAIN).is_dir() else ""
            if wish.repeatable:
                drafted = drafts.repeatable(dialect, folder, name, below=below)
            else:
                drafted = drafts.versioned(dialect, folder, name, below=below, now=now, down=wish.down)
            with _written(root, drafted):
                version = _version(_read(settings)[1], drafted[0].path, wish, dialect)
    except OSError as error:
        what = f"{error.filename or settings.dir}: cannot be written: {error.strerror or error}"
        raise FolderError((what,)) from error
    return Drafted(dialect.name, version, name, tuple(file.path for file in drafted))


def _refuse(settings: Settings, root: Path, wish: Wish, name: str) -> None:
    """Raise an error before anything is made, where the folder is nobody's or its tool makes its files."""
    found = files.read_folder(settings.dir) if root.exists() else ()
    recognised = detect.recognise(found, settings.dialect)
    if not wish.repeatable:
        drafts.refuse_generated(detect.make(recognised), name)


def _read(settings: Settings) -> tuple[Dialect, Folder]:
    found = files.read_folder(settings.dir)
    return detect.read(
        found,
        dialect=settings.dialect,
        namespace=settings.namespace,
        around=surroundings(settings),
    )


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keep other `pgready new` out of *root*. It is made where it is missing, and goes again on an error."""
    missing = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a network's file system, mostly
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except BaseException:
        if missing:
            with contextlib.suppress(OSError):  # somebody else has put something there
                root.rmdir()
        raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _written(root: Path, drafted: Sequence[SourceFile]) -> Iterator[None]:
    """All of *drafted* is written, and stays unless there is an error meanwhile."""
    made: list[Path] = []
    try:
        for file in drafted:
            path = root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as opened:
                made.append(path)
                opened.write(file.data)
        yield
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise FolderError((f"{error.filename}: is there already",), hint="give it another name") from None
        raise


def _version(folder: Folder, path: str, wish: Wish, dialect: Dialect) -> str | None:
    """The version that *folder* reads in the file *path*, where that would run as it is meant to."""
    if wish.repeatable:
        return None
    newest = folder.migrations[-1]
    if newest.script.path == path:
        return newest.version
    raise FolderError(
        (f"{path}: would run before {newest.script.path}, as {dialect.name} orders its files",),
        hint="give the files numbers of as many digits, or write this one by hand",
    )
