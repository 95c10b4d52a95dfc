"""The session settings of a script, as its statements are read in their order."""

from __future__ import annotations

from pgready.core.segments import Statement

EVERY_SETTING = "*"

_KEPT_BY_RESET_ALL = ('"role"', '"authorization"')


class Remembered:
    """*before* are the statements that make the settings of the segments that have ended, in their order, as
    many as are needed. *lost* is one of those segments' that set what cannot be said again."""

    def __init__(self) -> None:
        self._settings: dict[str, Statement] = {}
        self._lost: Statement | None = None
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

    def end_segment(self) -> None:
        if self._changed:
            self.before = tuple(dict.fromkeys(self._settings.values()))
            self._changed = False
        self.lost = self._lost
