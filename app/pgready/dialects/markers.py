"""Files that hold what applies and what reverts, one behind the other, under marker lines of their tool."""

from __future__ import annotations

from collections.abc import Mapping

from pgready.core.model import Script, SourceFile, Unrunnable
from pgready.core.segments import BYTE_ORDER_MARK
from pgready.dialects.native import read_script


class Lines:
    """The lines of a script file, without their ends, and what is wrong with its markers.

    What is wrong is said when the file is to be run, and not before: a history may hold it, because the
    tool reads what is pending alone, and an older one was more lenient.
    """

    def __init__(self, file: SourceFile, problems: list[str]) -> None:
        script = read_script(file, problems)
        self.path = file.path
        self.lines = script.text.removeprefix(BYTE_ORDER_MARK).split("\n")
        self._wrong: list[tuple[int, str]] = []

    def problem(self, number: int, what: str) -> None:
        """*what* is wrong with the line *number*, from 0."""
        self._wrong.append((number, what))

    def script(
        self,
        first: int,
        stop: int,
        *,
        transactional: bool = True,
        replaced: Mapping[int, str] | None = None,
        values: tuple[str, ...] = (),
    ) -> Script:
        """The lines from *first* up to *stop* (from 0) as a script.

        *replaced* are lines whose variables were replaced, by *values*. Where something is wrong, it is the
        whole file, and cannot be run.
        """
        if self._wrong:
            return self._unrunnable()
        written = "\n".join(self.lines[first:stop])
        text = written
        if replaced:
            text = "\n".join(replaced.get(at, self.lines[at]) for at in range(first, stop))
        return Script(
            self.path,
            text,
            first_line=first + 1,
            transactional=transactional,
            written=written if values else None,
            values=values,
        )

    def _unrunnable(self) -> Script:
        (number, what), *others = self._wrong
        more = "; ".join(f"line {at + 1}: {text}" for at, text in others)
        offset = sum(len(line) + 1 for line in self.lines[:number])
        hint = f"also {more}" if more else "mend the file: the tool itself refuses it too"
        return Script(self.path, "\n".join(self.lines), unrunnable=Unrunnable(what, hint, offset))
