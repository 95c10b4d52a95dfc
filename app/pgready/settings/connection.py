"""Which source supplies the connection, and what it says. The rules:

1. The nearest source supplies the whole connection: `PGREADY_DATABASE_URL` or `MIGRATION_DATABASE_URL`,
   `DATABASE_URL`, libpq's `PG*`, the family of `DB_*` and `POSTGRES_*`, `database_url` of the file. Of
   the three URLs a real variable wins over `.env`. `PG*` and `DB_*` are in many a shell for something
   else: a URL in `.env` wins over them, and says so.
2. Only a missing password is filled from elsewhere: `PGPASSWORD`, the family's, the password file.
3. `PGHOST`, `PGHOSTADDR`, `PGDATABASE` or `PGSERVICE` make `PG*` a source: a mere `PGUSER` or `PGPASSWORD`
   is often set for something else. Likewise a lone `POSTGRES_PASSWORD` is one only where nothing else is.
4. `postgres` as default user and password belongs to the family alone, and is announced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import conninfo, dsn
from pgready.core import dsn_parameters as known
from pgready.core.conninfo import Conninfo, DsnError
from pgready.core.dsn import Dsn
from pgready.core.secrets import Secret
from pgready.settings import libpq_files
from pgready.settings.catalogue import BY_NAME
from pgready.settings.family import PASSWORD, Family, unread_addresses
from pgready.settings.sources import Files, Found, Rank, Sources, Variables, nearest

_OWN_URLS = ("PGREADY_DATABASE_URL", "MIGRATION_DATABASE_URL")
_PG_SOURCES = ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE")
_PG_IGNORED = (
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLCERTMODE",
    "PGSSLNEGOTIATION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGOPTIONS",
    "PGTARGETSESSIONATTRS",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGGSSENCMODE",
)
_DEFAULT_PASSWORD = "postgres"


class Connection(Struct, frozen=True):
    """A target and where it came from; *rank* tells how near that source is, *of_family* its kind.

    *dsn* is None where the source has one that cannot be used, which is a problem.
    """

    dsn: Dsn | None
    source: str
    rank: Rank
    password_from: str | None = None
    of_family: bool = False

    @property
    def origin(self) -> str:
        """The source, and the password's where it is another."""
        return f"{self.source}; password from {self.password_from}" if self.password_from else self.source


class Connections:
    """Finds the target and the admin connection; collects problems and notices."""

    def __init__(
        self,
        sources: Sources,
        variables: Variables,
        files: Files,
        problems: list[str],
        notices: list[str],
    ) -> None:
        self._sources = sources
        self._variables = variables
        self._files = files
        self._problems = problems
        self._notices = notices
        self._family = Family(variables, problems, notices)

    def target(self) -> Connection | None:
        connection = self._nearest()
        if connection and connection.dsn:
            self._tell_left_out(connection, connection.dsn)
        return connection

    @property
    def unread(self) -> tuple[str, ...]:
        """Variables that look like an address of the target, and are none of those that are read."""
        return unread_addresses(self._variables)

    def _tell_left_out(self, connection: Connection, target: Dsn) -> None:
        """Note what else would have been a source. One that is pgready's own was chosen over them."""
        left_out: list[Found] = []
        if connection.rank is Rank.DOTENV:
            given = (self._variables.get(name) for name in _PG_SOURCES)
            left_out += (found for found in given if found and found.rank is Rank.ENVIRONMENT)
        own = connection.rank is Rank.FLAG or connection.source.startswith(_OWN_URLS)
        if not own and not connection.of_family:
            left_out += self._family.left_out(target)
        source = connection.source.partition(", ")[0]
        self._notices += [f"{found.origin} is ignored: {source} is set" for found in left_out]

    def _nearest(self) -> Connection | None:
        setting = BY_NAME["database_url"]
        if found := self._sources.flag(setting) or self._url_variable():
            return self._from_url(found)
        if any(self._variables.get(name) for name in _PG_SOURCES):
            return self._from_libpq()
        if places := self._family.places():
            return self._from_family(places)
        if found := self._sources.in_file(setting):
            return self._from_url(found)
        return self._from_family({}) if self._variables.get("POSTGRES_PASSWORD") else None

    def admin(self) -> Connection | None:
        found = self._sources.find(BY_NAME["admin_database_url"])
        return self._from_url(found, defaults={"dbname": "postgres"}) if found else None

    def _url_variable(self) -> Found | None:
        own = [found for name in _OWN_URLS if (found := self._variables.get(name))]
        chosen = nearest(chain(own, self._shared_url()))
        for found in own:
            if chosen and found.text != chosen.text:
                self._notices.append(f"{found.origin} is ignored: {chosen.origin} is set")
        return chosen

    def _shared_url(self) -> Iterator[Found]:
        """That of the application, looked at only where it matters: its file may be elsewhere."""
        if (found := self._variables.get("DATABASE_URL")) and found.text:
            yield found

    def _from_url(self, found: Found, defaults: Mapping[str, str] | None = None) -> Connection:
        if found.rank < Rank.FILE:
            self._tell_ignored(found)
        try:
            written = conninfo.split(found.text)
        except DsnError as error:
            self._problems += [f"{found.origin}: {problem}" for problem in error.problems]
            return Connection(None, found.origin, found.rank)
        return self._connect(found.origin, found.rank, written, defaults or {})

    def _tell_ignored(self, source: Found) -> None:
        """Note what of libpq's variables would have changed how *source* connects: TLS above all."""
        self._notices += [
            f"{name} is ignored: {source.origin} supplies the whole connection"
            for name in _PG_IGNORED
            if self._variables.get(name)
        ]

    def _from_libpq(self) -> Connection:
        meant = {**known.VARIABLES, "PGSERVICE": "service", "PGSERVICEFILE": "servicefile"}
        # Those that make it a source come first: the first one is named where another is left out for it.
        given = {
            meant[variable]: found
            for variable in dict.fromkeys((*_PG_SOURCES, *meant))
            if (found := self._variables.get(variable))
        }
        parameters = {parameter: found.text for parameter, found in given.items()}
        origin = ", ".join(found.origin for found in given.values())
        rank = min(found.rank for found in given.values())
        # A service wins over the variables, as in libpq.
        return self._connect(origin, rank, Conninfo({}), parameters)

    def _from_family(self, given: Mapping[str, Found]) -> Connection:
        password = self._family.find(PASSWORD)
        parameters = {parameter: found.text for parameter, found in given.items()}
        parameters.setdefault("host", "localhost")
        parameters.setdefault("user", dsn.DEFAULT_USER)
        if password:
            parameters["password"] = password.text
        sources = [*given.values(), *([password] if password else [])]
        origin, rank = ", ".join(found.origin for found in sources), min(found.rank for found in sources)
        self._tell_ignored(sources[0])
        if "host" not in given:
            self._notices += [f"{name} is not read: {sources[0].origin} is set" for name in self.unread]
        connection = self._connect(origin, rank, Conninfo(parameters), {})
        if connection.dsn is None or connection.dsn.has_password:
            return replace(connection, of_family=True)
        self._notices.append("no password is configured: the default `postgres` is used")
        target = connection.dsn.with_password(Secret(_DEFAULT_PASSWORD))
        return Connection(target, origin, rank, "the default", of_family=True)

    def _connect(self, origin: str, rank: Rank, written: Conninfo, defaults: Mapping[str, str]) -> Connection:
        """Resolve what names files, make the Dsn, fill a missing password."""
        parameters = self._with_service({**defaults, **written.parameters}, written, origin)
        passfile = parameters.pop("passfile", None)
        if not (parameters.get("user") or parameters.get("username")):
            parameters["user"] = self._user(origin)
        try:
            target = dsn.build(Conninfo(parameters, written.hidden, written.of_address))
        except DsnError as error:
            self._problems += [f"{origin}: {problem}" for problem in error.problems]
            return Connection(None, origin, rank)
        self._notices += [f"{origin}: {note}" for note in target.notes]
        if target.password is None and (filled := self._with_password(target, passfile)):
            target, password_origin = filled
            return Connection(target, origin, rank, password_origin)
        return Connection(target, origin, rank)

    def _with_service(self, merged: dict[str, str], written: Conninfo, origin: str) -> dict[str, str]:
        name, path = merged.pop("service", None), merged.pop("servicefile", None)
        if name is None:
            return merged
        for place in self._service_files(path):
            text = self._files.read(place)
            if text is not None and (found := libpq_files.service(text, name)) is not None:
                own = {key: value for key, value in written.parameters.items() if key in merged}
                return {**merged, **found, **own}
        self._problems.append(f"{origin}: the service is not defined in any service file")
        return merged

    def _service_files(self, path: str | None) -> list[str]:
        if path:
            return [path]
        if named := self._variables.get("PGSERVICEFILE"):
            return [named.text]
        places = (("HOME", ".pg_service.conf"), ("PGSYSCONFDIR", "pg_service.conf"))
        return [
            f"{directory.text}/{name}"
            for variable, name in places
            if (directory := self._variables.get(variable))
        ]

    def _user(self, origin: str) -> str:
        """libpq asks the system for the user's name; a container's user often has none (FIELD-NOTES 8)."""
        found = self._variables.get("USER") or self._variables.get("LOGNAME")
        user = found.text if found else dsn.DEFAULT_USER
        why = f"that of {found.origin}" if found else "the default"
        self._notices.append(f"{origin}: no user is named, so {why} is used: {user}")
        return user

    def _with_password(self, target: Dsn, passfile: str | None) -> tuple[Dsn, str] | None:
        own = self._variables.get("PGPASSWORD")
        found = own if own and own.text else self._family.filling()
        if found:
            return target.with_password(Secret(found.text)), found.origin
        home = self._variables.get("HOME")
        named = self._variables.get("PGPASSFILE")
        path = passfile or (named and named.text) or (f"{home.text}/.pgpass" if home else None)
        passwords = libpq_files.passwords(self._files.read(path) or "", target) if path else ()
        if not any(passwords):
            return None
        return target.with_passwords(
            tuple(Secret(each) if each else None for each in passwords)
        ), "the password file"
