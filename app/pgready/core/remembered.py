"""The session settings of a script, as its statements are read in their order."""

from __future__ import annotations

from typing import NamedTuple

from pgready.core.segments import Statement

EVERY_SETTING = "*"

_KEPT_BY_RESET_ALL = ('"role"', '"authorization"')


class _Savepoint(NamedTuple):
    name: str
    settings: dict[str, Statement]
    lost: Statement | None


class Remembered:
    """*before* are the statements that make the settings of the segments that have ended, in their order, as
    many as are needed. *lost* is one of those segments' that set what cannot be said again.

    What was set behind a savepoint is taken back with all else that is rolled back to it.
    """

    def __init__(self) -> None:
        self._settings: dict[str, Statement] = {}
        self._lost: Statement | None = None
        self._savepoints: list[_Savepoint] = []
        self._changed = False
        self.before: tuple[Statement, ...] = ()
        self.lost: Statement | None = None

    def set(self, statement: Statement, names: tuple[str, ...]) -> None:
        """Keep the last statement of each setting."""
        for name in names:
            if name == EVERY_SETTING:
                kept = {each: self._settings[each] for each in _KEPT_BY_RESET_ALL if each in self._settings}
                self._settings = kept
            else:
                self._settings.pop(name, None)
                self._settings[name] = statement
        self._changed = True

    def lose(self, statement: Statement) -> None:
        self._lost = self._lost or statement

    def begin_savepoint(self, name: str) -> None:
        self._savepoints.append(_Savepoint(name, self._settings.copy(), self._lost))

    def release(self, name: str) -> None:
        self._end_behind(name)

    def roll_back(self, name: str) -> None:
        """Back to the savepoint *name*, which stays."""
        savepoint = self._end_behind(name)
        if savepoint is not None:
            self._settings, self._lost = savepoint.settings.copy(), savepoint.lost
            self._savepoints.append(savepoint)
            self._changed = True

    def _end_behind(self, name: str) -> _Savepoint | None:
        """End the last savepoint of that *name*, and those made since; None: the server will refuse it."""
        for at in reversed(range(len(self._savepoints))):
            if self._savepoints[at].name == name:
                savepoint = self._savepoints[at]
                del self._savepoints[at:]
                return savepoint
        return None

    def end_segment(self) -> None:
        self._savepoints.clear()
        if self._changed:
            self.before = tuple(dict.fromkeys(self._settings.values()))
            self._changed = False
        self.lost = self._lost
