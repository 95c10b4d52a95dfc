"""What can be told of SQL text at a place between two tokens: blanks, comments, the next words.

From such a place PostgreSQL's rules for blanks, comments and words are simple enough for a regular
expression, and a hundred times cheaper than a scan. Nothing here may be used inside a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# The scanner's own blanks; str.isspace knows many more, which the scanner takes for letters.
BLANKS = " \t\n\r\f\v"

_BLANK = re.compile(rf"(?:[{BLANKS}]++|--[^\n\r]*+)*+")
_BLANK_OR_END = re.compile(rf"(?:[{BLANKS};]++|--[^\n\r]*+)*+")
_LINE_COMMENT = re.compile(rf"[{BLANKS};]*+(--[^\n\r]*+)?")
# A letter, `_` or anything beyond ASCII, then also digits and `$`: told by what they are not, since a set up
# to the last character there is takes 7 ms to compile.
_WORD = re.compile(r"[^\x00-@\[-^`{-\x7f][^\x00-#%-/:-@\[-^`{-\x7f]*+")
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def skip(text: str, start: int, stop: int, *, ends: bool = False) -> int:
    """The offset of the first token at or behind *start*, or *stop*; *ends* skips `;` as well.

    A block comment that does not end before *stop* is left standing, for the scanner to complain about.
    """
    pattern = _BLANK_OR_END if ends else _BLANK
    while True:
        match = pattern.match(text, start, stop)
        start = match.end() if match else start
        if not text.startswith("/*", start, stop):
            return start
        end = _block_comment_end(text, start, stop)
        if end is None:
            return start
        start = end


def _block_comment_end(text: str, start: int, stop: int) -> int | None:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start, stop):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return None


def line_comments(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Offsets of the `--` comments between two tokens (`;` may stand there too)."""
    while start < stop:
        match = _LINE_COMMENT.match(text, start, stop)
        if match and match.group(1) is not None:
            yield match.span(1)
        after = match.end() if match else start
        if text.startswith("/*", after, stop):
            after = _block_comment_end(text, after, stop) or stop
        if after == start:
            return
        start = after


def head(text: str, start: int, stop: int, count: int) -> list[str]:
    """The first words of the statement at *start* in lower case, at most *count*, up to anything else."""
    words: list[str] = []
    while len(words) < count:
        match = _WORD.match(text, start, stop)
        if match is None:
            break
        words.append(match.group().lower())
        start = skip(text, match.end(), stop)
    return words
