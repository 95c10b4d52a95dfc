"""A script's text → its statements, a window at a time, so that memory stays bounded whatever its size.

The rules that this module keeps:

1. Statements end where psql ends them: at a `;` outside parentheses, strings, comments and BEGIN ATOMIC
   bodies, and at the end of the text.
2. COPY data is never scanned as SQL to any effect. What the scanner says of the text before an offset
   does not depend on the text behind it, so it may run into data, or into the cut end of a window: where
   it fails, the part before the failure is split alone, and what is incomplete is read again.
3. Windows end behind a line with the word `stdin` or before a line that starts with a backslash, where
   there is one: not needed for correctness, but data of many megabytes is then not scanned at all.
4. No text is lost: what the scanner leaves out (text without a keyword) is a statement too, which the
   server refuses in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from pgready.core import lexical, psql, sql
from pgready.core.errors import ScriptError
from pgready.core.lexical import BLANKS
from pgready.core.model import Script
from pgready.core.segments import Statement, refused
from pgready.core.sql import TokenKind, Unscannable

WINDOW_CHARACTERS = 1 << 20

_START = re.compile(rf"[{BLANKS}]*+(?:--[^\n\r]*+[{BLANKS}]++)*+([A-Za-z_]++)")


class Batch(Struct):
    """The statements that start in *start* … *stop*, with the first word of each, in lower case.

    *lowered* is a text in which every word of the statements is found in lower case.
    """

    start: int
    stop: int
    lowered: str
    statements: list[Statement]
    words: list[str]


def read(
    script: Script, start: int, stop: int, window_characters: int = WINDOW_CHARACTERS
) -> Iterator[Batch]:
    """Batches without a gap between them from *start* to *stop*, the last one without statements.

    The size of the windows bounds memory and changes nothing of the result.
    Raises ScriptError for unterminated text, psql's commands, COPY without its data.
    """
    text = script.text
    position, grown = start, 0
    while True:
        position = lexical.skip(text, position, stop, ends=True)
        if position >= stop:
            yield Batch(start, stop, "", [], [])
            return
        if text[position] == "\\":
            position = psql.pass_command(script, position, stop)
            continue
        end = min(position + grown, stop) if grown else _cut(text, position, stop, window_characters)
        window = _Window(script, position, end, stop)
        after = window.read()
        if after > position:
            yield Batch(start, after, window.lowered, window.statements, window.words)
            start, position, grown = after, after, 0
        elif window.end == stop:
            raise window.unreadable()
        else:
            grown = 2 * (window.end - position)


def _cut(text: str, start: int, stop: int, characters: int) -> int:
    """Where a window of at most *characters* that starts at *start* ends, by rule 3."""
    end = min(start + characters, stop)
    # The `\\.` behind the next data comes first: it keeps the searches below short.
    command = text.find("\n\\", start, end)
    if command >= 0:
        end = command + 1
    for word in ("stdin", "STDIN"):
        found = text.find(word, start, end)
        if found >= 0:
            line_end = text.find("\n", found, end)
            end = line_end + 1 if line_end >= 0 else end
    return end


class _Window:
    """One attempt to read the statements of text[start:end]; offsets inside are relative to *start*."""

    def __init__(self, script: Script, start: int, end: int, stop: int) -> None:
        self.script = script
        self.start = start
        self.end = end
        self.stop = stop
        self.piece = script.text[start:end]
        self.lowered = self.piece.lower()
        self.statements: list[Statement] = []
        self.words: list[str] = []
        self.trouble: tuple[str, int] | None = None
        self.atomic = "atomic" in self.lowered
        self.commented = "--" in self.piece or "*/" in self.piece

    def unreadable(self) -> ScriptError:
        message, offset = self.trouble or ("cannot be read", 0)
        hint = "it would swallow the rest of the script: end it" if "untermin" in message else None
        return refused(self.script, self.start + offset, message, hint)

    def read(self) -> int:
        """Collect the statements that are complete; the script's offset where reading goes on."""
        piece = self.piece
        spans, limit = self._split()
        final = self.end == self.stop and self.trouble is None
        cursor = index = 0
        while index < len(spans):
            start, end = spans[index]
            bare = cursor if start == cursor else lexical.skip(piece, cursor, start, ends=True)
            while bare < start:
                if piece[bare] == "\\":
                    return self.start + bare
                cursor = _bare_end(piece, bare, start)
                self._add(bare, cursor, "")
                bare = lexical.skip(piece, cursor, start, ends=True)
            first, word = _first_word(piece, start, end)
            if piece[first] == "\\":
                return self.start + first
            if self.atomic and word == "create" and _defines_function(piece, first, end):
                index, end = self._join(spans, index, first, limit)
            closed = end < limit and piece[end] == ";"
            if not (closed or final):
                return self.start + first
            self._add(first, end, word)
            if word == "copy" and psql.copies_from_stdin(piece[first:end]):
                return self._copy_data(end, closed)
            cursor = end + closed
            index += 1
        return self._read_rest(cursor, limit, final)

    def _split(self) -> tuple[list[tuple[int, int]], int]:
        """The scanner's statements up to *limit*, where the scanner failed or the window ends."""
        limit = len(self.piece)
        while True:
            try:
                return sql.split(self.piece[:limit]), limit
            except Unscannable as trouble:
                # Not the exception: its traceback holds this window, a cycle of many megabytes.
                self.trouble = self.trouble or (trouble.message, trouble.offset)
                limit = min(trouble.offset, limit - 1)

    def _read_rest(self, cursor: int, limit: int, final: bool) -> int:
        rest = lexical.skip(self.piece, cursor, limit, ends=True)
        if final and rest < limit and self.piece[rest] != "\\":
            end = _bare_end(self.piece, rest, limit)
            self._add(rest, end, "")
            rest = end
        # A window may end inside a comment, which must be skipped from its start.
        return self.start + (cursor if rest == limit and not final else rest)

    def _add(self, start: int, end: int, word: str) -> None:
        piece = self.piece
        if piece[end - 1] in BLANKS:
            end = len(piece[start:end].rstrip(BLANKS)) + start
        if (
            self.commented
            and end - start <= sql.SCAN_LIMIT_CHARACTERS
            and _may_end_in_comment(piece, start, end)
        ):
            end = _without_comments(piece, start, end)
        self.statements.append(Statement(self.start + start, self.start + end))
        self.words.append(word)

    def _copy_data(self, end: int, closed: bool) -> int:
        behind = self.start + end + closed
        statement, after = psql.copy_data(self.script, self.statements.pop(), behind, self.stop)
        self.statements.append(statement)
        return after

    def _join(self, spans: list[tuple[int, int]], index: int, start: int, limit: int) -> tuple[int, int]:
        """Index and end of the span in which the function ends whose definition starts at *start*."""
        depth = 0
        for at in range(index, len(spans)):
            depth = _body_depth(self.piece[start : spans[at][1]], depth)
            start = spans[at][1]
            if depth == 0:
                return at, start
        return len(spans), limit


def _bare_end(piece: str, start: int, limit: int) -> int:
    """The end of the statement at *start* that the scanner left out: without a keyword, or never closed."""
    if limit - start > sql.SCAN_LIMIT_CHARACTERS:
        return limit
    depth = 0
    for token in sql.tokens(piece[start:limit]):
        depth += (token.text == "(") - (token.text == ")")
        if token.text == ";" and depth == 0:
            return start + token.start
    return limit


def _first_word(piece: str, start: int, end: int) -> tuple[int, str]:
    match = _START.match(piece, start, end)
    if match:
        return match.start(1), match.group(1).lower()
    first = lexical.skip(piece, start, end, ends=True)
    return first, "".join(lexical.head(piece, first, end, 1))


def _defines_function(piece: str, start: int, end: int) -> bool:
    words = lexical.head(piece, start, end, 4)
    return words[1:2] in (["function"], ["procedure"]) or words[1:] in (
        ["or", "replace", "function"],
        ["or", "replace", "procedure"],
    )


def _body_depth(text: str, depth: int) -> int:
    """How many BEGIN and CASE are open behind *text*, of a function's definition, if *depth* were before it.

    psql's rule, with one difference: the first BEGIN counts only as BEGIN ATOMIC, so that a function may
    have a parameter of that name.
    """
    words = [token for token in sql.tokens(text) if token.kind is not TokenKind.COMMENT]
    parentheses = 0
    for token, following in zip(words, [*words[1:], None], strict=True):
        parentheses += (token.text == "(") - (token.text == ")")
        if parentheses or token.kind is not TokenKind.WORD:
            continue
        if token.text == "begin":
            depth += depth > 0 or (following is not None and following.text == "atomic")
        elif token.text == "case":
            depth += depth > 0
        elif token.text == "end":
            depth -= depth > 0
    return depth


def _may_end_in_comment(piece: str, start: int, end: int) -> bool:
    return piece.endswith("*/", start, end) or "--" in piece[max(piece.rfind("\n", start, end), start) : end]


def _without_comments(piece: str, start: int, end: int) -> int:
    """The end of the last token that is no comment: what follows the statement must not join a comment."""
    kept = (token for token in reversed(sql.tokens(piece[start:end])) if token.kind is not TokenKind.COMMENT)
    return next((start + token.start + token.length for token in kept), end)
