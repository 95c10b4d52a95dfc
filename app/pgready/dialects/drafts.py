"""The next empty migration of a folder, as its dialect lays it out: names and text alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from pgready.core.errors import FolderError, SettingsError
from pgready.core.model import Folder, Migration, SourceFile
from pgready.dialects.base import Dialect, Draft

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def name_of(words: Sequence[str]) -> str:
    """*words* as a name in a file's: small letters and digits, with `_` between. Raises SettingsError."""
    said = " ".join(words)
    text = _HUMP.sub("_", unicodedata.normalize("NFC", said.removesuffix(".sql")))
    name = _BETWEEN_WORDS.sub("_", text).strip("_").lower()
    if not name:
        raise SettingsError((f"{said!r} has neither a letter nor a digit to name a file with",))
    return name


def refuse_generated(dialect: Dialect, name: str) -> None:
    """Raise FolderError where only the tool itself can make its files."""
    if dialect.generator:
        problem = f"the folder is {dialect.name}'s, which makes its files itself"
        raise FolderError((problem,), hint=dialect.generator.format(name=name))


def versioned(
    dialect: Dialect, folder: Folder, name: str, *, below: str, now: datetime, down: bool
) -> tuple[SourceFile, ...]:
    """The files of a migration *name* behind the newest of *folder*, first the one that applies it.

    They lie beside the newest, or *below* where there is none. A moment as a version is *now*, in UTC.
    """
    newest = folder.migrations[-1] if folder.migrations else None
    version = dialect.next_version(newest, now)
    place = _place(folder.migrations, below)
    return dialect.draft(Draft(place, version, name, down=down, newest=newest))


def repeatable(dialect: Dialect, folder: Folder, name: str, *, below: str) -> tuple[SourceFile, ...]:
    """The file of a script *name* that runs whenever it changes."""
    return (dialect.draft_repeatable(name, _place(folder.repeatables or folder.migrations, below)),)


def _place(migrations: Sequence[Migration], below: str) -> str:
    """The folder of the last of *migrations*, with its slash, else *below*."""
    if not migrations:
        return below
    folder, slash, _ = migrations[-1].script.path.rpartition("/")
    return folder + slash
