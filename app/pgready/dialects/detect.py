"""Which dialect a folder is written in, and its scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from pgready.core.model import Folder, Kind, Migration, Script, SourceFile
from pgready.core.sql import decode
from pgready.dialects.base import Dialect
from pgready.dialects.native import Native


def read(files: Sequence[SourceFile], *, dialect: str | None, namespace: str) -> tuple[Dialect, Folder]:
    native = Native(namespace)
    sides: dict[str, list[SourceFile]] = {
        "migrations": [],
        "bootstrap": [],
        "repeatable": [],
        "checks": [],
        "seeds": [],
    }
    rest: list[SourceFile] = []
    for file in files:
        side, _, _ = file.path.partition("/")
        (sides[side] if "/" in file.path and side in sides else rest).append(file)
    versioned = [file for file in (sides["migrations"] or rest) if file.path.endswith(".sql")]
    folder = native.read(versioned)
    return native, replace(
        folder,
        bootstrap=tuple(_rerunnable(file, Kind.BOOTSTRAP) for file in sides["bootstrap"]),
        repeatables=tuple(_rerunnable(file, Kind.REPEATABLE) for file in sides["repeatable"]),
        checks=tuple(Script(file.path, decode(file.path, file.data)) for file in sides["checks"]),
    )


def _rerunnable(file: SourceFile, kind: Kind) -> Migration:
    name = file.path.partition("/")[2].removesuffix(".sql")
    script = Script(file.path, decode(file.path, file.data))
    return Migration(name, name, script, hashlib.sha256(file.data).hexdigest(), kind=kind)
