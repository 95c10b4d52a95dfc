"""Variables in a script's text, in the shell's spelling, as goose (ENVSUB) replaces them.

`$NAME`, `${NAME}`, `${NAME:-when empty}`, `${NAME-when unset}`, `${NAME?message}`, `${NAME:offset:length}`,
nested in their alternatives. `$$` and `\\$` are a dollar sign, `$(` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[^\W\d_]\w*")
_OPERATOR = re.compile(r":-|[:?-]")
_SLICE = re.compile(r"\s*([+-]?[0-9]+)\s*(?::\s*([+-]?[0-9]+)\s*)?\}")
_KEPT = {"\\\\": "\\\\", "\\$": "$", "$$": "$", "$(": "$("}


class Unreplaceable(ValueError):
    """Why a variable cannot be replaced."""


class Variables:
    """Replaces variables from *environ*, and remembers in *values* what it put in."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.values: dict[str, str] = {}

    def replaced(self, text: str) -> str:
        """*text*, one line, with its variables replaced. Raises Unreplaceable."""
        return self._expression(text, 0, "")[0]

    def _expression(self, text: str, at: int, stop: str) -> tuple[str, int]:
        """What stands from *at* to the next character of *stop*, or to the end, and where that is."""
        parts: list[str] = []
        while at < len(text) and text[at] not in stop:
            if text[at : at + 2] in _KEPT:
                parts.append(_KEPT[text[at : at + 2]])
                at += 2
            elif text[at] == "$" and at + 1 < len(text):
                value, at = self._variable(text, at + 1)
                parts.append(value)
            else:
                parts.append(text[at])
                at += 1
        return "".join(parts), at

    def _variable(self, text: str, at: int) -> tuple[str, int]:
        braced = text[at] == "{"
        match = _NAME.match(text, at + braced)
        if match is None:
            raise Unreplaceable(f"`{text[at - 1 : at + 8]}` names no variable; write `$$` for a dollar sign")
        name, at = match.group(), match.end()
        if not braced:
            return self._get(name) or "", at
        if text.startswith("}", at):
            return self._get(name) or "", at + 1
        return self._operation(text, name, at)

    def _operation(self, text: str, name: str, at: int) -> tuple[str, int]:
        operator = _OPERATOR.match(text, at)
        if operator is None:
            raise Unreplaceable(f"`${{{name}` has no `}}`")
        value = self._get(name)
        if operator.group() == ":":
            return self._slice(text, name, operator.end(), value or "")
        needed = not value if operator.group() == ":-" else value is None
        other, end = (self if needed else _Unneeded({}))._expression(text, operator.end(), "}")
        if not text.startswith("}", end):
            raise Unreplaceable(f"`${{{name}` has no `}}`")
        if needed and operator.group() == "?":
            raise Unreplaceable(f"${name}: {other or 'not set'}")
        return other if needed else value or "", end + 1

    def _slice(self, text: str, name: str, at: int, value: str) -> tuple[str, int]:
        match = _SLICE.match(text, at)
        if match is None:
            raise Unreplaceable(f"`${{{name}:` needs an offset, or `:-` and what is put in its place")
        # Offsets count bytes, as Go's do.
        data = value.encode()
        start = _within(int(match[1]), len(data))
        length = match[2]
        end = len(data) if length is None else start + int(length)
        if length is not None and int(length) < 0:
            end = len(data) + int(length)
        return data[start : max(start, min(end, len(data)))].decode(errors="replace"), match.end()

    def _get(self, name: str) -> str | None:
        value = self._environ.get(name)
        if value is not None:
            if "\n" in value or "\r" in value:
                raise Unreplaceable(f"${name} holds a line break: the script's lines would not be the file's")
            self.values[name] = value
        return value


class _Unneeded(Variables):
    """Reads over an alternative that is not taken: what it names may well be missing."""

    def _get(self, name: str) -> str | None:
        return ""


def _within(offset: int, length: int) -> int:
    return max(0, min(offset + length if offset < 0 else offset, length))
