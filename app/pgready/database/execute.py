"""Sending a segment to the server: few round trips, one commit, the failing statement known.

A transaction segment is framed by an *opening* (BEGIN, the fence, "not recorded yet"), behind which the
settings of the segments before it are said again, and a *closing* (what the script may have left in the
session is reset, its record, COMMIT). A small script travels with both in one message, which may be sent
while the server works on another; a large one in messages of about `MESSAGE_CHARACTERS`, so that neither side
holds more than that of it at once. COPY data goes through the copy protocol between two messages: inside a
message there is no way to send it (FIELD-NOTES 1).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple

import asyncpg
from msgspec import Struct

from pgready.core.quoting import fill
from pgready.core.segments import Segment, Statement
from pgready.database.refusals import (
    LOCK_CODES,
    UNCONVERTED,
    OpeningRefused,
    StatementRefused,
    lost_connection,
)
from pgready.database.session import PROGRESS_MARKER, Session
from pgready.database.wire import Reply

MESSAGE_CHARACTERS = 256 * 1024
_COPY_CHARACTERS = 256 * 1024

RESETS = (
    "SET CONSTRAINTS ALL IMMEDIATE",
    "RESET SESSION AUTHORIZATION",
    "RESET ROLE",
    "RESET ALL",
    "DISCARD TEMP",
    "CLOSE ALL",
    "UNLISTEN *",
    "DEALLOCATE ALL",
)
"""What ends a script's influence on the next and on its own history row; never the driver's `reset()`,
whose pg_advisory_unlock_all() would free the migration lock."""


MARKER = fill("SELECT pg_catalog.tsqueryin(:blanks)", blanks=PROGRESS_MARKER)
"""Between the statements of a longer script, so that its progress is seen: the server keeps its answers to
the statements of one message back until the end, or until there is something to tell at once, such as this
one's notice that the query is empty (which is not forwarded). It needs no privilege, fires no event trigger,
and costs a hundredth of what a round trip does."""

MARKED_FROM_STATEMENTS = 4
_MARKERS = 100

_BYTE = re.compile(r"\b0x([0-9a-f]{2})\b")


class _Message:
    """Statements joined into one text, and where each of them starts in it.

    The first *opened* of them are the opening's; *closes* says whether the closing is in it, too, of which
    what no script has a part in begins at *ours*.
    """

    def __init__(self, opening: Sequence[str] = ()) -> None:
        self._texts: list[str] = []
        self._starts: list[int] = []
        self._sources: list[Statement | None] = []
        self.characters = 0
        for sql in opening:
            self.add(sql)
        self.opened = len(opening)
        self._repeated = 0
        self.closes = False
        self.ours = 0

    def repeat(self, text: str, segment: Segment) -> None:
        """Add the settings of the segments before *segment*, which is to come next."""
        for statement in segment.settings:
            self.add(text[statement.start : statement.end], statement)
        self._repeated = len(segment.settings)

    def close(self, closing: Sequence[str]) -> None:
        self.ours = len(self) + sum(sql in RESETS for sql in closing)
        for sql in closing:
            self.add(sql)
        self.closes = True

    def add(self, text: str, source: Statement | None = None) -> None:
        self._starts.append(self.characters)
        self._texts.append(text)
        self._sources.append(source)
        self.characters += len(text) + 2

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def text(self) -> str:
        # A statement may end in a comment to the end of its line.
        return "\n;".join(self._texts)

    def statements_before(self, index: int) -> int:
        """How many of the segment's statements stand before the one at *index*."""
        return max(0, sum(source is not None for source in self._sources[:index]) - self._repeated)

    def blame(
        self, problem: asyncpg.PostgresError, completed: int, *, in_bytes: bool
    ) -> tuple[int, int | None]:
        """Index of the statement that *problem* is about, and the offset into it, where there is one.

        *in_bytes*: the server takes each byte for a character, and counts those.
        """
        position = getattr(problem, "position", None)
        if position is None:
            unconverted = not completed and problem.sqlstate in UNCONVERTED
            found = self._holding(problem) if unconverted else None
            return found or (min(completed, len(self) - 1), None)
        at = int(position) - 1
        if in_bytes:
            at = len(self.text.encode()[:at].decode(errors="ignore"))
        index = bisect_right(self._starts, at) - 1
        if completed and index != completed:
            # It counts in a text of the server's own, such as a definition that ALTER TYPE reads again.
            return min(completed, len(self) - 1), None
        # The `;` behind a statement that lacks its end is ours, and its script may have none.
        return index, min(at - self._starts[index], len(self._texts[index]))

    def _holding(self, problem: asyncpg.PostgresError) -> tuple[int, int] | None:
        """Where the character is that the database's encoding lacks, by its bytes, which *problem* names; in
        the script, if it is in both. The server converts and parses a message before it runs any of it."""
        named = bytes(int(each, 16) for each in _BYTE.findall(str(problem)))
        try:
            wanted = re.compile(re.escape(named.decode()))
        except UnicodeDecodeError:  # of an escape: E'\xe9'
            wanted = re.compile(rf"\\(?:x{named[0]:02x}|{named[0]:o})", re.IGNORECASE)
        for of_script in (True, False):
            for index, text in enumerate(self._texts):
                if (self._sources[index] is not None) is of_script and (found := wanted.search(text)):
                    return index, found.start()
        return None

    def source(self, index: int) -> Statement | None:
        return self._sources[index]


class Progress:
    """How many of the running segment's statements have completed; read by whoever shows progress."""

    def __init__(self) -> None:
        self._before = 0
        self._message: _Message | None = None
        self._reply: Reply | None = None
        self.total = 0

    def begin(self, total: int) -> None:
        self.total = total
        self._before = 0
        self._message = self._reply = None

    def message_started(self, message: _Message, reply: Reply) -> None:
        self._message, self._reply = message, reply

    def message_ended(self) -> None:
        if self._message is not None:
            self.add(self._message.statements_before(len(self._message)))
        self._message = self._reply = None

    def add(self, statements: int) -> None:
        self._before += statements

    @property
    def completed(self) -> int:
        """Exact at the end of a message; within one, as far as the server has told."""
        if self._message is None or self._reply is None:
            return self._before
        return self._before + self._message.statements_before(self._reply.completed)


class Sent(NamedTuple):
    """A message that is on its way, and what answers it."""

    message: _Message
    reply: Reply
    bytes: int = 0


async def run_transaction(
    session: Session,
    text: str,
    segment: Segment,
    *,
    opening: Sequence[str],
    closing: Sequence[str],
    progress: Progress,
    stepwise: bool = False,
    when_sent: Callable[[], None] | None = None,
) -> None:
    """Run *segment* of the script *text* in one transaction; all of it is on its way *when_sent* is called.

    Raises OpeningRefused or StatementRefused after a ROLLBACK; nothing of the segment remains then.
    """
    progress.begin(len(segment.statements))
    async with session.rolled_back_on_failure():
        for part in _parts(text, segment, opening, closing, 0 if stepwise else MESSAGE_CHARACTERS):
            if isinstance(part, Statement):
                await _copy(session, text, part)
                progress.add(1)
                continue
            sent = Sent(part, session.send(part.text))
            if part.closes and when_sent is not None:
                when_sent()
            await _answered(session, sent, progress)


def send_ahead(
    session: Session,
    text: str,
    segment: Segment,
    *,
    opening: Sequence[str],
    closing: Sequence[str],
    most_bytes: int,
) -> Sent | None:
    """Send *segment* behind what the server works on; None, and nothing is sent, where it is more than one
    message of *most_bytes*. `run_sent` waits for its end."""
    message = next(_parts(text, segment, opening, closing, most_bytes))
    if isinstance(message, Statement) or not message.closes:
        return None
    length = len(message.text.encode())
    return Sent(message, session.send(message.text), length) if length <= most_bytes else None


async def run_sent(
    session: Session, sent: Sent, *, progress: Progress, when_sent: Callable[[], None]
) -> None:
    """As `run_transaction`, for what `send_ahead` has sent."""
    progress.begin(sent.message.statements_before(len(sent.message)))
    async with session.rolled_back_on_failure():
        when_sent()
        await _answered(session, sent, progress)


def _parts(
    text: str, segment: Segment, opening: Sequence[str], closing: Sequence[str], limit: int
) -> Iterator[_Message | Statement]:
    """*segment* as messages of about *limit* characters, the last of which closes, and the COPY statements
    that stand between them."""
    total = len(segment.statements)
    marked_every = max(1, total // _MARKERS) if total >= MARKED_FROM_STATEMENTS else total + 1
    message = _Message(opening)
    message.repeat(text, segment)
    for number, statement in enumerate(segment.statements):
        sql = text[statement.start : statement.end]
        copies = statement.copy_data is not None
        if len(message) and (copies or message.characters + len(sql) > limit):
            yield message
            message = _Message()
        if copies:
            yield statement
            continue
        message.add(sql, statement)
        if number % marked_every == marked_every - 1 and number + 1 < total:
            message.add(MARKER)
    message.close(closing)
    yield message


_TRANSACTION = """
SELECT coalesce(pg_catalog.max(pg_catalog.split_part(virtualtransaction, '/', 2)::pg_catalog.int8), 0)
         AS number
FROM pg_catalog.pg_locks
WHERE locktype OPERATOR(pg_catalog.=) 'virtualxid' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
"""


class _Transaction(Struct, frozen=True):
    """A backend counts its transactions: *number* is that of the one in which it is read."""

    number: int


async def prepare(
    session: Session, text: str, segment: Segment, *, opening: Sequence[str], closing: Sequence[str]
) -> None:
    """Set what holds for *segment* of the script *text*, which runs outside a transaction, between *opening*
    and *closing*. Raises StatementRefused."""
    message = _Message(opening)
    message.repeat(text, segment)
    for sql in closing:
        message.add(sql)
    await _answered(session, Sent(message, session.send(message.text)), Progress())


async def run_single(session: Session, text: str, statement: Statement, *, may_commit: bool = False) -> None:
    """Run one statement outside any transaction. Raises StatementRefused; of what *may_commit* in its
    middle it says whether it did."""
    message = _Message()
    message.add(text[statement.start : statement.end], statement)
    before = await session.read(_TRANSACTION, _Transaction) if may_commit else []
    try:
        await session.execute(message.text)
    except asyncpg.PostgresError as problem:
        if session.closed or lost_connection(problem):
            raise
        after = await session.read(_TRANSACTION, _Transaction) if may_commit else []
        # A COMMIT or ROLLBACK in it begins another transaction; otherwise it was the one between the two.
        committed = [each.number + 2 for each in before] != [each.number for each in after]
        _, within = message.blame(problem, 0, in_bytes=session.counts_bytes)
        offset = None if within is None else statement.start + within
        raise StatementRefused(problem, statement, offset, committed=committed) from problem


async def run_plain(session: Session, opening: Sequence[str], closing: Sequence[str]) -> None:
    """Commit *closing*'s statements (a mark in the journal) in a transaction opened like a segment's."""
    message = _Message(opening)
    message.close(closing)
    async with session.rolled_back_on_failure():
        await _answered(session, Sent(message, session.send(message.text)), None)


async def _answered(session: Session, sent: Sent, progress: Progress | None) -> None:
    message, reply, _ = sent
    if progress is not None:
        progress.message_started(message, reply)
    try:
        await session.answered(reply)
    except asyncpg.PostgresError as problem:
        if lost_connection(problem):
            raise
        index, within = message.blame(problem, reply.completed, in_bytes=session.counts_bytes)
        if index < message.opened and problem.sqlstate == "22P02":
            raise OpeningRefused(str(problem)) from problem
        statement = message.source(index)
        offset = None if statement is None or within is None else statement.start + within
        # Out of the transaction, it is the COMMIT that failed, by what the script has left for it.
        recording = message.closes and index >= message.ours and session.in_transaction
        unconverted = statement is None and within is not None and problem.sqlstate in UNCONVERTED
        locked = index < message.opened and problem.sqlstate in LOCK_CODES
        ours = recording or unconverted or locked or progress is None
        raise StatementRefused(problem, statement, offset, ours=ours) from problem
    if progress is not None:
        progress.message_ended()


async def _copy(session: Session, text: str, statement: Statement) -> None:
    try:
        await session.copy_in(text[statement.start : statement.end], _copy_chunks(text, statement))
    except asyncpg.PostgresError as problem:
        if lost_connection(problem):
            raise
        raise StatementRefused(problem, statement, None) from problem


async def _copy_chunks(text: str, statement: Statement) -> AsyncIterator[bytes]:
    assert statement.copy_data is not None
    start, end = statement.copy_data
    for at in range(start, end, _COPY_CHARACTERS):
        yield text[at : min(at + _COPY_CHARACTERS, end)].encode()
