"""The variables of Compose files, frameworks and the postgres image: `DB_HOST`, `POSTGRES_USER` and others.

1. They are one source. A parameter has several names, and whichever is set is read.
2. A real variable wins over one of `.env`, which is noted where they differ.
3. Two of the same place that differ are a problem that names both: which one is meant, nobody can tell.
4. What is left out because another source supplies the connection is noted where it says something else.
5. A password that another source lacks is nobody's in particular: the first one fills it, others are noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pgready.core.dsn import Dsn
from pgready.settings import catalogue
from pgready.settings.sources import Found, Variables, nearest

NAMES: Mapping[str, tuple[str, ...]] = {
    "host": ("DB_HOST", "POSTGRES_HOST", "POSTGRES_SERVER"),
    "port": ("DB_PORT", "POSTGRES_PORT"),
    "user": ("DB_USER", "DB_USERNAME", "POSTGRES_USER"),
    "password": ("DB_PASSWORD", "DB_PASS", "POSTGRES_PASSWORD"),
    "dbname": ("DB_NAME", "DB_DATABASE", "POSTGRES_DB", "POSTGRES_DATABASE"),
}
"""The names of each parameter, all of which mean the same."""

PASSWORD = "password"

_FILLING = ("POSTGRES_PASSWORD", "DB_PASSWORD", "DB_PASS")
_PLACES = tuple(parameter for parameter in NAMES if parameter != PASSWORD)
_ADDRESS = r"(POSTGRES|POSTGRESQL|PG|DB|DATABASE)_?(URL|URI|DSN)(_FILE)?"
_SCHEMES = ("postgres://", "postgresql://")


class Family:
    """Reads the family; collects problems and notices."""

    def __init__(self, variables: Variables, problems: list[str], notices: list[str]) -> None:
        self._variables = variables
        self._problems = problems
        self._notices = notices

    def places(self) -> dict[str, Found]:
        """What is set, by parameter, but for the password, which may be meant for any source."""
        return {parameter: found for parameter in _PLACES if (found := self.find(parameter))}

    def find(self, parameter: str) -> Found | None:
        """The one that counts of the names of *parameter*."""
        given = [
            found
            for name in NAMES[parameter]
            if (found := self._variables.get(name)) and _is_meant(name, found)
        ]
        chosen = nearest(iter(given))
        for found in given:
            if chosen is None or found.text == chosen.text:
                continue
            if found.rank == chosen.rank:
                self._problems.append(
                    f"{chosen.origin} and {found.origin} differ; set one of them,"
                    " or PGREADY_DATABASE_URL, which wins over both"
                )
            else:
                self._notices.append(f"{found.origin} is ignored: {chosen.origin} is set")
        return chosen

    def filling(self) -> Found | None:
        """The password for a source that has none. Files of those that come later are not asked for."""
        given = (
            found for name in _FILLING if (found := self._variables.get(name)) and _is_meant(name, found)
        )
        if chosen := nearest(given):
            others = (self._variables.plain(name) for name in _FILLING)
            self._notices += [
                f"{found.origin} is ignored: {chosen.origin} is set"
                for found in others
                if found and found.text != chosen.text
            ]
        return chosen

    def left_out(self, dsn: Dsn) -> Iterator[Found]:
        """What says something else than *dsn*. Files are not read for it: they may be meant for elsewhere."""
        same = {
            "host": {host for host, _ in dsn.hosts},
            "port": {str(port) for _, port in dsn.hosts},
            "user": {dsn.user},
            "dbname": {dsn.database},
        }
        for parameter, said in same.items():
            for name in NAMES[parameter]:
                found = self._variables.plain(name)
                if found and _is_meant(name, found) and found.text not in said:
                    yield found


def _is_meant(name: str, found: Found) -> bool:
    """A Service called `db` or `postgres` has Kubernetes set `DB_PORT=tcp://…`, which means nothing here."""
    return bool(found.text) and not catalogue.is_service_link(name, found.text)


def unread_addresses(variables: Variables) -> tuple[str, ...]:
    """Variables that hold an address of PostgreSQL, or are called so, under a name that is not read."""
    return tuple(
        name
        for name, value in variables.all.items()
        if not name.startswith(("PGREADY_", "MIGRATION_DATABASE_URL", "DATABASE_URL"))
        and (value.startswith(_SCHEMES) or re.fullmatch(_ADDRESS, name))
    )
