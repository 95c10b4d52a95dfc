"""A script as what is sent to the server: segments, and the statements in them.

See DESIGN 3 "Apply". A *transaction* segment is committed together with its record; COPY data inside it
travels through the copy protocol in the same transaction. A *single* is one statement that cannot run in
a transaction.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from pgready.core import masking
from pgready.core.errors import Place, ScriptError
from pgready.core.model import Script


class SegmentKind(Enum):
    TRANSACTION = "transaction"
    SINGLE = "single"


# A file may hold millions of statements; they refer to nothing, so the garbage collector need not look.
class Statement(Struct, frozen=True, gc=False):
    """One statement: *start* and *end* are character offsets into the script's text (no `;`).

    *copy_data*, for `COPY … FROM STDIN`, is the offsets of its data lines (without the `\\.`).
    """

    start: int
    end: int
    copy_data: tuple[int, int] | None = None


class Single(Enum):
    """Statements that cannot run in a transaction, by how a crash in the middle is resolved."""

    CREATE_INDEX = "create index concurrently"
    DROP_INDEX = "drop index concurrently"
    DETACH_PARTITION = "detach partition concurrently"
    CREATE_DATABASE = "create database"
    DROP_DATABASE = "drop database"
    REINDEX = "reindex concurrently"
    REPEATABLE = (
        "may simply run again"  # VACUUM, other REINDEX, CLUSTER, ALTER SYSTEM, ALTER … SET TABLESPACE
    )
    UNKNOWN = "no probe can tell"


class Temporary(Struct, frozen=True):
    """Something that only the session has, such as a temporary table, and the segment that made it."""

    name: str
    segment: int


class Segment(Struct, frozen=True):
    """Statements that are sent under one rule. *checksum* is hex SHA-256 of their text.

    For a SINGLE, *single* tells how to probe it and *target* is the quoted, as far as written qualified
    name that the probe looks for (index, partition, database); None where there is none. *table* is the
    table that CREATE INDEX or DETACH PARTITION names, in the same form: a new index lives in its schema.
    Of a REINDEX, *table* is the table or index and *target* the schema; neither where it is the database.

    *settings* are the session settings (SET, RESET, set_config) of earlier segments: a run that resumes
    here, on a new connection, must repeat them first, or the text means something else. *temporary* is what
    earlier segments made and no new connection has, if this one speaks of it.
    """

    kind: SegmentKind
    statements: tuple[Statement, ...]
    checksum: str
    single: Single | None = None
    target: str | None = None
    table: str | None = None
    settings: tuple[Statement, ...] = ()
    temporary: Temporary | None = None


class CompiledScript(Struct, frozen=True):
    """A script ready to run.

    *stepwise* is True where the script must be sent a statement at a time because one of its statements
    changes how the next is read (`SET standard_conforming_strings`). The timeouts are the script's own
    directives; None where it has none, 0 for no timeout.
    """

    segments: tuple[Segment, ...]
    stepwise: bool = False
    lock_timeout_ms: int | None = None
    statement_timeout_ms: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no statement is in it: it is recorded, and nothing runs."""
        return not any(segment.statements for segment in self.segments)


def part_end(script: CompiledScript, number: int) -> int | None:
    """Where in its text part *number* of *script* ends; None of the last one."""
    if number + 1 >= len(script.segments):
        return None
    last = script.segments[number].statements[-1]
    return last.copy_data[1] if last.copy_data else last.end


BYTE_ORDER_MARK = "\ufeff"

# A dump's INSERT may be one line of many megabytes: an excerpt of it helps nobody.
_EXCERPT_CHARACTERS = 4096


def place(script: Script, offset: int) -> Place:
    """Where in its file the character at *offset* of *script*'s text stands.

    Lines end at a line feed; the carriage return before it and a byte order mark are no part of a line.
    A line longer than 4,096 characters is cut, and left out where the place lies behind the cut. In a line
    whose variables were replaced there is no column. Passwords are masked.
    """
    if script.written is not None:
        line = script.text.count("\n", 0, offset)
        if not _is_as_written(script, line):
            return _place_of_line(script, line)
    text = script.text
    line_start = text.rfind("\n", 0, offset) + 1
    line_end = text.find("\n", offset)
    if line_start == 0 and text.startswith(BYTE_ORDER_MARK):
        line_start = 1
    shown_end = min(len(text) if line_end < 0 else line_end, line_start + _EXCERPT_CHARACTERS)
    line = script.first_line + text.count("\n", 0, offset)
    column = max(offset - line_start, 0) + 1
    if offset > shown_end:
        return Place(script.path, line, column)
    excerpt, caret = _masked(text, line_start, shown_end, line_start + column - 1)
    return Place(script.path, line, column, excerpt, caret if caret != column else None)


def _masked(text: str, start: int, stop: int, offset: int) -> tuple[str, int]:
    """One line of *text* without what it holds of passwords, and the column of *offset* in that."""
    hidden = masking.spans(text, max(0, start - _EXCERPT_CHARACTERS), stop)  # one may have begun before it
    return masking.without(hidden, text, start, stop).rstrip("\r"), masking.moved(hidden, start, offset) + 1


def _is_as_written(script: Script, line: int) -> bool:
    written, sent = script.shown.split("\n"), script.text.split("\n")
    return len(written) == len(sent) and written[line] == sent[line]


def _place_of_line(script: Script, line: int) -> Place:
    if script.shown.count("\n") != script.text.count("\n"):  # a value of several lines
        return Place(script.path, script.first_line)
    start = sum(len(each) + 1 for each in script.shown.split("\n", line)[:line])
    stop = start + len(script.shown[start:].partition("\n")[0][:_EXCERPT_CHARACTERS])
    excerpt, _ = _masked(script.shown, start, stop, start)
    return Place(script.path, script.first_line + line, excerpt=excerpt)


def shown(script: Script, start: int, end: int) -> str:
    """The text of *script* from *start* to *end* as people may see it: whole lines where variables hide,
    and no passwords."""
    if script.written is None:
        return masking.masked(script.text[start:end])
    first, last = (script.text.count("\n", 0, offset) for offset in (start, end))
    return masking.masked("\n".join(script.written.split("\n")[first : last + 1]))


def refused(script: Script, offset: int, what: str, hint: str | None = None) -> ScriptError:
    """The error that *script* is not run because of what stands at *offset*."""
    return ScriptError(what, hint=hint, place=place(script, offset))
