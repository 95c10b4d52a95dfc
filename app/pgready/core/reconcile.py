"""Declaration and catalogue → what is missing (and so created) and what differs (and so reported).

The rules that this module keeps:

1. Only what is missing is created. What exists and differs is drift: told, and left alone.
2. Two exceptions, both asked for in so many words: a password that no longer fits is set anew (rotation),
   and an extension is updated to the version that is asked for.
3. A password travels as a SCRAM verifier. It is set only where the stored one does not fit.
4. An unsaid attribute is neither set nor compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from pgready.core import scram
from pgready.core.bootstrap import PUBLIC, DatabaseSpec, Declared, Extension, Role
from pgready.core.extensions import cure, is_available, why_not
from pgready.core.facts import Ask, CatalogFacts, Held, asks, default_asks
from pgready.core.model import TableName
from pgready.core.needs import Drift
from pgready.core.quoting import Name, Sql, fill, fragment, identifier

_OF_CLUSTER = frozenset({"role", "membership", "database"})


class Step(Struct, frozen=True):
    """One statement that makes something of the declaration true.

    *what*, *name* and *action* say what it did, once it has. An *optional* one may fail.
    """

    what: str
    name: str
    action: str
    sql: str
    optional: bool = False

    @property
    def of_cluster(self) -> bool:
        """Whether it belongs to the whole server rather than to the target database."""
        return self.what in _OF_CLUSTER

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it apart from other steps; the SQL does not, a verifier's salt is new each time."""
        return self.what, self.name, self.action


def missing(declared: Declared, facts: CatalogFacts, new_salt: Callable[[], bytes]) -> tuple[Step, ...]:
    """What must run, in this order, so that all that is *declared* exists."""
    return (
        *_roles(declared, facts, new_salt),
        *_memberships(declared, facts),
        *_database(declared, facts),
        *_schemas(declared, facts),
        *_extensions(declared, facts),
        *_grants(declared, facts),
        *_default_privileges(declared, facts),
    )


_ATTRIBUTES = ("inherit", "createdb", "createrole", "replication", "bypassrls")


def _roles(declared: Declared, facts: CatalogFacts, new_salt: Callable[[], bytes]) -> Iterator[Step]:
    for role in declared.roles:
        if role.name not in facts.roles:
            sql = fill("CREATE ROLE :role :options", role=Name(role.name), options=_options(role, new_salt))
            yield Step("role", role.name, "created", sql.rstrip())
        elif role.password is not None and _password_fits(role, facts) is False:
            verifier = scram.verifier(role.password.reveal(), new_salt())
            sql = fill("ALTER ROLE :role PASSWORD :verifier", role=Name(role.name), verifier=verifier)
            yield Step("role", role.name, "password changed", sql)


def _options(role: Role, new_salt: Callable[[], bytes]) -> Sql:
    words = ["LOGIN" if _may_log_in(role) else "NOLOGIN"]
    for attribute in _ATTRIBUTES:
        wanted = getattr(role, attribute)
        if wanted is not None:
            words.append(attribute.upper() if wanted else f"NO{attribute.upper()}")
    if role.connection_limit is not None:
        words.append(fragment("CONNECTION LIMIT :limit", limit=role.connection_limit))
    if role.password is not None:
        words.append(
            fragment("PASSWORD :verifier", verifier=scram.verifier(role.password.reveal(), new_salt()))
        )
    return Sql(" ".join(words))


def _may_log_in(role: Role) -> bool:
    return role.has_password if role.login is None else role.login


def _password_fits(role: Role, facts: CatalogFacts) -> bool | None:
    """Whether the declared password is the role's; None where nobody can tell."""
    if role.password is None:
        return None
    if not facts.reads_passwords:
        return facts.logins.get(role.name)
    stored = facts.passwords.get(role.name)
    return stored is not None and scram.matches(stored, role.password.reveal(), role.name)


def uncompared_passwords(declared: Declared, facts: CatalogFacts) -> tuple[Role, ...]:
    """The existing roles whose declared password *facts* cannot judge."""
    return tuple(
        role
        for role in declared.roles
        if role.name in facts.roles and role.password is not None and _password_fits(role, facts) is None
    )


def _memberships(declared: Declared, facts: CatalogFacts) -> Iterator[Step]:
    for role in declared.roles:
        known = facts.roles.get(role.name)
        for group in role.member_of:
            if known is None or group not in known.member_of:
                sql = fill("GRANT :group TO :role", group=Name(group), role=Name(role.name))
                yield Step("membership", f"{role.name} in {group}", "granted", sql)


def _database(declared: Declared, facts: CatalogFacts) -> Iterator[Step]:
    if facts.target_fact is None:
        spec = declared.database or DatabaseSpec()
        sql = fill(
            "CREATE DATABASE :name :options",
            name=Name(facts.target),
            options=_created_as(spec, declared, facts),
        )
        yield Step("database", facts.target, "created", sql.rstrip())


def _created_as(spec: DatabaseSpec, declared: Declared, facts: CatalogFacts) -> Sql:
    template = spec.template
    if template is None and (_says_locale(spec) or facts.database == "template1"):
        # Another encoding or locale needs template0; so does a server where every replica waits for its
        # turn in template1, which cannot be copied while others are connected to it.
        template = "template0"
    owner = spec.owner or _owner_of_new_database(declared, facts)
    words = [
        fragment("OWNER :owner", owner=Name(owner)) if owner else "",
        fragment("TEMPLATE :source", source=Name(template)) if template else "",
        fragment("ENCODING :encoding", encoding=spec.encoding) if spec.encoding else "",
        fragment("LOCALE :locale", locale=spec.locale) if spec.locale else "",
        fragment("LOCALE_PROVIDER :provider", provider=Name(spec.locale_provider))
        if spec.locale_provider
        else "",
        fragment("ICU_LOCALE :locale", locale=spec.icu_locale) if spec.icu_locale else "",
        ""
        if spec.connection_limit is None
        else fragment("CONNECTION LIMIT :limit", limit=spec.connection_limit),
    ]
    return Sql(" ".join(word for word in words if word))


def _says_locale(spec: DatabaseSpec) -> bool:
    return any((spec.encoding, spec.locale, spec.locale_provider, spec.icu_locale))


def _owner_of_new_database(declared: Declared, facts: CatalogFacts) -> str | None:
    """The role that will connect to it, so that it may create schemas there."""
    known = facts.roles.keys() | {role.name for role in declared.roles}
    user = facts.target_user
    return user if user in known and user != facts.user else None


def _schemas(declared: Declared, facts: CatalogFacts) -> Iterator[Step]:
    for schema in declared.schemas:
        if schema.name not in facts.schemas:
            owner = schema.owner or facts.target_user or facts.user
            sql = fill(
                "CREATE SCHEMA :schema AUTHORIZATION :owner", schema=Name(schema.name), owner=Name(owner)
            )
            yield Step("schema", schema.name, "created", sql)


def _extensions(declared: Declared, facts: CatalogFacts) -> Iterator[Step]:
    for extension in declared.extensions:
        installed = facts.extensions.get(extension.name)
        name = Name(extension.name)
        if installed is None:
            if is_available(extension, facts) or not extension.optional:
                sql = fill("CREATE EXTENSION :name :options", name=name, options=_installed_as(extension))
                yield Step("extension", extension.name, "created", sql, extension.optional)
        elif extension.version in installed.reachable and extension.version != installed.version:
            assert extension.version is not None
            sql = fill("ALTER EXTENSION :name UPDATE TO :version", name=name, version=Name(extension.version))
            action = f"updated to {extension.version}"
            yield Step("extension", extension.name, action, sql, extension.optional)


def _installed_as(extension: Extension) -> Sql:
    words: list[str] = []
    if extension.schema is not None:
        words.append(fragment("SCHEMA :schema", schema=Name(extension.schema)))
    if extension.version is not None:
        words.append(fragment("VERSION :version", version=Name(extension.version)))
    words.append("CASCADE")  # with the extensions that it needs
    return Sql(" ".join(words))


_GRANT_ON = {
    "database": "DATABASE :database",
    "schema": "SCHEMA :schema",
    "table": "TABLE :qualified",
    "sequence": "SEQUENCE :qualified",
    "all_tables": "ALL TABLES IN SCHEMA :schema",
    "all_sequences": "ALL SEQUENCES IN SCHEMA :schema",
    "all_functions": "ALL ROUTINES IN SCHEMA :schema",
}


def _grants(declared: Declared, facts: CatalogFacts) -> Iterator[Step]:
    for ask, held in zip(asks(declared), facts.grants, strict=False):
        if held is Held.LACKING or (held is Held.ABSENT and _will_be_created(ask, declared)):
            sql = fill(
                "GRANT :privileges ON :on TO :roles",
                privileges=Sql(", ".join(ask.privileges)),
                on=_granted_on(ask, facts),
                roles=_grantees(ask),
            )
            yield Step("grant", _grant_name(ask), "granted", sql)


def _granted_on(ask: Ask, facts: CatalogFacts) -> Sql:
    return fragment(
        _GRANT_ON[ask.kind],
        database=Name(facts.database),
        schema=Name(ask.schema or ""),
        qualified=TableName(ask.schema or "", ask.name or ""),
    )


def _will_be_created(ask: Ask, declared: Declared) -> bool:
    of_schema = ask.kind == "schema" or ask.owner is not None
    return of_schema and any(schema.name == ask.schema for schema in declared.schemas)


def _grantees(ask: Ask) -> Sql:
    return Sql(", ".join("PUBLIC" if name == PUBLIC else identifier(name) for name in ask.to))


def _grant_name(ask: Ask) -> str:
    return f"{', '.join(ask.privileges)} on {ask.on} to {', '.join(ask.to)}"


def _default_name(ask: Ask) -> str:
    where = f" in {ask.schema}" if ask.schema is not None else ""
    return f"{', '.join(ask.privileges)} on {ask.kind} of {ask.owner}{where} to {', '.join(ask.to)}"


def _default_privileges(declared: Declared, facts: CatalogFacts) -> Iterator[Step]:
    wanted = default_asks(declared, facts.target_user)
    for ask, held in zip(wanted, facts.defaults, strict=False):
        if held is Held.LACKING or (held is Held.ABSENT and _will_be_created(ask, declared)):
            sql = fill(
                "ALTER DEFAULT PRIVILEGES FOR ROLE :creator GRANT :privileges ON :on TO :roles",
                creator=_creator(ask, facts),
                privileges=Sql(", ".join(ask.privileges)),
                on=Sql(ask.kind.upper()),
                roles=_grantees(ask),
            )
            yield Step("default privileges", _default_name(ask), "granted", sql)


def _creator(ask: Ask, facts: CatalogFacts) -> Sql:
    owner = Name(ask.owner or facts.user)
    if ask.schema is None:
        return fragment(":owner", owner=owner)
    return fragment(":owner IN SCHEMA :schema", owner=owner, schema=Name(ask.schema))


def drift(declared: Declared, facts: CatalogFacts) -> tuple[Drift, ...]:
    """What exists and differs from what is *declared*, or is wanted and cannot be had yet."""
    return (
        *_role_drift(declared, facts),
        *_database_drift(declared, facts),
        *_schema_drift(declared, facts),
        *_extension_drift(declared, facts),
        *_grant_drift(declared, facts),
    )


def _role_drift(declared: Declared, facts: CatalogFacts) -> Iterator[Drift]:
    for role in declared.roles:
        fact = facts.roles.get(role.name)
        if fact is None:
            continue
        login = role.login if role.login is not None or not role.has_password else True
        yield from _differences("role", role.name, "login", login, fact.login)
        for attribute in (*_ATTRIBUTES, "connection_limit"):
            yield from _differences(
                "role", role.name, attribute, getattr(role, attribute), getattr(fact, attribute)
            )
        if scram.is_md5(facts.passwords.get(role.name) or "") and _password_fits(role, facts):
            yield Drift("role", role.name, "its password is stored as an MD5 digest; a new one will not be")


def password_drift(declared: Declared, facts: CatalogFacts) -> tuple[Drift, ...]:
    """The passwords that nobody could compare; apart, because a better connection may be able to."""
    return tuple(
        Drift("role", role.name, _EXPIRED if role.name in facts.expired else _UNCOMPARED)
        for role in uncompared_passwords(declared, facts)
    )


_UNCOMPARED = (
    "its password cannot be compared: that takes the right to read pg_authid, or to log in as the role"
)
_EXPIRED = (
    "its VALID UNTIL has passed: no password lets it in, and whether the declared one is right is not known"
)


def _differences(what: str, name: str, attribute: str, wanted: object, found: object) -> Iterator[Drift]:
    if wanted is not None and wanted != found:
        yield Drift(what, name, f"{attribute} is {_shown(found)}, not {_shown(wanted)}")


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _database_drift(declared: Declared, facts: CatalogFacts) -> Iterator[Drift]:
    spec, fact, name = declared.database, facts.target_fact, facts.target
    if spec is None or fact is None:
        return
    yield from _differences("database", name, "owner", spec.owner, fact.owner)
    yield from _differences(
        "database", name, "connection_limit", spec.connection_limit, fact.connection_limit
    )
    yield from _differences("database", name, "locale_provider", spec.locale_provider, fact.locale_provider)
    yield from _differences("database", name, "icu_locale", spec.icu_locale, fact.icu_locale)
    if spec.encoding and _plain(spec.encoding) != _plain(fact.encoding):
        yield Drift("database", name, f"encoding is {fact.encoding}, not {spec.encoding}")
    if spec.locale and {_plain(fact.collate), _plain(fact.ctype)} != {_plain(spec.locale)}:
        yield Drift("database", name, f"locale is {fact.collate} and {fact.ctype}, not {spec.locale}")


def _plain(name: str) -> str:
    """An encoding's or locale's name without what systems spell differently (UTF-8, utf8)."""
    return name.lower().replace("-", "").replace("_", "")


def _schema_drift(declared: Declared, facts: CatalogFacts) -> Iterator[Drift]:
    for schema in declared.schemas:
        if schema.name in facts.schemas:
            yield from _differences("schema", schema.name, "owner", schema.owner, facts.schemas[schema.name])


def _extension_drift(declared: Declared, facts: CatalogFacts) -> Iterator[Drift]:
    for extension in declared.extensions:
        installed = facts.extensions.get(extension.name)
        if installed is None:
            if extension.optional and not is_available(extension, facts):
                why = f"{why_not(extension, facts)} ({cure(extension, facts)})"
                yield Drift("extension", extension.name, f"{why}; optional, so left out")
            continue
        yield from _differences("extension", extension.name, "schema", extension.schema, installed.schema)
        if extension.version not in (None, installed.version, *installed.reachable):
            difference = (
                f"version is {installed.version}, and the server cannot update it to {extension.version}"
            )
            yield Drift("extension", extension.name, difference)


def _grant_drift(declared: Declared, facts: CatalogFacts) -> Iterator[Drift]:
    wanted = (*asks(declared), *default_asks(declared, facts.target_user))
    for ask, held in zip(wanted, (*facts.grants, *facts.defaults), strict=False):
        if held is Held.ABSENT and not _will_be_created(ask, declared):
            yield Drift(
                "grant", _grant_name(ask), f"{ask.on} does not exist yet; granted at a start when it does"
            )
