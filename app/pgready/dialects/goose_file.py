"""The markers inside a file of goose's: `-- +goose Up`, Down, StatementBegin and so on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pgready.core.model import Script
from pgready.dialects.markers import Lines
from pgready.dialects.variables import Unreplaceable, Variables


class GooseFile:
    """One file, line by line, as goose's own parser goes through it; problems go to *lines*."""

    def __init__(self, lines: Lines, variables: Variables) -> None:
        self._lines = lines
        self._variables = variables
        self._up: int | None = None
        self._down: int | None = None
        self._begun: int | None = None
        self._transactional = True
        self._replacing = False
        self._in_statement = False
        self._replaced: dict[int, str] = {}
        self._early: int | None = None

    def read(self) -> None:
        """Go through all lines, once."""
        for at, line in enumerate(self._lines.lines):
            text = line.strip()
            if text.startswith("--") and "+goose" in text:
                self._marker(at, line)
            elif text and not (text.startswith("--") and not self._in_statement):
                self._sql(at, line)
        if self._begun is not None:
            self._lines.problem(self._begun, "StatementBegin has no StatementEnd")
        if self._up is None:
            self._lines.problem(0, "goose needs `-- +goose Up`, and this file has none")
        elif self._early is not None:
            self._lines.problem(self._early, "SQL stands before `-- +goose Up`, where goose reads none")

    def scripts(self) -> tuple[Script, Script | None]:
        """What applies and what reverts."""
        end = len(self._lines.lines)
        up = self._script(self._up or 0, end if self._down is None else self._down)
        return up, None if self._down is None else self._script(self._down, end)

    def _script(self, marker: int, stop: int) -> Script:
        return self._lines.script(
            marker + 1,
            stop,
            transactional=self._transactional,
            replaced=self._replaced,
            values=tuple(self._variables.values.values()),
        )

    def _marker(self, at: int, line: str) -> None:
        words = line.replace("--", "").replace("+goose", "", 1).strip()
        action = _MARKERS.get(words.lower())
        if action is None or "+goose" in words:
            known = "Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, ENVSUB ON, ENVSUB OFF"
            self._lines.problem(at, f"`{line.strip()[:60]}` is no marker of goose's; they are {known}")
        elif line[0] in " \t":
            self._lines.problem(at, f"`{line.strip()}` is indented: goose refuses it")
        else:
            action(self, at)
            self._replaced[at] = ""  # no part of a statement for goose either

    def _begin_up(self, at: int) -> None:
        if self._up is not None:
            self._lines.problem(at, "a second `-- +goose Up`")
        self._up = at if self._up is None else self._up

    def _begin_down(self, at: int) -> None:
        if self._up is None or self._down is not None or self._begun is not None:
            self._lines.problem(
                at, "`-- +goose Down` must stand once, behind Up and no statement's StatementBegin"
            )
        self._down, self._in_statement = at, False

    def _begin_statement(self, at: int) -> None:
        if self._up is None or self._begun is not None:
            self._lines.problem(at, "StatementBegin must stand behind Up or Down, and behind a StatementEnd")
        self._begun = at

    def _end_statement(self, at: int) -> None:
        if self._begun is None:
            self._lines.problem(at, "StatementEnd without a StatementBegin")
        self._begun, self._in_statement = None, False

    def _no_transaction(self, at: int) -> None:
        self._transactional = False

    def _replace_on(self, at: int) -> None:
        self._replacing = True

    def _replace_off(self, at: int) -> None:
        self._replacing = False

    def _sql(self, at: int, line: str) -> None:
        if self._up is None and self._early is None:
            self._early = at
        self._in_statement = self._begun is not None or not _ends_statement(line)
        if self._replacing:
            try:
                self._replaced[at] = self._variables.replaced(line)
            except Unreplaceable as problem:
                self._lines.problem(at, f"ENVSUB: {problem}")


_MARKERS: Mapping[str, Callable[[GooseFile, int], None]] = {
    "up": GooseFile._begin_up,
    "down": GooseFile._begin_down,
    "statementbegin": GooseFile._begin_statement,
    "statementend": GooseFile._end_statement,
    "no transaction": GooseFile._no_transaction,
    "envsub on": GooseFile._replace_on,
    "envsub off": GooseFile._replace_off,
}


def _ends_statement(line: str) -> bool:
    """Whether goose takes *line* for a statement's last: its last word before any `--` ends in `;`."""
    last = ""
    for word in line.split():
        if word.startswith("--"):
            break
        last = word
    return last.endswith(";")
