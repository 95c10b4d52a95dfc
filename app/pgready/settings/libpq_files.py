"""libpq's service file and password file (manual, "The Connection Service File", "The Password File")."""

from __future__ import annotations

import re

from pgready.core.dsn import Dsn

_LINE = r"((?:[^:\\]|\\.)*):" * 4 + "(.*)"
_ESCAPED = r"\\(.)"


def service(text: str, name: str) -> dict[str, str] | None:
    """The parameters of section [*name*], None where there is no such section."""
    found: dict[str, str] | None = None
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            if section == name and found is None:
                found = {}
        elif found is not None and section == name and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value.strip())
    return found


def password(text: str, dsn: Dsn) -> str | None:
    """The password of the first line that fits one of *dsn*'s hosts, its database and its user."""
    entries = [_entry(line) for line in text.splitlines() if line and not line.startswith("#")]
    named = dsn.names or [host for host, _ in dsn.hosts]
    for host, (_, port) in zip(named, dsn.hosts, strict=True):
        names = {host, "localhost", "*"} if host.startswith("/") else {host, "*"}
        for entry in entries:
            if entry and entry[0] in names and _fits(entry, str(port), dsn):
                return entry[4]
    return None


def _fits(entry: list[str], port: str, dsn: Dsn) -> bool:
    return all(
        field in ("*", actual)
        for field, actual in zip(entry[1:4], (port, dsn.database, dsn.user), strict=True)
    )


def _entry(line: str) -> list[str]:
    """The five fields of *line*; a password's own colons need no escape. Empty where it is none."""
    match = re.match(_LINE, line)
    return [re.sub(_ESCAPED, r"\1", field) for field in match.groups()] if match else []
