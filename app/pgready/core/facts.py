"""What is asked of the catalogue about a declaration, and what it answers.

The server itself compares access lists, so that a schema of ten thousand tables costs one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from pgready.core.bootstrap import GRANTABLE, GRANTABLE_BY_DEFAULT, Declared, Grant
from pgready.core.qualified import read_name


class Ask(Struct, frozen=True):
    """One thing that privileges are wanted on, and so one GRANT.

    *name* None with a *schema*: all objects of *kind* in it. *owner* is set for default privileges.
    """

    kind: str
    schema: str | None
    name: str | None
    privileges: tuple[str, ...]
    to: tuple[str, ...]
    owner: str | None = None

    @property
    def on(self) -> str:
        """What the privileges are wanted on, in words."""
        where = ".".join(part for part in (self.schema, self.name) if part is not None)
        return f"{self.kind.replace('_', ' ')} {where}".strip()


class Question(Struct, frozen=True):
    """Everything that one look at the catalogue asks; travels to the server as JSON.

    *target* is the database that is to be there, *target_user* the role of the target's URL.
    """

    target: str
    target_user: str | None
    roles: tuple[str, ...]
    schemas: tuple[str, ...]
    extensions: tuple[tuple[str, str | None], ...]
    grants: tuple[Ask, ...]
    defaults: tuple[Ask, ...]


class Held(Enum):
    """Whether what an Ask wants is there."""

    GRANTED = "granted"
    LACKING = "lacking"
    ABSENT = "absent"  # the thing itself does not exist


class RoleFact(Struct, frozen=True):
    login: bool
    inherit: bool
    createdb: bool
    createrole: bool
    replication: bool
    bypassrls: bool
    connection_limit: int
    member_of: tuple[str, ...] = ()


class DatabaseFact(Struct, frozen=True):
    """*locale_provider* is `libc`, `icu` or `builtin`; *icu_locale* is that of the last two."""

    owner: str
    encoding: str
    collate: str
    ctype: str
    connection_limit: int
    locale_provider: str = "libc"
    icu_locale: str | None = None


class ExtensionFact(Struct, frozen=True):
    """*reachable*: the versions to which it can be updated, looked up where another one is wanted."""

    version: str
    schema: str
    reachable: tuple[str, ...] = ()


class CatalogFacts(Struct, frozen=True):
    """The catalogue's answer to a Question, about what it asked for and nothing else.

    *available* maps the extensions that are not installed to the versions that could be. *passwords* are
    the stored verifiers (None: no password), where they may be read; *logins* tells for the others
    whether the declared password opened a connection, where that could be tried. *expired* are those
    whose VALID UNTIL has passed: to them the server says the same as to a wrong password.
    """

    server_version_num: int
    database: str
    user: str
    reads_passwords: bool
    target: str
    target_user: str | None = None
    target_fact: DatabaseFact | None = None
    roles: Mapping[str, RoleFact] = {}
    passwords: Mapping[str, str | None] = {}
    logins: Mapping[str, bool] = {}
    expired: frozenset[str] = frozenset()
    schemas: Mapping[str, str] = {}
    extensions: Mapping[str, ExtensionFact] = {}
    available: Mapping[str, tuple[str, ...]] = {}
    grants: tuple[Held, ...] = ()
    defaults: tuple[Held, ...] = ()

    @property
    def server_major(self) -> int:
        return self.server_version_num // 10_000


def question(declared: Declared, target: str, target_user: str | None) -> Question:
    """What to ask the catalogue about *declared*."""
    users = (target_user,) if target_user is not None else ()
    return Question(
        target=target,
        target_user=target_user,
        roles=tuple(dict.fromkeys([*(role.name for role in declared.roles), *users])),
        schemas=tuple(schema.name for schema in declared.schemas),
        extensions=tuple((extension.name, extension.version) for extension in declared.extensions),
        grants=asks(declared),
        defaults=default_asks(declared, target_user),
    )


def asks(declared: Declared) -> tuple[Ask, ...]:
    """The declared grants, one for each thing that they name."""
    return tuple(ask for grant in declared.grants for ask in _asks(grant))


def _asks(grant: Grant) -> list[Ask]:
    privileges = _expanded(grant.privileges, GRANTABLE[grant.kind])
    if grant.kind == "database":
        return [Ask("database", None, None, privileges, grant.to)]
    if grant.kind in ("table", "sequence"):
        names = [read_name(name) for name in grant.names]
        return [Ask(grant.kind, name.schema, name.name, privileges, grant.to) for name in names]
    return [Ask(grant.kind, schema, None, privileges, grant.to) for schema in grant.names]


def default_asks(declared: Declared, target_user: str | None) -> tuple[Ask, ...]:
    """The declared default privileges; those without an owner are *target_user*'s."""
    return tuple(
        Ask(
            default.on,
            default.schema,
            None,
            _expanded(default.privileges, GRANTABLE_BY_DEFAULT[default.on]),
            default.to,
            default.owner or target_user,
        )
        for default in declared.default_privileges
    )


def _expanded(privileges: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """ALL as what every supported server has: MAINTAIN came with 17 and is granted by name only."""
    if "ALL" not in privileges:
        return privileges
    return tuple(privilege for privilege in known if privilege != "MAINTAIN" or privilege in privileges)
