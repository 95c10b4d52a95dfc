"""What is to be applied: the folder as its dialect reads it, and its scripts compiled, each once."""

from __future__ import annotations

import anyio.to_thread

from pgready.core.errors import PgreadyError, ScriptError
from pgready.core.model import Folder, Kind, Migration
from pgready.core.segments import CompiledScript
from pgready.dialects.base import Dialect

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
                self._compiled[key] = await anyio.to_thread.run_sync(
                    compile_script, script, abandon_on_cancel=True
                )
        return self._compiled[key]

    def forget(self, kind: Kind, version: str) -> None:
        """Let go of a compiled script that was applied."""
        self._compiled.pop((kind, version), None)


def all_refused(problems: list[PgreadyError]) -> PgreadyError:
    """One error for every script that was refused: the first in full, the others by a line each."""
    first, *others = problems
    more = "; ".join(f"{error.place}: {error.what}" if error.place else error.what for error in others)
    return ScriptError(
        first.what,
        place=first.place,
        hint=first.hint,
        detail=f"{len(others)} more refused: {more}" if others else None,
        done="nothing was run",
    )
