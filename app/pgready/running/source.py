"""What is to be applied: the folder as its dialect reads it, and its scripts compiled, each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

from pgready.core.errors import PgreadyError, ScriptError, first_of
from pgready.core.model import Folder, Kind, Migration, Script
from pgready.core.segments import CompiledScript
from pgready.dialects.base import Dialect

_T = TypeVar("_T")

_INLINE_CHARACTERS = 64 * 1024
"""Smaller scripts compile in less time than handing them to a thread takes."""


class Source:
    """A folder's migrations by kind and version, and their compiled scripts."""

    def __init__(self, dialect: Dialect, folder: Folder) -> None:
        self.dialect = dialect
        self.folder = folder
        self._migrations = {
            (migration.kind, migration.version): migration
            for migration in (*folder.bootstrap, *folder.migrations, *folder.repeatables)
        }
        self._compiled: dict[tuple[Kind, str], CompiledScript] = {}
        self._token_checksums: dict[tuple[Kind, str], str | None] = {}

    def migration(self, kind: Kind, version: str) -> Migration:
        return self._migrations[kind, version]

    async def compiled(self, kind: Kind, version: str) -> CompiledScript:
        """The script of *version*, compiled. Raises ScriptError."""
        key = kind, version
        if key not in self._compiled:
            from pgready.core.compile import compile_script  # a start with nothing to do needs no compiler

            script = self._migrations[key].script
            if len(script.text) <= _INLINE_CHARACTERS:
                self._compiled[key] = compile_script(script)
            else:
                self._compiled[key] = await _in_a_thread(compile_script, script)
                self._token_checksums[key] = await _in_a_thread(_token_checksum, script)
        return self._compiled[key]

    def at_hand(self, kind: Kind, version: str) -> CompiledScript:
        """The script of *version*, which was compiled."""
        return self._compiled[kind, version]

    def token_checksum(self, kind: Kind, version: str) -> str | None:
        """That of the script of *version*; computed when it is first asked for."""
        key = kind, version
        if key not in self._token_checksums:
            self._token_checksums[key] = _token_checksum(self._migrations[key].script)
        return self._token_checksums[key]

    def forget(self, kind: Kind, version: str) -> None:
        """Let go of what was computed of a script that was applied."""
        self._compiled.pop((kind, version), None)
        self._token_checksums.pop((kind, version), None)


def _token_checksum(script: Script) -> str | None:
    from pgready.core.tokens import token_checksum

    return token_checksum(script.text)


async def _in_a_thread(compute: Callable[[Script], _T], script: Script) -> _T:
    return await anyio.to_thread.run_sync(compute, script, abandon_on_cancel=True)


def all_refused(problems: list[PgreadyError]) -> PgreadyError:
    """One error for every script that was refused: the first in full, the others by their places.

    None of it is data, so it is no detail, which HTTP leaves out.
    """
    first, *others = problems
    each = [f"{error.place}: {error.what}" if error.place else error.what for error in others]
    more = f"\n{len(others)} more refused: {'; '.join(first_of(each))}" if others else ""
    return ScriptError(
        first.what + more,
        place=first.place,
        hint=first.hint,
        done="nothing was run",
    )
