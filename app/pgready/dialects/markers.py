"""Files that hold what applies and what reverts, one behind the other, under marker lines of their tool."""

from __future__ import annotations

from collections.abc import Mapping

from pgready.core.model import Script, SourceFile
from pgready.core.segments import BYTE_ORDER_MARK
from pgready.dialects.native import read_script


class Lines:
    """The lines of a script file, without their ends, and the problems that are found in them."""

    def __init__(self, file: SourceFile, problems: list[str]) -> None:
        script = read_script(file, problems)
        self.path = file.path
        self.lines = script.text.removeprefix(BYTE_ORDER_MARK).split("\n")
        self._problems = problems

    def problem(self, number: int, what: str) -> None:
        """*what* is wrong with the line *number*, from 0."""
        self._problems.append(f"{self.path}:{number + 1}: {what}")

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

        *replaced* are lines whose variables were replaced, by *values*.
        """
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
