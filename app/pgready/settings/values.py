"""Texts of settings → values. Each reader raises ValueError whose text completes "NAME …"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_DURATION = r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+"
_PART = r"([0-9.]+)(ms|s|m|h|d)"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"


def text(value: str) -> str:
    if "\0" in value:  # a TOML file can hold one, and no path, address or name may
        raise ValueError("must not hold a NUL character")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("is not UTF-8 text")  # Python's stand-ins for bytes: no output could show them
    return value


# Texts of a kind of their own, which `form` tells.


def url(value: str) -> str:
    return text(value)


def path(value: str) -> str:
    return text(value)


def listed(value: str) -> str:
    return text(value)


def name(value: str) -> str:
    if len(value) > 63 or not value.isprintable():
        raise ValueError("must be printable text of at most 63 characters")
    return value


def duration(value: str) -> float:
    """Seconds, from `30s`, `5m`, `1h30m`, `250ms` or a plain number of seconds."""
    value = value.strip().lower()
    if len(value) <= 40:
        if re.fullmatch(_NUMBER, value):
            return float(value)
        if re.fullmatch(_DURATION, value):
            return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, value))
    raise ValueError("is not a duration: write 30s, 5m, 1h, 250ms or a number of seconds")


def server_timeout(value: str) -> float:
    """A duration in seconds that the server takes as one of its timeouts: milliseconds in 31 bits."""
    seconds = duration(value)
    if round(seconds * 1000) > 2**31 - 1:
        raise ValueError("is longer than the server takes: write at most 24d, or 0 for none")
    return seconds


def boolean(value: str) -> bool:
    word = value.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("must be true or false (also 1/0, yes/no, on/off)")


def port(value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) <= 5 and int(value) < 65536:
        return int(value)
    raise ValueError("is not a port: write a number from 0 to 65535 (0: any free one)")


def embedded(value: str) -> str | None:
    """None for off, an empty text for the default data directory, else a directory."""
    try:
        return "" if boolean(value) else None
    except ValueError:
        return text(value)


class Choice(Struct, frozen=True):
    """A reader that takes one of *words*, in any case."""

    words: tuple[str, ...]

    def __call__(self, value: str) -> str:
        word = value.strip().lower()
        if word not in self.words:
            raise ValueError(f"must be {' or '.join(self.words)}")
        return word


def choice(*words: str) -> Choice:
    return Choice(words)


def form(read: Callable[[str], object]) -> str:
    """What the reader *read* takes, for a help: a kind in capitals, or the words to choose from."""
    return f"[{'|'.join(read.words)}]" if isinstance(read, Choice) else _FORMS[read]


_FORMS: Mapping[Callable[[str], object], str] = {
    url: "URL",
    path: "PATH",
    listed: "LIST",
    name: "NAME",
    duration: "DURATION",
    server_timeout: "DURATION",
    boolean: "[=true|false]",
    port: "NUMBER",
    embedded: "[=DIR]",
}
