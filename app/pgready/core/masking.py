"""Passwords that stand in a script, hidden where the script is quoted: `***` takes their place.

What is quoted is often broken, and then no scanner finds its tokens. So this goes by patterns that begin at
the words behind which a password stands, whatever surrounds them: a string, a body between dollars. They hide
too much rather than too little: a literal without an end hides the rest of the text, and one that is followed
by anything but a separator (`'it's'`, `''it''` within a string) the rest of its line.
"""

from __future__ import annotations

import re
from functools import cache

from pgready.core.secrets import MASK

# Every repetition has a bound, so that no text takes long, whatever is in it.
_GAP = r"(?:\s|--[^\n]{0,200}+(?:\n|\Z)|/\*.{0,200}?\*/){0,99}+"
_BEHIND = rf'passw(?:or)?d"?(?:{_GAP}:?=>?{_GAP}|(?=[\s/-]){_GAP})'
_REST = r"(?:(?=[^\s;,)])[^\n]{0,4096}+)?"
_NESTED = r"''[^'\n]{1,500}+''(?!')"

# A quote in a literal is written twice; whether a backslash hides one depends on the literal and a setting.
_READINGS = (r"'(?:[^']|''){0,8192}+'?", r"'(?:[^'\\]|\\.|''){0,8192}+'?")

_PATTERNS = (
    rf"{_BEHIND}(?P<secret>{_NESTED})",
    *(
        rf"{_BEHIND}(?!{_NESTED})(?P<secret>(?:e|u&)?{literal}(?:\s{{1,99}}+{literal}){{0,9}}+{_REST})"
        for literal in _READINGS
    ),
    # Without a gap a quote may as well end a string that speaks of a password.
    r"passw(?:or)?d(?P<secret>'[^'\s,;:|)][^'\s]{0,500}+')",
    rf"{_BEHIND}(?P<secret>\$(?P<tag>\w{{0,63}})\$(?:[^\n]{{0,500}}?\$(?P=tag)\$|\S{{1,500}}+))",
    # The quotes were forgotten.
    r"(?:create|alter)\s{1,99}+(?:role|user|group)\s[^;',(]{0,500}?\spassword\s{1,99}+"
    r"(?!null\b|/\*|--|%)(?P<secret>[^\s'$;]{1,500}+)",
    # Connection strings and addresses.
    r"passw(?:or)?d=(?P<secret>[^\s'\"$();,\\][^\s'\";]{0,500}+|\\'.{0,500}?(?:\\'|\Z))",
    r"(?:connection|dblink)[^;]{0,500}?passw(?:or)?d\s{0,99}+=\s{0,99}+(?P<secret>[^\s'\";]{1,500}+)",
    r"://[^\s/'\"@:]{0,200}+:(?P<secret>[^\s'\"]{1,500})(?=@)",
)


_SIGN = re.compile("passw|://", re.IGNORECASE)
_BEFORE, _BEHIND_IT = 1_200, 32_768
"""How far around a sign a pattern reaches: all else of a text is not looked at."""


@cache
def _compiled() -> tuple[re.Pattern[str], ...]:
    # Each is looked for from every place, in what another has found as well.
    return tuple(re.compile(f"(?={pattern})", re.IGNORECASE | re.DOTALL) for pattern in _PATTERNS)


Spans = list[tuple[int, int]]
"""Offsets of what is to be hidden in a text, in order and apart."""


def masked(text: str) -> str:
    """*text* without passwords."""
    return without(spans(text, 0, len(text)), text, 0, len(text))


def spans(text: str, start: int, stop: int) -> Spans:
    """What is to be hidden in *text* from *start* to *stop*."""
    looked_at = text[start:stop].lower()
    if "passw" not in looked_at and "://" not in looked_at:
        return []
    found = (
        match.span("secret")
        for begin, end in _near_signs(text, start, stop)
        for each in _compiled()
        for match in each.finditer(text, begin, end)
    )
    merged: Spans = []
    for begin, end in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged


def _near_signs(text: str, start: int, stop: int) -> Spans:
    near: Spans = []
    for sign in _SIGN.finditer(text, start, stop):
        begin, end = max(start, sign.start() - _BEFORE), min(stop, sign.end() + _BEHIND_IT)
        if near and begin <= near[-1][1]:
            near[-1] = near[-1][0], end
        else:
            near.append((begin, end))
    return near


def without(hidden: Spans, text: str, start: int, stop: int) -> str:
    """*text* from *start* to *stop* with a mask for each of the *hidden* spans."""
    parts: list[str] = []
    for begin, end in hidden:
        if end > start:
            parts += (text[start:begin], MASK)
            start = end
    return "".join((*parts, text[start:stop]))


def moved(hidden: Spans, start: int, offset: int) -> int:
    """Where in that text the character at *offset* stands; of what is hidden, where its mask begins."""
    at = offset - start
    for begin, end in hidden:
        if start < end and begin < offset:
            at -= min(end, offset) - max(begin, start)
            at += len(MASK) if end <= offset else 0
    return at
