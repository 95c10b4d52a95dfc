"""Declarations: how they read, and what they miss in a catalogue."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from pgready.core import scram
from pgready.core.bootstrap import (
    GRANTABLE,
    GRANTABLE_BY_DEFAULT,
    KEYS,
    DatabaseSpec,
    Declared,
    DefaultPrivileges,
    Extension,
    Grant,
    Role,
    Schema,
    read_declared,
    read_extensions,
    with_passwords,
)
from pgready.core.extensions import lacking, source, unavailable
from pgready.core.facts import CatalogFacts, DatabaseFact, ExtensionFact, Held, RoleFact, question
from pgready.core.needs import Drift, Needs
from pgready.core.reconcile import drift, missing, password_drift
from pgready.core.secrets import Secret


@pytest.mark.parametrize(
    ("text", "extensions"),
    [
        ("", ()),
        (
            "vector,uuid-ossp?,pg_trgm=1.6",
            (
                Extension("vector"),
                Extension("uuid-ossp", optional=True),
                Extension("pg_trgm", version="1.6"),
            ),
        ),
        (" vector , \n pg_trgm ", (Extension("vector"), Extension("pg_trgm"))),
        ("vector=0.8.0?", (Extension("vector", version="0.8.0", optional=True),)),
        ("vector?=0.8.0", (Extension("vector", version="0.8.0", optional=True),)),
    ],
)
def test_extensions_read_as_names_with_versions_and_question_marks(
    text: str, extensions: tuple[Extension, ...]
) -> None:
    assert read_extensions(text) == extensions


def test_extensions_that_cannot_be_read_are_all_named() -> None:
    with pytest.raises(ValueError) as raised:
        read_extensions("a=, b;c, vector, vector?")

    assert str(raised.value).splitlines() == [
        "extensions: cannot read 'a='; write name, name? or name=version",
        "extensions: cannot read 'b;c'; write name, name? or name=version",
        "extension vector is declared twice",
    ]


@pytest.mark.parametrize(
    "text", ["postgres://u:hunter2@h/d", "postgres://u:x,hunter2;@h/d", "host=h password=hunter2@"]
)
def test_extensions_that_look_like_an_address_are_not_shown(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        read_extensions(text)

    assert "not shown" in str(raised.value)
    assert "hunter2" not in str(raised.value)


WORKED = """
extensions = ["vector", "pg_trgm=1.6"]

[database]
owner = "media_owner"
encoding = "UTF8"
locale = "C"

[[role]]
name = "media_app"
password_file = "secrets/app"
connection_limit = 20
member_of = ["media_readers"]

[[role]]
name = "media_readers"
login = false

[[schema]]
name = "media"
owner = "media_owner"

[[extension]]
name = "uuid-ossp"
optional = true
schema = "media"

[[grant]]
privileges = "usage"
on = { schema = ["media", "stats"] }
to = "media_readers"

[[grant]]
privileges = ["connect", "temp"]
on = "database"
to = ["public"]

[[grant]]
privileges = ["select"]
on = { table = "media.titles" }
to = ["media_readers"]

[[default_privileges]]
privileges = ["select"]
on = "tables"
to = "media_readers"
schema = "media"
"""


def test_declaration_reads_from_the_settings_file() -> None:
    assert read_declared(tomllib.loads(WORKED)) == Declared(
        database=DatabaseSpec(owner="media_owner", encoding="UTF8", locale="C"),
        roles=(
            Role(
                "media_app",
                password_file="secrets/app",
                connection_limit=20,
                member_of=("media_readers",),
            ),
            Role("media_readers", login=False),
        ),
        schemas=(Schema("media", owner="media_owner"),),
        extensions=(
            Extension("uuid-ossp", optional=True, schema="media"),
            Extension("vector"),
            Extension("pg_trgm", version="1.6"),
        ),
        grants=(
            Grant(("USAGE",), "schema", ("media", "stats"), ("media_readers",)),
            Grant(("CONNECT", "TEMPORARY"), "database", (), ("public",)),
            Grant(("SELECT",), "table", ("media.titles",), ("media_readers",)),
        ),
        default_privileges=(DefaultPrivileges(("SELECT",), "tables", ("media_readers",), schema="media"),),
    )


DOCUMENT = (Path(__file__).parents[2] / "docs" / "bootstrap.md").read_text()


def test_worked_example_of_the_documentation_reads() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)

    assert len(read_declared(tomllib.loads(example)).extensions) == 4


@pytest.mark.parametrize(
    "key",
    sorted(
        {
            *KEYS,
            *GRANTABLE,
            *GRANTABLE_BY_DEFAULT,
            *DatabaseSpec.__struct_fields__,
            *Role.__struct_fields__,
            *Extension.__struct_fields__,
            *DefaultPrivileges.__struct_fields__,
        }
    ),
)
def test_every_key_is_documented(key: str) -> None:
    assert re.search(rf"\b{key}\b", DOCUMENT)


def test_nothing_declared_is_false() -> None:
    assert not read_declared({})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[roles]\nname = 'a'", "unknown key roles (did you mean role?)"),
        ("[role]\nname = 'a'", "role: write [[role]], there may be several"),
        ("role = ['a']", "role 1: must be a table"),
        ("[[role]]\nlogin = true", "role 1: name is missing"),
        ("[[role]]\nname = 'a'\nlogni = true", "role a: unknown key logni (did you mean login?)"),
        ("[[role]]\nname = 'a'\nlogin = 'yes'", "role a: login: must be true or false"),
        ("[[role]]\nname = 'a'\nconnection_limit = true", "role a: connection_limit: must be a number"),
        ("[[role]]\nname = 'a'\npassword = 's'", "role a: password: does not belong in this file"),
        ("[[role]]\nname = 'a'\npassword_file = 'f'\npassword_env = 'E'", "both password_file and password_"),
        ("[[role]]\nname = 'a'\nmember_of = 'a'", "role a: cannot be a member of itself"),
        ("[[role]]\nname = 'pg_x'", "role pg_x: the server keeps this name for itself"),
        (f"[[role]]\nname = '{'ä' * 32}'", "longer than the server's 63 bytes"),
        ("[[role]]\nname = 'a'\n[[role]]\nname = 'a'", "role a is declared twice"),
        ("extensions = ['x', 1]", "extensions: cannot read 1"),
        ("extensions = ['x']\n[[extension]]\nname = 'x'", "extension x is declared twice"),
        ("[[grant]]\nprivileges = 'select'\nto = 'a'", "grant 1: on is missing"),
        ("[[grant]]\nprivileges = 'selct'\non = {table='a.b'}\nto = 'a'", "SELCT on table (did you mean SEL"),
        (
            "[[grant]]\nprivileges = 'select'\non = {schema='a'}\nto = 'a'",
            "unknown privilege SELECT on schema",
        ),
        (
            "[[grant]]\nprivileges = 'select'\non = {tabel='a.b'}\nto = 'a'",
            "kind tabel (did you mean table?)",
        ),
        ("[[grant]]\nprivileges = 'select'\non = {table='b'}\nto = 'a'", "on: b must be written schema.name"),
        (
            "[[grant]]\nprivileges = 'select'\non = {table='a.b.c'}\nto = 'a'",
            'on: a.b.c: put double quotes around the part that holds a dot, "a.b".c or a."b.c"',
        ),
        (
            "[[grant]]\nprivileges = 'select'\non = {table='a.\"b'}\nto = 'a'",
            'on: a."b: put double quotes around the part that holds a dot, "a.b".c or a."b.c"',
        ),
        ("[[grant]]\nprivileges = 'create'\non = 'schema'\nto = 'a'", 'on: must be "database" or one of'),
        ("[[grant]]\nprivileges = []\non = 'database'\nto = 'a'", "privileges: must name at least one"),
        ("[[grant]]\nprivileges = 'create'\non = 'database'\nto = []", "to: must name at least one"),
        ("[[default_privileges]]\nprivileges = 'usage'\non = 'tabels'\nto = 'a'", "(did you mean tables?)"),
        (
            "[[default_privileges]]\nprivileges = 'usage'\non = 'schemas'\nschema = 's'\nto = 'a'",
            "on schemas cannot be limited to one schema",
        ),
        ("[database]\ntemplat = 'a'", "database: unknown key templat (did you mean template?)"),
        ("database = 'a'", "database: must be a table"),
    ],
)
def test_declaration_with_a_mistake_says_which(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as raised:
        read_declared(tomllib.loads(text))

    assert problem in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_declaration_with_many_mistakes_names_each_on_a_line() -> None:
    text = "[[role]]\nnam = 'a'\nlogin = 1\n[[schema]]\n[database]\nowner = 1"

    with pytest.raises(ValueError) as raised:
        read_declared(tomllib.loads(text))

    assert len(str(raised.value).splitlines()) == 5


FILES = {
    "marked": b"\xef\xbb\xbfsecret\n",
    "unix": b"secret\n",
    "dos": b"secret\r\n",
    "bare": b"secret",
    "empty": b"\n",
    "latin": b"s3cr\xff",
}


def read_file(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[path].decode()


def by_file(*paths: str) -> Declared:
    return Declared(roles=tuple(Role(path, password_file=path) for path in paths))


@pytest.mark.parametrize("path", ["marked", "unix", "dos", "bare"])
def test_password_file_loses_a_byte_order_mark_and_one_newline_at_its_end(path: str) -> None:
    assert with_passwords(by_file(path), read_file, {}).roles[0].password == Secret("secret")


def test_password_comes_from_the_environment_variable_that_is_named() -> None:
    declared = Declared(roles=(Role("app", password_env="APP_PASSWORD"),))

    found = with_passwords(declared, read_file, {"APP_PASSWORD": "secret"}).roles[0]

    assert found.password == Secret("secret")


def test_password_of_the_dotenv_file_serves_where_the_environment_has_none() -> None:
    declared = Declared(roles=(Role("app", password_env="APP_PASSWORD", password=Secret("of .env")),))

    found = [
        with_passwords(declared, read_file, environ).roles[0].password
        for environ in ({}, {"APP_PASSWORD": ""}, {"APP_PASSWORD": "real"})
    ]

    assert found == [Secret("of .env"), Secret("of .env"), Secret("real")]


def test_passwords_that_cannot_be_read_are_all_named_and_none_is_shown() -> None:
    declared = by_file("latin", "absent", "empty")
    unset = Role("unset", password_env="APP_PASSWORD")
    nul = Role("nul", password_env="NUL_PASSWORD")

    with pytest.raises(ValueError) as raised:
        with_passwords(Declared(roles=(*declared.roles, unset, nul)), read_file, {"NUL_PASSWORD": "a\0"})

    assert str(raised.value).splitlines() == [
        "role latin: password_file latin is not UTF-8",
        "role absent: password_file absent: No such file or directory",
        "role empty: password_file empty is empty",
        "role unset: password_env APP_PASSWORD is not set",
        "role nul: its password holds a NUL character",
    ]


def test_role_without_a_password_keeps_none() -> None:
    declared = Declared(roles=(Role("readers", login=False),))

    assert with_passwords(declared, read_file, {}) == declared


def test_declaration_falls_apart_into_what_is_the_servers_and_what_is_the_targets() -> None:
    declared = Declared(DatabaseSpec(owner="o"), roles=(Role("a"),), schemas=(Schema("s"),))

    assert declared.of_cluster == Declared(DatabaseSpec(owner="o"), roles=(Role("a"),))
    assert declared.of_target == Declared(schemas=(Schema("s"),))


# Comparing.

SALT = b"0123456789abcdef"
PLAIN_ROLE = RoleFact(
    login=True,
    inherit=True,
    createdb=False,
    createrole=False,
    replication=False,
    bypassrls=False,
    connection_limit=-1,
)
UTF8_C = DatabaseFact(
    owner="boss", encoding="UTF8", collate="en_US.utf8", ctype="en_US.utf8", connection_limit=-1
)
EMPTY = CatalogFacts(
    server_version_num=180001,
    database="postgres",
    user="postgres",
    reads_passwords=True,
    target="media",
    target_user="owner",
    target_fact=UTF8_C,
)


def facts(**known: object) -> CatalogFacts:
    return replace(EMPTY, **known)


def statements(declared: Declared, found: CatalogFacts) -> list[str]:
    return [step.sql for step in missing(declared, found, lambda: SALT)]


@pytest.mark.parametrize(
    ("declared", "sql"),
    [
        (Declared(roles=(Role('we"ird'),)), 'CREATE ROLE "we""ird" NOLOGIN'),
        (
            Declared(roles=(Role("a", login=True, inherit=False, createdb=True, connection_limit=5),)),
            'CREATE ROLE "a" LOGIN NOINHERIT CREATEDB CONNECTION LIMIT 5',
        ),
        (
            Declared(roles=(Role("a", password=Secret("s")),)),
            f"CREATE ROLE \"a\" LOGIN PASSWORD '{scram.verifier('s', SALT)}'",
        ),
        (Declared(schemas=(Schema("s"),)), 'CREATE SCHEMA "s" AUTHORIZATION "owner"'),
        (Declared(schemas=(Schema("s", owner="o"),)), 'CREATE SCHEMA "s" AUTHORIZATION "o"'),
    ],
)
def test_missing_thing_is_created_as_it_is_declared(declared: Declared, sql: str) -> None:
    assert statements(declared, EMPTY) == [sql]


def test_groups_are_granted_after_all_roles_are_there() -> None:
    declared = Declared(roles=(Role("app", member_of=("readers",)), Role("readers")))

    assert statements(declared, EMPTY)[2:] == ['GRANT "readers" TO "app"']


def test_groups_that_a_role_is_in_are_not_granted_again() -> None:
    declared = Declared(roles=(Role("app", member_of=("readers", "writers")),))
    known = replace(PLAIN_ROLE, member_of=("readers",))

    assert statements(declared, facts(roles={"app": known})) == ['GRANT "writers" TO "app"']


def test_step_belongs_to_the_server_or_to_the_target_and_is_known_without_its_salt() -> None:
    declared = Declared(roles=(Role("app", password=Secret("s")),), schemas=(Schema("s"),))
    role, schema = missing(declared, EMPTY, lambda: SALT)
    again, _ = missing(declared, EMPTY, lambda: b"another")

    assert (role.of_cluster, schema.of_cluster) == (True, False)
    assert role.sql != again.sql
    assert role.identity == again.identity == ("role", "app", "created")


@pytest.mark.parametrize(
    ("spec", "known", "options"),
    [
        (None, {}, ""),
        (None, {"roles": {"owner": PLAIN_ROLE}}, ' OWNER "owner"'),
        (None, {"database": "template1"}, ' TEMPLATE "template0"'),
        (DatabaseSpec(owner="boss", template="base"), {}, ' OWNER "boss" TEMPLATE "base"'),
        (
            DatabaseSpec(encoding="UTF8", locale="C", connection_limit=9),
            {},
            " TEMPLATE \"template0\" ENCODING 'UTF8' LOCALE 'C' CONNECTION LIMIT 9",
        ),
        (
            DatabaseSpec(locale_provider="icu", icu_locale="de-DE"),
            {},
            ' TEMPLATE "template0" LOCALE_PROVIDER "icu" ICU_LOCALE \'de-DE\'',
        ),
    ],
)
def test_missing_database_is_created_as_it_is_declared(
    spec: DatabaseSpec | None, known: Mapping[str, object], options: str
) -> None:
    found = facts(target_fact=None, **known)

    assert statements(Declared(database=spec), found) == [f'CREATE DATABASE "media"{options}']


@pytest.mark.parametrize(
    ("known", "altered"),
    [
        ({"passwords": {"app": scram.verifier("new", b"salt", 10)}}, False),
        ({"passwords": {"app": scram.verifier("old", b"salt", 10)}}, True),
        ({"passwords": {"app": None}}, True),
        ({"reads_passwords": False}, False),
        ({"reads_passwords": False, "logins": {"app": True}}, False),
        ({"reads_passwords": False, "logins": {"app": False}}, True),
    ],
)
def test_password_is_set_only_where_it_is_known_to_differ(known: Mapping[str, object], altered: bool) -> None:
    declared = Declared(roles=(Role("app", password=Secret("new")),))
    steps = missing(declared, facts(roles={"app": PLAIN_ROLE}, **known), lambda: SALT)

    assert [step.action for step in steps] == (["password changed"] if altered else [])


def test_password_that_nobody_can_compare_is_told() -> None:
    declared = Declared(roles=(Role("app", password=Secret("new")),))

    told = password_drift(declared, facts(roles={"app": PLAIN_ROLE}, reads_passwords=False))

    assert [each.name for each in told] == ["app"]


def test_password_that_has_expired_is_told_as_that() -> None:
    declared = Declared(roles=(Role("app", password=Secret("new")),))
    known = facts(roles={"app": PLAIN_ROLE}, reads_passwords=False, expired=frozenset({"app"}))

    (told,) = password_drift(declared, known)

    assert "VALID UNTIL has passed" in told.difference


VECTOR = Extension("vector")


@pytest.mark.parametrize(
    ("extension", "known", "sql"),
    [
        (VECTOR, {"available": {"vector": ("0.7",)}}, ['CREATE EXTENSION "vector" CASCADE']),
        (
            Extension("vector", version="0.8", schema="s"),
            {"available": {"vector": ("0.7", "0.8")}},
            ['CREATE EXTENSION "vector" SCHEMA "s" VERSION "0.8" CASCADE'],
        ),
        (Extension("vector", optional=True), {}, []),
        (VECTOR, {"extensions": {"vector": ExtensionFact("0.7", "public")}}, []),
        (
            Extension("vector", version="0.8"),
            {"extensions": {"vector": ExtensionFact("0.7", "public", ("0.8",))}},
            ['ALTER EXTENSION "vector" UPDATE TO "0.8"'],
        ),
        (
            Extension("vector", version="0.6"),
            {"extensions": {"vector": ExtensionFact("0.7", "public")}},
            [],
        ),
    ],
)
def test_extension_is_created_or_updated_where_the_server_can(
    extension: Extension, known: Mapping[str, object], sql: list[str]
) -> None:
    assert statements(Declared(extensions=(extension,)), facts(**known)) == sql


@pytest.mark.parametrize(
    ("name", "major", "words"),
    [
        ("vector", 17, "postgresql-17-pgvector"),
        ("vector", 17, "pgvector/pgvector:pg17"),
        ("postgis", 16, "postgresql-16-postgis-3"),
        ("pg_trgm", 15, "contrib"),
        ("uuid-ossp", 18, "gen_random_uuid() is built in since PostgreSQL 13"),
        ("pgvector", 18, "its name is vector"),
        ("nobody_knows", 18, "PostgreSQL 18"),
    ],
)
def test_source_of_an_extension_is_told_for_the_servers_version(name: str, major: int, words: str) -> None:
    assert words in source(name, major)


def test_every_required_extension_that_is_not_available_is_named() -> None:
    declared = Declared(
        extensions=(VECTOR, Extension("postgis", optional=True), Extension("pg_trgm", version="9"))
    )

    error = unavailable(declared, facts(available={"pg_trgm": ("1.5", "1.6")}))

    assert error is not None
    assert error.what.splitlines() == [
        "extension vector: the server (PostgreSQL 18) does not have it",
        "extension pg_trgm: the server has no version 9 of it, only 1.5, 1.6",
    ]
    assert "pg_trgm: ask for one of these versions, or for none" in str(error.hint)


def test_what_is_lacking_comes_with_its_cure() -> None:
    declared = Declared(extensions=(VECTOR, Extension("hstore"), Extension("postgis", optional=True)))

    (lack,) = lacking(declared, facts(available={"hstore": ("1.8",)}))

    assert (lack.name, lack.why) == ("vector", "the server (PostgreSQL 18) does not have it")
    assert "pgvector" in lack.cure


def test_no_error_is_made_where_every_required_extension_is_available() -> None:
    declared = Declared(extensions=(VECTOR, Extension("postgis", optional=True)))

    assert unavailable(declared, facts(available={"vector": ("0.8",)})) is None


@pytest.mark.parametrize(
    ("written", "on"),
    [
        ("media.a", '"media"."a"'),
        ("Ödd.titles", '"Ödd"."titles"'),
        ('"Ödd.S".t', '"Ödd.S"."t"'),
        ('s."t.x"', '"s"."t.x"'),
        ('"a""b".c', '"a""b"."c"'),
    ],
)
def test_grant_names_a_table_as_the_database_spells_it(written: str, on: str) -> None:
    declared = Declared(grants=(Grant(("SELECT",), "table", (written,), ("readers",)),))

    assert statements(declared, facts(grants=(Held.LACKING,))) == [f'GRANT SELECT ON TABLE {on} TO "readers"']


SELECT_ON = Grant(("SELECT",), "table", ("media.a", "media.b"), ("readers", "public"))


def test_grant_is_made_on_each_thing_that_lacks_it() -> None:
    declared = Declared(grants=(SELECT_ON,))

    assert statements(declared, facts(grants=(Held.GRANTED, Held.LACKING))) == [
        'GRANT SELECT ON TABLE "media"."b" TO "readers", PUBLIC'
    ]


@pytest.mark.parametrize(
    ("kind", "on"),
    [
        ("schema", 'SCHEMA "s"'),
        ("all_tables", 'ALL TABLES IN SCHEMA "s"'),
        ("all_sequences", 'ALL SEQUENCES IN SCHEMA "s"'),
        ("all_functions", 'ALL ROUTINES IN SCHEMA "s"'),
    ],
)
def test_grant_of_all_names_every_privilege_of_its_kind(kind: str, on: str) -> None:
    declared = Declared(grants=(Grant(("ALL",), kind, ("s",), ("a",)),))
    (sql,) = statements(declared, facts(grants=(Held.LACKING,)))

    assert f'ON {on} TO "a"' in sql
    assert "MAINTAIN" not in sql


@pytest.mark.parametrize(("schemas", "made"), [((Schema("s"),), True), ((), False)])
def test_grant_on_an_absent_schema_is_made_only_where_the_schema_will_be(
    schemas: tuple[Schema, ...], made: bool
) -> None:
    grant = Grant(("USAGE",), "schema", ("s",), ("a",))
    declared = Declared(schemas=schemas, grants=(grant,))
    found = facts(grants=(Held.ABSENT,))

    assert ('GRANT USAGE ON SCHEMA "s" TO "a"' in statements(declared, found)) is made
    assert bool(drift(declared, found)) is not made


@pytest.mark.parametrize(
    ("default", "sql"),
    [
        (
            DefaultPrivileges(("SELECT",), "tables", ("a",), owner="o", schema="s"),
            'ALTER DEFAULT PRIVILEGES FOR ROLE "o" IN SCHEMA "s" GRANT SELECT ON TABLES TO "a"',
        ),
        (
            DefaultPrivileges(("ALL",), "schemas", ("public",)),
            'ALTER DEFAULT PRIVILEGES FOR ROLE "owner" GRANT USAGE, CREATE ON SCHEMAS TO PUBLIC',
        ),
    ],
)
def test_default_privileges_are_those_of_whoever_will_create(default: DefaultPrivileges, sql: str) -> None:
    assert statements(Declared(default_privileges=(default,)), facts(defaults=(Held.LACKING,))) == [sql]


def test_default_privileges_that_are_held_are_not_granted_again() -> None:
    defaults = (DefaultPrivileges(("SELECT",), "tables", ("a",)),) * 2

    assert len(statements(Declared(default_privileges=defaults), facts(defaults=(Held.GRANTED,) * 2))) == 0


def test_grant_on_the_database_is_made_on_the_one_that_is_connected_to() -> None:
    declared = Declared(grants=(Grant(("CONNECT",), "database", (), ("a",)),))

    assert statements(declared, facts(grants=(Held.LACKING,))) == [
        'GRANT CONNECT ON DATABASE "postgres" TO "a"'
    ]


def test_catalogue_is_asked_about_the_target_user_once_and_only_where_there_is_one() -> None:
    declared = Declared(roles=(Role("app"), Role("owner")))

    assert question(declared, "media", "owner").roles == ("app", "owner")
    assert question(Declared(), "media", "owner").roles == ("owner",)
    assert question(Declared(), "media", None).roles == ()


MD5 = "md5" + hashlib.md5(b"oldapp").hexdigest()


@pytest.mark.parametrize(("password", "told"), [("old", True), ("new", False), (None, False)])
def test_password_that_fits_its_md5_digest_is_told_to_be_stored_as_one(
    password: str | None, told: bool
) -> None:
    declared = Declared(roles=(Role("app", login=True, password=Secret(password) if password else None),))

    found = drift(declared, facts(roles={"app": PLAIN_ROLE}, passwords={"app": MD5}))

    assert ["MD5" in each.difference for each in found] == ([True] if told else [])


def test_extension_that_can_be_created_differs_in_nothing() -> None:
    assert drift(Declared(extensions=(VECTOR,)), facts(available={"vector": ("0.8",)})) == ()


def test_role_that_does_not_exist_yet_differs_in_nothing() -> None:
    assert drift(Declared(roles=(Role("app", login=False),)), EMPTY) == ()


def test_database_that_does_not_exist_yet_differs_in_nothing() -> None:
    assert drift(Declared(database=DatabaseSpec(owner="a")), facts(target_fact=None)) == ()


@pytest.mark.parametrize(
    ("declared", "known", "difference"),
    [
        (
            Declared(roles=(Role("app", login=False),)),
            {"roles": {"app": PLAIN_ROLE}},
            Drift("role", "app", "login is true, not false"),
        ),
        (
            Declared(schemas=(Schema("s", owner="a"),)),
            {"schemas": {"s": "b"}},
            Drift("schema", "s", "owner is b, not a"),
        ),
        (
            Declared(database=DatabaseSpec(owner="a", encoding="utf-8", locale="en_US.UTF-8")),
            {},
            Drift("database", "media", "owner is boss, not a"),
        ),
        (
            Declared(database=DatabaseSpec(locale="C")),
            {},
            Drift("database", "media", "locale is en_US.utf8 and en_US.utf8, not C"),
        ),
        (
            Declared(database=DatabaseSpec(encoding="LATIN1")),
            {},
            Drift("database", "media", "encoding is UTF8, not LATIN1"),
        ),
        (
            Declared(extensions=(Extension("nobody_knows", optional=True),)),
            {},
            Drift(
                "extension",
                "nobody_knows",
                "the server (PostgreSQL 18) does not have it (install the package that has it for"
                " PostgreSQL 18, on the server); optional, so left out",
            ),
        ),
        (
            Declared(extensions=(Extension("vector", version="0.9"),)),
            {"extensions": {"vector": ExtensionFact("0.8", "public", ("0.7",))}},
            Drift("extension", "vector", "version is 0.8, and the server cannot update it to 0.9"),
        ),
        (
            Declared(extensions=(Extension("vector", schema="ext"),)),
            {"extensions": {"vector": ExtensionFact("0.8", "public")}},
            Drift("extension", "vector", "schema is public, not ext"),
        ),
    ],
)
def test_what_exists_and_differs_is_drift_and_changes_nothing(
    declared: Declared, known: Mapping[str, object], difference: Drift
) -> None:
    found = facts(**known)

    assert drift(declared, found) == (difference,)
    assert statements(declared, found) == []


def test_what_is_not_said_is_not_compared() -> None:
    declared = Declared(database=DatabaseSpec(), roles=(Role("app"),), schemas=(Schema("s"),))

    assert drift(declared, facts(roles={"app": PLAIN_ROLE}, schemas={"s": "anyone"})) == ()


@pytest.mark.parametrize(
    ("cluster", "target", "told"),
    [
        (False, False, ("role", "database", "schema", "grant")),
        (True, False, ("schema", "grant")),
        (False, True, ("role", "database")),
        (True, True, ()),
    ],
)
def test_drift_is_told_of_the_part_that_no_bootstrap_tells_of(
    cluster: bool, target: bool, told: tuple[str, ...]
) -> None:
    found = tuple(Drift(what, "x", "differs") for what in ("role", "database", "schema", "grant"))

    assert tuple(each.what for each in Needs(cluster, target, found).at_rest) == told
