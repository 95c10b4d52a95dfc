"""What a target must have before its migrations run, as declared: database, roles, schemas, extensions,
grants. `core.reconcile` compares it with the catalogue; docs/bootstrap.md documents every key.

What is not said (None) is left to the server when the thing is created, and never compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pgready.core import fields
from pgready.core.fields import Fields
from pgready.core.qualified import read_name
from pgready.core.secrets import Secret
from pgready.core.suggestions import suggest

PUBLIC = "public"
"""As a grantee: every role."""

_TABLE = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
_SEQUENCE = ("USAGE", "SELECT", "UPDATE")

GRANTABLE: Mapping[str, tuple[str, ...]] = {
    "database": ("CREATE", "CONNECT", "TEMPORARY"),
    "schema": ("USAGE", "CREATE"),
    "table": _TABLE,
    "sequence": _SEQUENCE,
    "all_tables": _TABLE,
    "all_sequences": _SEQUENCE,
    "all_functions": ("EXECUTE",),
}
"""What `[[grant]] on` may name, with the privileges that exist on it."""

GRANTABLE_BY_DEFAULT: Mapping[str, tuple[str, ...]] = {
    "tables": _TABLE,
    "sequences": _SEQUENCE,
    "functions": ("EXECUTE",),
    "types": ("USAGE",),
    "schemas": ("USAGE", "CREATE"),
}
"""What `[[default_privileges]] on` may be, with the privileges that exist on it."""


class DatabaseSpec(Struct, frozen=True):
    """The target database. *owner* None: the role of the target's URL."""

    owner: str | None = None
    encoding: str | None = None
    locale: str | None = None
    locale_provider: str | None = None
    icu_locale: str | None = None
    template: str | None = None
    connection_limit: int | None = None


class Role(Struct, frozen=True):
    """One role. *password_file* and *password_env* say where its password is; `with_passwords` reads it.

    *password* before that is `.env`'s, for a variable that the environment lacks. *login* None: yes where a
    password is declared.
    """

    name: str
    login: bool | None = None
    password_file: str | None = None
    password_env: str | None = None
    password: Secret | None = None
    connection_limit: int | None = None
    inherit: bool | None = None
    createdb: bool | None = None
    createrole: bool | None = None
    replication: bool | None = None
    bypassrls: bool | None = None
    member_of: tuple[str, ...] = ()

    @property
    def has_password(self) -> bool:
        return any((self.password, self.password_file, self.password_env))


class Schema(Struct, frozen=True):
    """One schema. *owner* None: the role of the target's URL."""

    name: str
    owner: str | None = None


class Extension(Struct, frozen=True):
    """One extension. An *optional* one that the server does not have is reported and passed over."""

    name: str
    version: str | None = None
    optional: bool = False
    schema: str | None = None


class Grant(Struct, frozen=True):
    """*privileges* (`ALL` is one) on each of *names*, which are of *kind* (a key of GRANTABLE), to roles.

    Tables and sequences are written as `core.qualified` reads them; the `all_…` kinds name schemas;
    *database* is the target and has no names.
    """

    privileges: tuple[str, ...]
    kind: str
    names: tuple[str, ...]
    to: tuple[str, ...]


class DefaultPrivileges(Struct, frozen=True):
    """*privileges* on whatever *owner* (None: the role of the target's URL) creates later, in *schema*
    or anywhere."""

    privileges: tuple[str, ...]
    on: str
    to: tuple[str, ...]
    owner: str | None = None
    schema: str | None = None


class Declared(Struct, frozen=True):
    """Everything that is declared."""

    database: DatabaseSpec | None = None
    roles: tuple[Role, ...] = ()
    schemas: tuple[Schema, ...] = ()
    extensions: tuple[Extension, ...] = ()
    grants: tuple[Grant, ...] = ()
    default_privileges: tuple[DefaultPrivileges, ...] = ()

    def __bool__(self) -> bool:
        return self != Declared()

    @property
    def of_cluster(self) -> Declared:
        """The part that belongs to the whole server."""
        return Declared(database=self.database, roles=self.roles)

    @property
    def of_target(self) -> Declared:
        """The part that lives in the target database."""
        return replace(self, database=None, roles=())


# Reading.

KEYS = ("database", "role", "schema", "extension", "extensions", "grant", "default_privileges")
"""The keys of the settings file that `read_declared` understands."""

_EXTENSION = r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_-]*)(?P<early>\?)?(?:=(?P<version>[\w.+~-]+))?(?P<late>\?)?"

_SECRET = r"(?i)://|passw"
"""In one word: then none is shown, since a comma in a password parts it into several."""


def read_extensions(text: str) -> tuple[Extension, ...]:
    """Read `vector,uuid-ossp?,pg_trgm=1.6`: `?` is optional, `=` asks for a version.

    Raises ValueError, one problem a line.
    """
    problems: list[str] = []
    read = _extensions(_words(text), problems)
    _refuse_twins("extension", read, problems)
    _raise(problems)
    return tuple(read)


def read_declared(mapping: Mapping[str, object]) -> Declared:
    """Read the tables that KEYS names, as TOML gives them. Raises ValueError, one problem a line."""
    problems = [f"unknown key {key}{suggest(key, KEYS)}" for key in mapping if key not in KEYS]

    def tables(key: str, make: Callable[..., Any], checks: Fields, *needed: str) -> list[Any]:
        return fields.read_tables(key, make, checks, needed, mapping.get(key, []), problems)

    spec = None
    if "database" in mapping:
        spec = fields.read_table("database", DatabaseSpec, _DATABASE, (), mapping["database"], problems)
    roles = tables("role", _role, _ROLE, "name")
    schemas = tables("schema", Schema, _SCHEMA, "name")
    extensions = tables("extension", Extension, _EXTENSION_KEYS, "name")
    extensions += _extensions(_words(mapping.get("extensions", [])), problems)
    grants = tables("grant", _grant, _GRANT, "privileges", "on", "to")
    defaults = tables("default_privileges", _defaults, _DEFAULTS, "privileges", "on", "to")
    for what, things in (("role", roles), ("schema", schemas), ("extension", extensions)):
        _refuse_twins(what, things, problems)
    _raise(problems)
    return Declared(spec, *map(tuple, (roles, schemas, extensions, grants, defaults)))


def with_passwords(
    declared: Declared, read_file: Callable[[str], str], environ: Mapping[str, str]
) -> Declared:
    """*declared* with each role's password read; a byte order mark and one newline at the end are dropped.

    *read_file* gets `password_file` as it is written (relative to the settings file) and may raise
    OSError or UnicodeDecodeError. Raises ValueError, one problem a line, none of them holding a password.
    """
    problems: list[str] = []
    roles = tuple(_with_password(role, read_file, environ, problems) for role in declared.roles)
    _raise(problems)
    return replace(declared, roles=roles)


def _with_password(
    role: Role, read_file: Callable[[str], str], environ: Mapping[str, str], problems: list[str]
) -> Role:
    try:
        if role.password_file is not None:
            password = _password_of_file(role.password_file, read_file)
        elif role.password_env is not None:
            password = environ.get(role.password_env, "")
            if not password and role.password is not None:
                password = role.password.reveal()
            if not password:
                raise ValueError(f"password_env {role.password_env} is not set")
        else:
            return role
        if "\0" in password:
            raise ValueError("its password holds a NUL character")
    except ValueError as problem:
        problems.append(f"role {role.name}: {problem}")
        return role
    return replace(role, password=Secret(password))


def _password_of_file(path: str, read_file: Callable[[str], str]) -> str:
    try:
        password = read_file(path).removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # Its message shows bytes of the file, so nothing of it may travel on.
        raise ValueError(f"password_file {path} is not UTF-8") from None
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise ValueError(f"password_file {path}: {reason}") from problem
    if not password:
        raise ValueError(f"password_file {path} is empty")
    return password


def _raise(problems: list[str]) -> None:
    if problems:
        raise ValueError("\n".join(problems))


def _refuse_twins(what: str, things: Iterable[Any], problems: list[str]) -> None:
    names = [thing.name for thing in things]
    problems += [f"{what} {name} is declared twice" for name in dict.fromkeys(names) if names.count(name) > 1]


def _extensions(values: Iterable[object], problems: list[str]) -> list[Extension]:
    read = []
    words = list(values)
    hidden = any(re.search(_SECRET, repr(word)) for word in words)
    for value in words:
        parts = re.fullmatch(_EXTENSION, value) if isinstance(value, str) else None
        if parts is not None:
            optional = bool(parts["early"] or parts["late"])
            read.append(Extension(parts["name"], parts["version"], optional))
        else:
            shown = "what looks like an address or a password (not shown)" if hidden else repr(value)
            problems.append(f"extensions: cannot read {shown}; write name, name? or name=version")
    return read


def _words(value: object) -> list[object]:
    """A list as it is; a text split at commas and white space."""
    if isinstance(value, str):
        return [word for word in re.split(r"[,\s]+", value) if word]
    return list(value) if isinstance(value, list | tuple) else [value]


def _no_password(_value: object) -> None:
    raise ValueError("does not belong in this file: use password_file or password_env")


def _member_of(value: object) -> tuple[str, ...]:
    return () if value == [] else fields.names(value)


def _on(value: object) -> tuple[str, tuple[str, ...]]:
    if value == "database":
        return "database", ()
    if not isinstance(value, Mapping) or len(value) != 1 or "database" in value:
        raise ValueError('must be "database" or one of { schema = … }, { table = … }, { all_tables = … }, …')
    ((kind, names),) = value.items()
    if kind not in GRANTABLE:
        raise ValueError(f"unknown kind {kind}{suggest(kind, GRANTABLE)}")
    return kind, _qualified(names) if kind in ("table", "sequence") else fields.names(names)


def _qualified(value: object) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(fields.text(each) for each in fields.several(value)))
    for name in names:
        read_name(name)
    return names


def _privileges(value: object) -> tuple[str, ...]:
    words = [fields.text(word).upper() for word in _words(value)]
    if not words:
        raise ValueError("must name at least one")
    return tuple(dict.fromkeys("TEMPORARY" if word == "TEMP" else word for word in words))


def _role(**values: Any) -> Role:
    role = Role(**values)
    problems = []
    if role.password_file is not None and role.password_env is not None:
        problems.append("both password_file and password_env are set")
    if role.name in role.member_of:
        problems.append("cannot be a member of itself")
    if role.name == PUBLIC or role.name.startswith("pg_"):
        problems.append("the server keeps this name for itself")
    _raise(problems)
    return role


def _grant(privileges: tuple[str, ...], on: tuple[str, tuple[str, ...]], to: tuple[str, ...]) -> Grant:
    kind, names = on
    _raise(_unknown_privileges(privileges, kind, GRANTABLE[kind]))
    return Grant(privileges, kind, names, to)


def _defaults(privileges: tuple[str, ...], on: str, to: tuple[str, ...], **more: str) -> DefaultPrivileges:
    if on not in GRANTABLE_BY_DEFAULT:
        raise ValueError(f"on: unknown kind {on}{suggest(on, GRANTABLE_BY_DEFAULT)}")
    problems = _unknown_privileges(privileges, on, GRANTABLE_BY_DEFAULT[on])
    if on == "schemas" and "schema" in more:
        problems.append("default privileges on schemas cannot be limited to one schema")
    _raise(problems)
    return DefaultPrivileges(privileges, on, to, **more)


def _unknown_privileges(privileges: tuple[str, ...], kind: str, known: tuple[str, ...]) -> list[str]:
    choices = (*known, "ALL")
    unknown = [word for word in privileges if word not in choices]
    return [f"unknown privilege {word} on {kind}{suggest(word, choices)}" for word in unknown]


_DATABASE: Fields = {
    "owner": fields.name,
    "encoding": fields.text,
    "locale": fields.text,
    "locale_provider": fields.text,
    "icu_locale": fields.text,
    "template": fields.name,
    "connection_limit": fields.connection_limit,
}
_ROLE: Fields = {
    "name": fields.name,
    "login": fields.boolean,
    "password": _no_password,
    "password_file": fields.text,
    "password_env": fields.text,
    "connection_limit": fields.connection_limit,
    "inherit": fields.boolean,
    "createdb": fields.boolean,
    "createrole": fields.boolean,
    "replication": fields.boolean,
    "bypassrls": fields.boolean,
    "member_of": _member_of,
}
_SCHEMA: Fields = {"name": fields.name, "owner": fields.name}
_EXTENSION_KEYS: Fields = {
    "name": fields.name,
    "version": fields.text,
    "optional": fields.boolean,
    "schema": fields.name,
}
_GRANT: Fields = {"privileges": _privileges, "on": _on, "to": fields.names}
_DEFAULTS: Fields = {
    "privileges": _privileges,
    "on": fields.text,
    "to": fields.names,
    "owner": fields.name,
    "schema": fields.name,
}
