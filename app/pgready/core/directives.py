"""`-- pgready: …` lines at the top of a script; docs/directives.md describes each."""

from __future__ import annotations

import re

from msgspec import Struct

from pgready.core import lexical, sql
from pgready.core.model import Script
from pgready.core.segments import Statement, refused
from pgready.core.sql import TokenKind

_DIRECTIVE = re.compile(r"--[ \t]*pgready[ \t]*:([^\n\r]*+)", re.IGNORECASE)
# A comment that was surely meant as one: `-- pgready no-transaction`, `-- pg-ready: lock-timeout=5s`.
_MISSPELT = re.compile(
    r"--[ \t]*(?:pg[-_ ]?ready[ \t]*:?[ \t]*(?:no-transaction|(?:lock|statement)-timeout)\b)", re.IGNORECASE
)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|min|h)?")
_UNIT_MS = {"ms": 1, "s": 1000, "": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_MAX_TIMEOUT_MS = 2**31 - 1  # of a timeout of the server: 24.8 days

KNOWN = ("no-transaction", "lock-timeout", "statement-timeout")
# Named in the design for later versions: to obey them is not possible, to ignore them not safe.
_LATER = frozenset({"phase", "backfill", "verify", "ignore"})


class Directives(Struct, frozen=True):
    """What a script's directives ask for."""

    transactional: bool = True
    lock_timeout_ms: int | None = None
    statement_timeout_ms: int | None = None


def read(script: Script, start: int, stop: int) -> Directives:
    """The directives among the comments of *script* from *start* to *stop*, where its first statement is.

    Raises ScriptError for a word that is unknown, said twice, or lacks its value.
    """
    found: dict[str, int] = {}
    for begin, end in lexical.line_comments(script.text, start, stop):
        match = _DIRECTIVE.match(script.text, begin, end)
        if match:
            for word in re.finditer(r"\S+", match.group(1)):
                _take(script, match.start(1) + word.start(), word.group(), found)
        elif _MISSPELT.match(script.text, begin, end):
            raise refused(script, begin, "this looks like a directive and is none", "write `-- pgready: …`")
    return Directives(
        transactional="no-transaction" not in found,
        lock_timeout_ms=found.get("lock-timeout"),
        statement_timeout_ms=found.get("statement-timeout"),
    )


def _take(script: Script, offset: int, word: str, found: dict[str, int]) -> None:
    name, equals, value = word.partition("=")
    if name not in KNOWN:
        raise refused(script, offset, *_unknown(name))
    if name in found:
        raise refused(script, offset, f"the directive {name} is given twice", "keep one of them")
    if name == "no-transaction":
        if equals:
            raise refused(script, offset, "the directive no-transaction takes no value", f"write `{name}`")
        found[name] = 1
        return
    duration_ms = _duration_ms(value)
    if duration_ms is None:
        raise refused(
            script,
            offset,
            f"the directive {name} needs a duration, not {value!r}",
            f"write `{name}=5s`, `{name}=500ms`, `{name}=2m`, or `{name}=0` for none",
        )
    if duration_ms > _MAX_TIMEOUT_MS:
        raise refused(
            script,
            offset,
            f"the directive {name} is longer than the server takes",
            f"write at most `{name}={_MAX_TIMEOUT_MS // 3_600_000}h`, or `{name}=0` for none",
        )
    found[name] = duration_ms


def _unknown(name: str) -> tuple[str, str]:
    if name in _LATER:
        return f"the directive {name} is not supported by this version of pgready", "use a newer pgready"
    from difflib import get_close_matches

    close = get_close_matches(name.lower().replace("_", "-"), KNOWN, n=1)
    known = ", ".join(KNOWN)
    return f"unknown directive {name!r}", f"did you mean {close[0]}?" if close else f"known are: {known}"


def _duration_ms(value: str) -> int | None:
    match = _DURATION.fullmatch(value)
    if match is None or len(value) > 12:
        return None
    return round(float(match.group(1)) * _UNIT_MS[match.group(2) or ""])


def refuse_misplaced(script: Script, start: int, stop: int, statements: list[Statement]) -> None:
    """Raise ScriptError for a directive from *start* to *stop*, where *statements* are, behind or in one.

    What looks like one in a string or in COPY data is none.
    """
    if not _DIRECTIVE.search(script.text, start, stop):
        return
    for statement in statements:
        _refuse_between(script, start, statement.start)
        _refuse_within(script, statement)
        start = statement.copy_data[1] if statement.copy_data else statement.end
        if statement.copy_data:
            line_end = script.text.find("\n", start, stop)
            start = stop if line_end < 0 else line_end
    _refuse_between(script, start, stop)


def _refuse_between(script: Script, start: int, stop: int) -> None:
    for begin, end in lexical.line_comments(script.text, start, stop):
        if _DIRECTIVE.match(script.text, begin, end):
            raise _misplaced(script, begin)


def _refuse_within(script: Script, statement: Statement) -> None:
    text = script.text[statement.start : statement.end]
    if len(text) > sql.SCAN_LIMIT_CHARACTERS or not _DIRECTIVE.search(text):
        return
    for token in sql.tokens(text):
        if token.kind is TokenKind.COMMENT and _DIRECTIVE.match(token.text):
            raise _misplaced(script, statement.start + token.start)


def _misplaced(script: Script, offset: int) -> Exception:
    return refused(
        script, offset, "a directive stands behind the first statement", "move it to the top of the script"
    )
