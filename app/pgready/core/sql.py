"""The only room that knows libpg_query (through postgast): where statements end, and their tokens.

Only its scanner is used, never its parser: the scanner needs no stack, while parsing `1+1+…` thirty thousand
deep ends the process (measured), and a script is input like any other.

Of postgast only the module that binds the library is loaded, and only where there is something to read. The
package itself loads protobuf and a class for every node of a syntax tree: 40 ms and 8 MiB of each start with
something to apply. All that protobuf would be for are three numbers of a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from postgast.native import PgQuerySplitResult


# A token costs some hundred bytes. No statement that is looked at closely is longer; data is.
SCAN_LIMIT_CHARACTERS = 1 << 20


class Unscannable(Exception):
    """The scanner refused the text at character *offset* (unterminated string, malformed number, …)."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class TokenKind(Enum):
    WORD = "word"  # a keyword or an unquoted identifier
    QUOTED = "quoted identifier"
    STRING = "string"
    COMMENT = "comment"
    OTHER = "other"


class Token(Struct, frozen=True, gc=False):
    """One token at character offset *start*. The text of a WORD is in lower case, else as written."""

    kind: TokenKind
    text: str
    start: int

    @property
    def length(self) -> int:
        return len(self.text)


def split(text: str) -> list[tuple[int, int]]:
    """Character offsets of the statements of *text*, each from behind the last `;` up to its own.

    As libpg_query splits: `;` inside parentheses does not count, those of a BEGIN ATOMIC body do, and
    what holds no keyword is left out. Raises Unscannable.
    """
    data = _encode(text)
    lib = _library()
    with _read(lib.pg_query_split_with_scanner, lib.pg_query_free_split_result, data) as result:
        spans = list(_spans(result))
    return spans if len(data) == len(text) else _characters(data, spans)


def _spans(result: PgQuerySplitResult) -> Iterator[tuple[int, int]]:
    statements = result.stmts
    for index in range(result.n_stmts):
        statement = statements[index].contents
        start = statement.stmt_location
        yield start, start + statement.stmt_len


def _characters(data: bytes, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """*spans*, which are ascending byte offsets into *data*, as character offsets."""
    found: list[tuple[int, int]] = []
    seen = characters = 0
    for start, end in spans:
        first = characters + len(data[seen:start].decode())
        seen, characters = end, first + len(data[start:end].decode())
        found.append((first, characters))
    return found


def tokens(text: str) -> list[Token]:
    """The tokens of *text*, comments among them. Raises Unscannable."""
    found: list[Token] = []
    seen = characters = 0
    data = _encode(text)
    for number, start, end in _scan(data):
        characters += len(data[seen:start].decode())
        seen = start
        found.append(_token(number, data[start:end], characters))
    return found


def token_texts(text: str) -> Iterator[tuple[TokenKind, bytes]]:
    """Kind and bytes of each token as written; WORD stands for every quoted name too. Raises Unscannable."""
    data = _encode(text)
    return ((_KINDS.get(number, TokenKind.WORD), data[start:end]) for number, start, end in _scan(data))


# libpg_query's numbers (pg_query.proto): IDENT = 258, UIDENT, then the constants, operators, comments;
# a character that is a token stands for itself, and keywords lie above all of these.
_KINDS = {
    **dict.fromkeys(range(1, 258), TokenKind.OTHER),
    **dict.fromkeys((260, 263, 264, *range(265, 275)), TokenKind.OTHER),
    261: TokenKind.STRING,
    262: TokenKind.STRING,
    275: TokenKind.COMMENT,
    276: TokenKind.COMMENT,
}


def _token(number: int, raw: bytes, start: int) -> Token:
    kind = _KINDS.get(number, TokenKind.WORD)
    if kind is TokenKind.WORD and raw.endswith(b'"'):
        kind = TokenKind.QUOTED
    # bytes.lower is ASCII only, as the server's folding of names is in UTF-8.
    return Token(kind, (raw.lower() if kind is TokenKind.WORD else raw).decode(), start)


def _scan(data: bytes) -> list[tuple[int, int, int]]:
    from ctypes import string_at

    lib = _library()
    with _read(lib.pg_query_scan, lib.pg_query_free_scan_result, data) as result:
        scanned = string_at(result.pbuf.data, result.pbuf.len)
    return _decoded(scanned)


# Of E'\xe9' and E'\351' the scanner says that they are no UTF-8, and not where. Which bytes make a character
# is for the database to say, whose encoding may be another: others of the same length stand for them here.
_BYTE_ESCAPE = re.compile(rb"\\(?:x[0-9A-Fa-f]{1,2}|[0-7]{1,3})")
_NO_UTF8 = b"invalid byte sequence"


@contextmanager
def _read(function: Any, free: Any, data: bytes) -> Iterator[Any]:
    result = function(data)
    try:
        if result.error and result.error.contents.message.startswith(_NO_UTF8):
            free(result)
            result = function(_BYTE_ESCAPE.sub(_harmless, data))
        _check(result)
        yield result
    finally:
        free(result)


def _harmless(escape: re.Match[bytes]) -> bytes:
    return (b"\\x41" if escape[0][1:2] == b"x" else b"\\101")[: len(escape[0])]


# A token of a ScanResult (pg_query.proto): its length, which is less than 128, and of its fields those that
# are not 0, each a tag (number and type of the field) and a varint. Only the start may be 0.
_TOKEN = re.compile(
    rb"\x12.(?:\x08(?P<start>[\x80-\xff]*.))?\x10(?P<end>[\x80-\xff]*.)\x20(?P<number>[\x80-\xff]*.)"
    rb"(?:\x28.)?",
    re.DOTALL,
)


def _decoded(scanned: bytes) -> list[tuple[int, int, int]]:
    """Number, start and end of each token of a ScanResult."""
    return [
        (_VARINTS[number], _VARINTS[start], _VARINTS[end]) for start, end, number in _TOKEN.findall(scanned)
    ]


class _Varints(dict[bytes, int]):
    """Seven bits a byte, the lowest first; most texts are short, so those of two bytes are remembered."""

    def __missing__(self, raw: bytes) -> int:
        value = 0
        for byte in reversed(raw):
            value = value << 7 | byte & 0x7F
        if len(raw) <= 2:
            self[raw] = value
        return value


_VARINTS = _Varints()


@cache
def _library() -> Any:
    """libpg_query, as postgast binds it."""
    package = find_spec("postgast")
    assert package is not None, "a dependency"
    spec = PathFinder.find_spec("native", package.submodule_search_locations)
    assert spec is not None and spec.loader is not None, "tests/core/test_sql.py fails if an upgrade moves it"
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.lib


def _encode(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise Unscannable("a lone surrogate, which UTF-8 cannot hold", error.start) from None
    if b"\0" in data:
        raise Unscannable("a NUL character", text.index("\0"))
    for run in _OPERATORS.finditer(data) if data.count(b"/*") > _DEEPEST else ():
        if run[0].count(b"/*") > _DEEPEST:
            offset = len(data[: run.start()].decode())
            raise Unscannable("comments that are nested too deep to be read", offset)
    return data


# From each `/*` the scanner reads on through all that an operator may consist of, and goes back: of a million
# of them in a row it reads for hours, as the server's own does.
_OPERATORS = re.compile(rb"[~!@#^&|`?+\-*/%<>=]{1024,}+")
_DEEPEST = 256


def _check(result: PgQuerySplitResult) -> None:
    if result.error:
        error = result.error.contents
        message = (error.message or b"").decode(errors="replace").partition(" at or near ")[0]
        # The cursor counts characters from 1, as the server's does (measured; postgast's text differs).
        raise Unscannable(message, max(error.cursorpos - 1, 0))
