"""Everything that can go wrong, as values: what, where, what was done, what to do next.

One base class. A subclass says what kind of thing happened and which exit code an orchestrator sees;
the facts are attributes, so that the command line, the daemon and the library render the same error
each in its own way. No error holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

from msgspec import Struct


class ExitCode(IntEnum):
    """What a process that ran pgready ends with; the table in docs/exit-codes.md."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    LOCKED = 5
    DIVERGED = 6
    PENDING = 7
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def worth_retrying(self) -> bool:
        """Whether the same command may succeed later with nothing changed."""
        return self in _WORTH_RETRYING


_WORTH_RETRYING = frozenset(
    {ExitCode.UNREACHABLE, ExitCode.LOCKED, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
)


class Place(Struct, frozen=True):
    """A place in a file: line and column count characters from 1; *excerpt* is that line's text.

    Passwords are hidden in it, and where one stood in front of the column, that is *caret* in the excerpt.
    """

    file: str
    line: int
    column: int | None = None
    excerpt: str | None = None
    caret: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


class PgreadyError(Exception):
    """The base of all errors that pgready raises.

    *what* is one sentence without a full stop; *hint* is the cure, with the exact next command where
    there is one; *detail* is what the server (or a library) added; *done* says what was applied and what
    was not.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(
        self,
        what: str,
        *,
        hint: str | None = None,
        place: Place | None = None,
        sqlstate: str | None = None,
        detail: str | None = None,
        done: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.place = place
        self.sqlstate = sqlstate
        self.detail = detail
        self.done = done

    def __str__(self) -> str:
        """For tracebacks and logs: the place and *what*, and on a line of its own the hint."""
        where = f"{self.place}: " if self.place else ""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return f"{where}{self.what}{hint}"


class SettingsError(PgreadyError):
    """Settings that cannot be used; *problems* holds one line for each, all of them at once."""

    exit_code = ExitCode.USAGE

    def __init__(
        self, problems: tuple[str, ...], *, hint: str | None = None, sqlstate: str | None = None
    ) -> None:
        super().__init__("\n".join(problems), hint=hint, sqlstate=sqlstate)
        self.problems = problems


class FolderError(PgreadyError):
    """A migration folder that cannot be read as its dialect lays it down; one problem a line, ten at most."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__("\n".join(first_of(problems)), hint=hint)
        self.problems = problems


class ScriptError(PgreadyError):
    """A script that is refused before anything of it runs (not UTF-8, unterminated, `\\connect`, …)."""


class PoolerError(PgreadyError):
    """A pooler through which migrating would not be safe."""

    exit_code = ExitCode.USAGE


class Unreachable(PgreadyError):
    """The database could not be reached before the deadline."""

    exit_code = ExitCode.UNREACHABLE


class DatabaseMissing(Unreachable):
    """The server is there, and no database of that name."""


class AccessDenied(PgreadyError):
    """Authentication failed, or a privilege is missing."""

    exit_code = ExitCode.DENIED


class RoleMissing(AccessDenied):
    """The database is there, and not yet the role that is to work in it, which `up` creates."""


class LockNotObtained(PgreadyError):
    """Another replica or tool held the migration lock for longer than the patience allowed,
    or a relation stayed locked for the whole budget."""

    exit_code = ExitCode.LOCKED


class LockLost(PgreadyError):
    """The fence found that this session no longer holds the lock; nothing of the script was applied."""

    exit_code = ExitCode.LOCKED


class BootstrapFailed(PgreadyError):
    """A database, role, schema, extension or grant could not be created."""


class MigrationFailed(PgreadyError):
    """The server refused a statement of a script."""


class ChecksFailed(PgreadyError):
    """A query of `checks/` returned rows: the schema is not as it must be."""


class Diverged(PgreadyError):
    """History and folder disagree: changed, missing, refused out of order, ahead."""

    exit_code = ExitCode.DIVERGED


class HistoryRefused(Diverged):
    """The history table is not one that we may trust (foreign owner, trigger, rule, default)."""


class Uncertain(Diverged):
    """A statement outside a transaction was started and nothing can tell whether it happened."""


class NotReady(PgreadyError):
    """The target lacks migrations of this folder, or is not ready."""

    exit_code = ExitCode.PENDING


def render(error: PgreadyError) -> str:
    """*error* as people read it on a terminal: place and what, excerpt with caret, facts, hint.

    Ends without a newline. What would command the terminal is shown, and does nothing.
    """
    where = f"{error.place}: " if error.place else ""
    first, *more = error.what.splitlines() or [""]
    lines = [f"error: {where}{first}", *(f"       {line}" for line in more)]
    if error.place and error.place.excerpt:
        lines += excerpt(error.place)
    if error.sqlstate:
        lines.append(f"sqlstate: {error.sqlstate}")
    if error.detail:
        lines.append(f"detail: {error.detail}")
    if error.done:
        lines.append(f"done: {error.done}")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines).translate(_VISIBLE)


_SHOWN = 10


def first_of(lines: Sequence[str]) -> tuple[str, ...]:
    """The first ten of *lines*, and how many there are behind them."""
    left = len(lines) - _SHOWN
    return tuple(lines) if left <= 0 else (*lines[:_SHOWN], f"and {left} more")


def typed(word: str) -> str:
    """*word* as a shell takes it whole, for the command in a hint."""
    if word and all(each.isalnum() or each in "_-./:+@%" for each in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


_EXCERPT_CHARACTERS = 160

# The pictures of the control characters; of those that have none, and of what turns the direction, one mark.
_VISIBLE: dict[int, int | str] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    ord("\t"): " ",
    0x7F: "\u2421",
    **dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
}


def excerpt(place: Place) -> list[str]:
    """The line of *place* and, where its column is known, one with a caret below it, both with a margin."""
    text = (place.excerpt or "").translate(_VISIBLE)
    start, caret = 0, place.column if place.caret is None else place.caret
    if len(text) > _EXCERPT_CHARACTERS and caret is not None:
        start = max(0, min(caret - _EXCERPT_CHARACTERS // 2, len(text) - _EXCERPT_CHARACTERS))
    shown = text[start : start + _EXCERPT_CHARACTERS]
    margin = f"{place.line:>5} | "
    lines = [margin + shown]
    if caret is not None:
        from pgready.core.cells import cells  # where there is something to show

        lines.append(" " * (len(margin) - 2) + "| " + " " * cells(shown[: caret - 1 - start]) + "^")
    return lines
