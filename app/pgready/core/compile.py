"""Script → segments: what is sent together, and what is refused before anything is sent.

The rules that this module keeps:

1. Statements between singles are one transaction segment; a single is a segment of its own.
2. BEGIN … COMMIT marks a transaction segment and is not sent. What stands outside of it has segments of
   its own, but session settings right before a BEGIN join its segment: SET works in it just the same.
   A COMMIT without BEGIN ends the segment before it: tools that open the transaction have people write one
   behind ALTER TYPE … ADD VALUE, or before CREATE INDEX CONCURRENTLY.
3. In a script without a transaction each statement is a segment, and only what runs safely in one is a
   transaction segment, so that it commits together with its record.
4. Nothing is left to chance: a transaction command that would end or cut the run's own transaction, or
   give up its lock, is refused with its place and cure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from msgspec.structs import replace

from pgready.core import backslashes, directives, kinds, psql, set_config, statements, temporary, unlocks
from pgready.core.directives import Directives
from pgready.core.errors import ScriptError
from pgready.core.kinds import Reading, Refusal, Role
from pgready.core.model import Script
from pgready.core.remembered import Remembered
from pgready.core.segments import (
    BYTE_ORDER_MARK,
    CompiledScript,
    Segment,
    SegmentKind,
    Single,
    Statement,
    refused,
)
from pgready.core.sql import Unscannable
from pgready.core.statements import Batch
from pgready.core.temporary import Temporaries

# Settings under which the server reads the text of later statements differently.
_READING_SETTINGS = (backslashes.SETTING, "backslash_quote", "escape_string_warning")

_LOST = "what this sets in the session cannot be set again for the later parts of the script"
_SAY_PLAINLY = (
    "set it by itself and plainly (SET name = value, SELECT set_config('name', 'value', false)), or for one "
    "transaction (SET LOCAL, set_config(…, true)); or give what stands behind that a file of its own"
)

_NOTHING = Reading()

_CAN_SET = frozenset({"set", "reset", "select", "with", "do", "call"})


def compile_script(script: Script) -> CompiledScript:
    """*script* as segments; always at least one, so that an empty script is recorded too.

    Raises ScriptError for what cannot be run. Pure, and safe in any thread; takes seconds for 100 MB.
    """
    if script.unrunnable is not None:
        raise refused(script, script.unrunnable.offset, script.unrunnable.what, script.unrunnable.hint)
    compiler = _Compiler(script)
    for start, stop in _chunks(script):
        for batch in statements.read(script, start, stop):
            try:
                compiler.take(batch)
            except (
                Unscannable
            ) as trouble:  # pragma: no cover (it was scanned before; were it not, it must not escape)
                raise refused(script, batch.start, trouble.message) from None
    return compiler.finish()


def _chunks(script: Script) -> Iterator[tuple[int, int]]:
    """The ranges of the text between its separators, without a byte order mark."""
    text = script.text
    start = _body_start(text)
    while script.separator:
        found = text.find(script.separator, start)
        if found < 0:
            break
        yield start, found
        start = found + len(script.separator)
    yield start, len(text)


def _body_start(text: str) -> int:
    return 1 if text.startswith(BYTE_ORDER_MARK) else 0


class _Compiler:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._segments: list[Segment] = []
        self._open: list[Statement] = []
        self._open_is_settings = True
        self._block: Statement | None = None
        self._remembered = Remembered()
        self._temporaries = Temporaries()
        self._directives: Directives | None = None
        self._transactional = script.transactional
        self._stepwise = False
        self._backslashes = False

    def take(self, batch: Batch) -> None:
        start = self._read_directives(batch)
        directives.refuse_misplaced(self._script, start, batch.stop, batch.statements)
        guarded = self._guarded(batch.lowered)
        leaving = self._leaving(batch)
        for statement, word in zip(batch.statements, batch.words, strict=True):
            if guarded:
                self._guard(statement, word)
            if self._transactional and not kinds.is_special(word):
                self._open.append(statement)
                self._open_is_settings = False
            else:
                self._take_special(statement, word)
            if leaving:
                self._notice(statement, word)

    def finish(self) -> CompiledScript:
        if self._block:
            raise refused(
                self._script,
                self._block.start,
                "a transaction is opened and not committed",
                "add COMMIT; where it ends, or remove BEGIN: pgready runs the script in a transaction anyway",
            )
        self._close()
        if not self._segments:
            self._add(SegmentKind.TRANSACTION, [])
        found = self._directives or Directives()
        segments, needs = self._segments, self._temporaries.needs
        if needs:
            segments = [replace(each, temporary=needs.get(at)) for at, each in enumerate(segments)]
        return CompiledScript(
            segments=tuple(segments),
            stepwise=self._stepwise,
            lock_timeout_ms=found.lock_timeout_ms,
            statement_timeout_ms=found.statement_timeout_ms,
        )

    def _read_directives(self, batch: Batch) -> int:
        """Read those before the script's first statement; where directives are misplaced from."""
        if self._directives is not None:
            return batch.start
        if not batch.statements and batch.stop < len(self._script.text):
            return batch.stop  # an empty chunk or window: the first statement is yet to come
        top = batch.statements[0].start if batch.statements else batch.stop
        self._directives = directives.read(self._script, _body_start(self._script.text), top)
        self._transactional = self._script.transactional and self._directives.transactional
        return top

    def _guarded(self, lowered: str) -> bool:
        """Whether a statement of the window may hold what `_guard` looks for."""
        return (
            "\\" in lowered or unlocks.GATE in lowered or any(name in lowered for name in _READING_SETTINGS)
        )

    def _guard(self, statement: Statement, word: str) -> None:
        unlocks.refuse(self._script, statement, word)
        psql.refuse_commands_within(self._script, statement)
        if self._backslashes:
            backslashes.refuse(self._script, statement)
        text = self._script.text[statement.start : statement.end].lower()
        if word in _CAN_SET and any(name in text for name in _READING_SETTINGS):
            default = _is_default(text)
            self._stepwise = self._stepwise or not default
            self._backslashes = not default and (self._backslashes or backslashes.SETTING in text)

    def _leaving(self, batch: Batch) -> bool:
        """Whether a statement of the window may leave what `_notice` looks for."""
        gates = (temporary.GATE, set_config.GATE)
        return self._temporaries.any or "do" in batch.words or any(gate in batch.lowered for gate in gates)

    def _notice(self, statement: Statement, word: str) -> None:
        """See what *statement*, which was taken, leaves in the session, and needs of what was left there."""
        text = self._script.text[statement.start : statement.end]
        self._temporaries.read(word, text, len(self._segments) - (not self._open))
        if set_config.may_set(word, text):
            self._notice_settings(statement, word, text)

    def _notice_settings(self, statement: Statement, word: str, text: str) -> None:
        try:
            kinds.refuse_encoding(*set_config.encodings(word, text))
        except Refusal as refusal:
            raise self._refused(statement, refusal.what, refusal.hint) from None
        if set_config.computes(word, text):
            self._remembered.lose(statement)
            if not self._open:
                self._remembered.end_segment()

    def _take_special(self, statement: Statement, word: str) -> None:
        try:
            reading = kinds.read(word, self._script.text[statement.start : statement.end])
        except Refusal as refusal:
            raise self._refused(statement, refusal.what, refusal.hint) from None
        match reading.role:
            case Role.BEGIN:
                self._begin(statement)
            case Role.COMMIT:
                self._commit()
            case Role.ABSORBED:
                pass
            case Role.SINGLE:
                self._single(statement, reading, reading.single or Single.UNKNOWN)
            case _:
                self._ordinary(statement, reading)

    def _begin(self, statement: Statement) -> None:
        if self._block:
            raise self._refused(statement, "BEGIN inside BEGIN", "commit the first transaction before")
        if not self._open_is_settings:
            self._close()
        self._block = statement

    def _commit(self) -> None:
        self._block = None
        self._close()

    def _ordinary(self, statement: Statement, reading: Reading) -> None:
        if not self._transactional and not self._block and reading.alone:
            self._single(statement, reading, reading.alone)
            return
        self._open.append(statement)
        self._open_is_settings &= reading.role is Role.SETTING
        self._remember(statement, reading)
        if not self._transactional and not self._block:
            self._close()

    def _remember(self, statement: Statement, reading: Reading) -> None:
        match reading.role:
            case Role.SETTING:
                self._remembered.set(statement, reading.settings)
            case Role.SAVEPOINT:
                self._remembered.begin_savepoint(reading.target or "")
            case Role.RELEASE:
                self._remembered.release(reading.target or "")
            case Role.ROLLBACK_TO:
                self._remembered.roll_back(reading.target or "")

    def _single(self, statement: Statement, reading: Reading, single: Single) -> None:
        if self._block:
            raise self._refused(
                statement,
                "a statement that cannot run in a transaction stands between BEGIN and COMMIT",
                "move it out: COMMIT before it, or remove BEGIN and COMMIT",
            )
        self._close()
        self._add(SegmentKind.SINGLE, [statement], single, reading)

    def _close(self) -> None:
        """End the transaction segment that is open, if it holds anything."""
        if self._open:
            self._add(SegmentKind.TRANSACTION, self._open)
        self._open = []
        self._open_is_settings = True
        self._remembered.end_segment()

    def _add(
        self,
        kind: SegmentKind,
        held: list[Statement],
        single: Single | None = None,
        reading: Reading = _NOTHING,
    ) -> None:
        if self._remembered.lost:
            raise self._refused(self._remembered.lost, _LOST, _SAY_PLAINLY)
        self._segments.append(
            Segment(
                kind=kind,
                statements=tuple(held),
                checksum=_checksum(self._script.text, held),
                single=single,
                target=reading.target,
                table=reading.table,
                settings=self._remembered.before,
            )
        )

    def _refused(self, statement: Statement, what: str, hint: str) -> ScriptError:
        return refused(self._script, statement.start, what, hint)


def _is_default(setting: str) -> bool:
    """Whether `SET standard_conforming_strings = on`, which every dump starts with, is all that it says."""
    words = setting.replace("=", " ").replace("'", " ").split()
    return words[:1] == ["set"] and words[-1] in ("on", "true", "default") and (backslashes.SETTING in words)


_STATEMENTS_A_TIME = 1024
_CHARACTERS_A_TIME = 1 << 20


def _checksum(text: str, held: list[Statement]) -> str:
    """Hex SHA-256 of the statements and their COPY data, joined by NUL; a piece at a time."""
    digest = hashlib.sha256()
    for at in range(0, len(held), _STATEMENTS_A_TIME):
        part = held[at : at + _STATEMENTS_A_TIME]
        digest.update(b"\0" if at else b"")
        digest.update("\0".join([text[statement.start : statement.end] for statement in part]).encode())
    for statement in held:
        if statement.copy_data:
            _digest_data(digest, text, *statement.copy_data)
    return digest.hexdigest()


def _digest_data(digest: hashlib._Hash, text: str, start: int, end: int) -> None:
    digest.update(b"\0")
    for at in range(start, end, _CHARACTERS_A_TIME):
        digest.update(text[at : min(at + _CHARACTERS_A_TIME, end)].encode())
