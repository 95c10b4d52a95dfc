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


def passwords(text: str, dsn: Dsn) -> tuple[str | None, ...]:
    """For each of *dsn*'s hosts the password of the first line that fits it, the database and the user."""
    entries = [
        entry for line in text.splitlines() if line and not line.startswith("#") if (entry := _entry(line))
    ]
    named = dsn.names or [host for host, _ in dsn.hosts]
    return tuple(
        next((entry[4] for entry in entries if _fits(entry, name, str(port), dsn)), None)
        for name, (_, port) in zip(named, dsn.hosts, strict=True)
    )


def _fits(entry: list[str], host: str, port: str, dsn: Dsn) -> bool:
    # The manual: of a socket the host is `localhost`.
    names = {host, "localhost", "*"} if host.startswith("/") else {host, "*"}
    return entry[0] in names and all(
        field in ("*", actual)
        for field, actual in zip(entry[1:4], (port, dsn.database, dsn.user), strict=True)
    )


def _entry(line: str) -> list[str]:
    """The five fields of *line*; a password's own colons need no escape. Empty where it is none."""
    match = re.match(_LINE, line)
    return [re.sub(_ESCAPED, r"\1", field) for field in match.groups()] if match else []
