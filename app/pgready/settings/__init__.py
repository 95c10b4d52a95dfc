"""Settings: every source, one frozen value, all problems at once (docs/settings.md).

`load` is pure: the environment, the flags and the reader of files are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.bootstrap import KEYS, Declared, Role, read_declared, read_extensions
from pgready.core.dsn import Dsn
from pgready.core.errors import SettingsError
from pgready.core.planning import Policies, Policy
from pgready.core.secrets import Secret
from pgready.settings.catalogue import BY_NAME, CATALOGUE
from pgready.settings.connection import Connection, Connections
from pgready.settings.sources import (
    Files,
    Rank,
    ReadFile,
    Sources,
    Variables,
    read_settings_file,
    read_text_file,
)

__all__ = ["CATALOGUE", "Settings", "load", "read_text_file", "required_target"]

_NOTHING_CONFIGURED = (
    "set PGREADY_DATABASE_URL or DATABASE_URL, or PGHOST, PGUSER, PGPASSWORD, PGDATABASE, or DB_HOST,"
    " DB_USER, DB_PASSWORD, DB_NAME; or run on an embedded PostgreSQL: --embedded"
)

_Value = TypeVar("_Value")


class Settings(Struct, frozen=True):
    """What a run is told. Durations are seconds; a *statement_timeout_seconds* of 0 is none.

    *target* is None where no database is configured or the embedded PostgreSQL was chosen; *admin* is
    None where the target's own connection does. *embedded* is None for off, an empty text for the default
    data directory, else a directory. *origins* says of each setting, and of `target` and `admin`, where it
    came from. *notices* are for the log: what was defaulted, ignored or dropped. *unread_addresses* are
    variables that seem to hold the target's address under a name that is not read, where there is no target.
    """

    target: Dsn | None
    admin: Dsn | None
    dir: str
    dialect: str | None
    history_table: str | None
    namespace: str
    declared: Declared
    connect_timeout_seconds: float
    lock_timeout_seconds: float
    relation_lock_timeout_seconds: float
    statement_timeout_seconds: float
    pooler: str | None
    policies: Policies
    host: str
    port: int
    token_file: str | None
    show_sql: bool
    show_schema: bool
    poll_interval_seconds: float
    embedded: str | None
    log_format: str
    log_level: str
    environment: str | None
    metrics_file: str | None
    termination_log: str | None
    origins: Mapping[str, str]
    notices: tuple[str, ...] = ()
    unread_addresses: tuple[str, ...] = ()


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    read_file: ReadFile,
    isatty: bool = False,
) -> Settings:
    """Read all sources. *flags* are by setting name, None where not given; *isatty* is standard error's.

    Raises SettingsError with every problem, one a line.
    """
    loader = _Loader(flags, environ, read_file)
    settings = loader.settings(isatty)
    if loader.problems:
        raise SettingsError(tuple(dict.fromkeys(loader.problems)))
    return settings


def required_target(settings: Settings) -> Dsn:
    """The target's address; raises SettingsError that says which variables to set where there is none."""
    if settings.target is None:
        unread = settings.unread_addresses
        named = f"not read: {', '.join(unread)}; " if unread else ""
        raise SettingsError(("no database is configured",), hint=named + _NOTHING_CONFIGURED)
    return settings.target


class _Loader:
    def __init__(self, flags: Mapping[str, object], environ: Mapping[str, str], read_file: ReadFile) -> None:
        if unknown := flags.keys() - BY_NAME.keys():
            raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.origins: dict[str, str] = {}
        if flags.get("embedded") == "":  # `--embedded=`
            flags = {**flags, "embedded": True}
        files = Files(read_file, self.problems)
        variables = Variables(environ, files, self.problems)
        self._variables = variables
        self._file = read_settings_file(files, self.problems, self.notices)
        self._sources = Sources(flags, variables, self._file, self.problems)
        self._connections = Connections(self._sources, variables, files, self.problems, self.notices)

    def settings(self, isatty: bool) -> Settings:
        target, embedded = self._target()
        admin = self._connections.admin()
        declared = self._declared()
        self._sources.check_names(KEYS, {role.password_env for role in declared.roles if role.password_env})
        self.origins["admin"] = admin.origin if admin else "the target's"
        return Settings(
            target=target.dsn if target else None,
            admin=admin.dsn if admin else None,
            dir=self._value("dir", str),
            dialect=self._optional("dialect", str),
            history_table=self._optional("history_table", str),
            namespace=self._value("namespace", str),
            declared=declared,
            connect_timeout_seconds=self._value("connect_timeout", float),
            lock_timeout_seconds=self._value("lock_timeout", float),
            relation_lock_timeout_seconds=self._value("relation_lock_timeout", float),
            statement_timeout_seconds=self._value("statement_timeout", float),
            pooler=self._optional("pooler", str),
            policies=Policies(
                out_of_order=Policy(self._value("out_of_order", str)),
                ahead=Policy(self._value("ahead", str)),
                changed=Policy(self._value("changed", str)),
                cosmetic=Policy(self._value("cosmetic", str)),
                missing=Policy(self._value("missing", str)),
            ),
            host=self._value("host", str),
            port=self._value("port", int),
            token_file=self._optional("token_file", str),
            show_sql=self._value("show_sql", bool),
            show_schema=self._value("show_schema", bool),
            poll_interval_seconds=self._value("poll_interval", float),
            embedded=embedded,
            log_format=self._optional("log_format", str) or ("console" if isatty else "json"),
            log_level=self._value("log_level", str),
            environment=self._optional("env", str),
            metrics_file=self._optional("metrics_file", str),
            termination_log=self._optional("termination_log", str),
            origins=self.origins,
            notices=tuple(dict.fromkeys(self.notices)),
            unread_addresses=() if target or embedded is not None else self._connections.unread,
        )

    def _target(self) -> tuple[Connection | None, str | None]:
        """The target or the embedded PostgreSQL, whichever a nearer source asks for; never both."""
        embedded = self._optional("embedded", str)
        chosen = self._sources.find(BY_NAME["embedded"])
        before = len(self.problems), len(self.notices)
        connection = self._connections.target()
        self.origins["target"] = connection.origin if connection else self._not_configured()
        if embedded is None or chosen is None:
            return connection, embedded
        if chosen.rank < (connection.rank if connection else Rank.ENVIRONMENT):
            # What is wrong with a connection that nobody uses is no problem.
            del self.problems[before[0] :], self.notices[before[1] :]
        if connection is None:
            return None, embedded
        if chosen.rank == connection.rank:
            self.problems.append(f"{chosen.origin} and {connection.source} are both set; set one of them")
        elif chosen.rank < connection.rank:
            self.notices.append(f"{connection.source} is ignored: {chosen.origin} asks for an embedded one")
            self.origins["target"] = "the embedded PostgreSQL"
            return None, embedded
        self.notices.append(f"{chosen.origin} is ignored: {connection.source} configures a database")
        return connection, None

    def _not_configured(self) -> str:
        unread = self._connections.unread
        return f"not configured (not read: {', '.join(unread)})" if unread else "not configured"

    def _declared(self) -> Declared:
        """What the file declares; extensions of a nearer source take the place of the file's."""
        keys = [key for key in KEYS if key in self._file.table]
        self.origins["extensions"] = "default"
        self.origins.update({key: f"{self._file.name}: {key}" for key in keys})
        declared = Declared()
        try:
            declared = read_declared({key: self._file.table[key] for key in keys})
        except ValueError as error:
            self.problems += [f"{self._file.name}: {problem}" for problem in str(error).splitlines()]
        declared = replace(declared, roles=tuple(map(self._with_password, declared.roles)))
        setting = BY_NAME["extensions"]
        found = self._sources.flag(setting) or self._sources.variable(setting)
        if found is None:
            return declared
        self.origins["extensions"] = found.origin
        try:
            return replace(declared, extensions=read_extensions(found.text))
        except ValueError as error:
            self.problems += [f"{found.origin}: {problem}" for problem in str(error).splitlines()]
        return declared

    def _with_password(self, role: Role) -> Role:
        """*role* with its password where that is in `.env`; the environment itself is read for each run."""
        value = self._variables.dotenv(role.password_env) if role.password_env else None
        return replace(role, password=Secret(value)) if value else role

    def _value(self, name: str, kind: type[_Value]) -> _Value:
        """The setting's value; its default stands in for one that is a problem."""
        value = self._read(name)
        assert isinstance(value, kind)
        return value

    def _optional(self, name: str, kind: type[_Value]) -> _Value | None:
        return None if self._read(name) is None else self._value(name, kind)

    def _read(self, name: str) -> object:
        setting = BY_NAME[name]
        found = self._sources.find(setting)
        self.origins[name] = found.origin if found else "default"
        if found is not None:
            try:
                return setting.read(found.text)
            except ValueError as problem:
                self.problems.append(f"{found.origin} {problem}")
        return None if setting.default is None else setting.read(setting.default)
