"""Which source supplies the connection; only a missing password comes from another."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pgready.core.dsn import Dsn
from pgready.core.errors import SettingsError
from pgready.core.secrets import Secret
from pgready.settings import Settings, load


def read(environ: Mapping[str, str], files: Mapping[str, str] | None = None) -> Settings:
    return load({}, environ, (files or {}).get)


def no_files(path: str) -> str | None:
    return None


def target(environ: Mapping[str, str], files: Mapping[str, str] | None = None) -> Dsn:
    found = read(environ, files).target
    assert found is not None
    return found


def password(environ: Mapping[str, str], files: Mapping[str, str] | None = None) -> str | None:
    secret = target(environ, files).password
    return secret.reveal() if secret else None


CHAIN = [
    ("PGREADY_DATABASE_URL", {"PGREADY_DATABASE_URL": "postgres://u:p@ours/d"}, "ours"),
    ("MIGRATION_DATABASE_URL", {"MIGRATION_DATABASE_URL": "postgres://u:p@migration/d"}, "migration"),
    ("DATABASE_URL", {"DATABASE_URL": "postgres://u:p@url/d"}, "url"),
    ("PGHOST, PGUSER, PGPASSWORD", {"PGHOST": "libpq", "PGUSER": "u", "PGPASSWORD": "p"}, "libpq"),
    ("DB_HOST, POSTGRES_PASSWORD", {"DB_HOST": "family", "POSTGRES_PASSWORD": "p"}, "family"),
]


@pytest.mark.parametrize("nearest", range(len(CHAIN)))
def test_the_nearest_source_supplies_the_whole_connection(nearest: int) -> None:
    environ = {name: value for _, values, _ in reversed(CHAIN[nearest:]) for name, value in values.items()}
    settings = read(environ, {"pgready.toml": "database_url = 'postgres://u@file/d'"})

    origin, _, host = CHAIN[nearest]
    assert settings.target is not None
    assert settings.target.hosts == ((host, 5432),)
    assert settings.origins["target"] == origin


def test_a_flag_is_nearer_than_every_variable() -> None:
    environ = {"PGREADY_DATABASE_URL": "postgres://u:p@ours/d"}
    settings = load({"database_url": "postgres://u:p@flag/d"}, environ, no_files)

    assert settings.target is not None
    assert settings.target.hosts == (("flag", 5432),)


def test_two_different_urls_of_our_own_are_noted() -> None:
    environ = {"PGREADY_DATABASE_URL": "postgres://u@a/d", "MIGRATION_DATABASE_URL": "postgres://u@b/d"}

    assert read(environ).notices == ("MIGRATION_DATABASE_URL is ignored: PGREADY_DATABASE_URL is set",)


@pytest.mark.parametrize("real", ["DATABASE_URL", "MIGRATION_DATABASE_URL", "DATABASE_URL_FILE"])
def test_a_real_url_wins_over_one_of_dotenv_which_is_noted(real: str) -> None:
    files = {".env": "PGREADY_DATABASE_URL=postgres://u:p@dev/d", "/url": "postgres://u:p@prod/d"}
    settings = read({real: "/url" if real.endswith("_FILE") else files["/url"]}, files)

    assert settings.target is not None
    assert settings.target.hosts == (("prod", 5432),)
    assert settings.notices == (f".env: PGREADY_DATABASE_URL is ignored: {real} is set",)


def test_the_application_s_url_is_not_asked_for_where_a_real_variable_is_nearer() -> None:
    environ = {"PGREADY_DATABASE_URL": "postgres://u:p@ours/d", "DATABASE_URL_FILE": "/not/mounted/here"}

    assert target(environ).hosts == (("ours", 5432),)


@pytest.mark.parametrize("name", ["PGHOST", "PGDATABASE", "DB_HOST"])
def test_a_url_of_dotenv_wins_over_what_shells_set_and_says_so(name: str) -> None:
    settings = read({name: "prod"}, {".env": "DATABASE_URL=postgres://u:p@dev/d"})

    assert settings.target is not None
    assert settings.target.hosts == (("dev", 5432),)
    assert settings.notices == (f"{name} is ignored: .env: DATABASE_URL is set",)


def test_a_file_s_url_takes_its_password_from_the_environment() -> None:
    files = {"pgready.toml": "database_url = 'postgres://u@file/d'"}

    assert target({"POSTGRES_PASSWORD": "p"}, files).hosts == (("file", 5432),)
    assert password({"POSTGRES_PASSWORD": "p"}, files) == "p"


def test_libpq_s_variables_make_a_connection() -> None:
    environ = {
        "PGHOST": "h",
        "PGPORT": "6000",
        "PGUSER": "u",
        "PGDATABASE": "d",
        "PGPASSWORD": "p",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca",
        "PGOPTIONS": "-c geqo=off",
        "PGAPPNAME": "app",
        "PGCONNECT_TIMEOUT": "5",
        "PGTARGETSESSIONATTRS": "primary",
    }
    dsn = target(environ)

    assert dsn.masked == "postgresql://u:***@h:6000/d"
    assert (dsn.sslmode, dsn.sslrootcert) == ("verify-full", "/ca")
    assert (dsn.application_name, dsn.server_settings) == ("app", {"geqo": "off"})
    assert (dsn.connect_timeout_seconds, dsn.target_session_attrs) == (5, "primary")


@pytest.mark.parametrize("name", ["PGUSER", "PGPORT", "PGPASSWORD", "PGSSLMODE"])
def test_a_variable_that_names_no_place_makes_no_connection(name: str) -> None:
    assert read({name: "1"}).target is None


@pytest.mark.parametrize("name", ["PGSSLMODE", "PGSSLCERT", "PGOPTIONS", "PGTARGETSESSIONATTRS"])
def test_a_url_says_which_of_libpq_s_variables_it_leaves_out(name: str) -> None:
    settings = read({"DATABASE_URL": "postgres://u:p@h/d", name: "require"})

    assert settings.notices == (f"{name} is ignored: DATABASE_URL supplies the whole connection",)


@pytest.mark.parametrize(
    ("environ", "masked"),
    [
        ({"POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p"}, "postgresql://u:***@localhost:5432/u"),
        ({"POSTGRES_PASSWORD": "p"}, "postgresql://postgres:***@localhost:5432/postgres"),
        (
            {"DB_HOST": "db", "DB_PORT": "1", "POSTGRES_DB": "d", "POSTGRES_PASSWORD": "p"},
            "postgresql://postgres:***@db:1/d",
        ),
    ],
)
def test_the_compose_family_has_the_image_s_defaults(environ: dict[str, str], masked: str) -> None:
    settings = read(environ)

    assert settings.target is not None
    assert settings.target.masked == masked
    assert settings.notices == ()


FAMILY = {
    ("DB_HOST", "POSTGRES_HOST", "POSTGRES_SERVER"): "h",
    ("DB_PORT", "POSTGRES_PORT"): "5433",
    ("DB_USER", "DB_USERNAME", "POSTGRES_USER"): "u",
    ("DB_PASSWORD", "DB_PASS", "POSTGRES_PASSWORD"): "p",
    ("DB_NAME", "DB_DATABASE", "POSTGRES_DB", "POSTGRES_DATABASE"): "d",
}


@pytest.mark.parametrize("form", ["", "_FILE"])
@pytest.mark.parametrize("name", [name for names in FAMILY for name in names])
def test_every_name_of_the_family_is_read(name: str, form: str) -> None:
    files = {f"/{value}": f"{value}\n" for value in FAMILY.values()}
    values = {name if name in names else names[0]: value for names, value in FAMILY.items()}
    environ = {f"{each}{form}": f"/{value}" if form else value for each, value in values.items()}
    settings = read(environ, files)

    assert settings.target is not None
    assert settings.target.masked == "postgresql://u:***@h:5433/d"
    assert password(environ, files) == "p"
    assert name in settings.origins["target"]
    assert settings.notices == ()


def test_the_origin_of_the_family_names_each_variable_that_was_read() -> None:
    environ = {"DB_HOST": "h", "DB_NAME": "d", "POSTGRES_USER": "u", "POSTGRES_PASSWORD_FILE": "/p"}

    assert read(environ, {"/p": "p"}).origins["target"] == (
        "DB_HOST, POSTGRES_USER, DB_NAME, POSTGRES_PASSWORD_FILE"
    )


@pytest.mark.parametrize("one", [name for names in FAMILY for name in names[:1]])
def test_two_of_the_family_that_differ_are_a_problem_that_names_both(one: str) -> None:
    (names,) = [names for names in FAMILY if one in names]
    environ = {"DB_HOST": "h", one: "1", names[-1]: "2"}

    with pytest.raises(SettingsError, match=f"^{one} and {names[-1]} differ; set one of them, or PGREADY"):
        read(environ)


def test_two_of_the_family_that_agree_are_one() -> None:
    environ = {"DB_HOST": "h", "DB_NAME": "d", "POSTGRES_DB": "d", "POSTGRES_PASSWORD": "p"}
    settings = read(environ)

    assert settings.origins["target"] == "DB_HOST, DB_NAME, POSTGRES_PASSWORD"
    assert settings.notices == ()


def test_a_real_variable_of_the_family_wins_over_another_of_dotenv_which_is_noted() -> None:
    settings = read({"POSTGRES_DB": "prod", "POSTGRES_PASSWORD": "p"}, {".env": "DB_NAME=dev"})

    assert settings.target is not None
    assert settings.target.database == "prod"
    assert settings.notices == (".env: DB_NAME is ignored: POSTGRES_DB is set",)


@pytest.mark.parametrize("name", ["DB_PORT", "POSTGRES_PORT"])
def test_a_port_that_kubernetes_sets_for_a_service_is_none(name: str) -> None:
    link = {name: "tcp://10.0.0.1:5432"}

    assert read(link).target is None
    assert target({**link, "DB_HOST": "h"}).masked == "postgresql://postgres:***@h:5432/postgres"


@pytest.mark.parametrize(
    ("source", "environ"),
    [
        ("DATABASE_URL", {"DATABASE_URL": "postgres://u:p@h:5432/d"}),
        ("PGHOST", {"PGHOST": "h", "PGUSER": "u", "PGDATABASE": "d"}),
    ],
)
def test_what_of_the_family_says_something_else_than_the_source_is_noted(
    source: str, environ: dict[str, str]
) -> None:
    agreeing = {"DB_HOST": "h", "DB_PORT": "5432", "DB_USER": "u", "DB_NAME": "d", "DB_PASSWORD": "x"}
    files = {".env": "POSTGRES_PORT=1"}

    assert read({**environ, **agreeing}).notices == ()
    assert read({**environ, **agreeing, "DB_NAME": "other"}, files).notices == (
        f".env: POSTGRES_PORT is ignored: {source} is set",
        f"DB_NAME is ignored: {source} is set",
    )


def test_files_of_the_family_are_not_read_where_another_source_is_used() -> None:
    environ = {"DATABASE_URL": "postgres://u:p@h/d", "POSTGRES_USER_FILE": "/not/mounted/here"}

    assert read(environ).notices == ()


@pytest.mark.parametrize("name", ["PGREADY_DATABASE_URL", "MIGRATION_DATABASE_URL"])
def test_an_address_that_is_for_pgready_alone_is_chosen_over_the_family(name: str) -> None:
    assert read({name: "postgres://u:p@h/d", "DB_HOST": "other"}).notices == ()


def test_an_address_beside_a_family_without_a_host_is_noted() -> None:
    settings = read({"POSTGRES_URL": "postgres://u:p@h/d", "POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p"})

    assert settings.notices == ("POSTGRES_URL is not read: POSTGRES_USER is set",)


def test_a_password_of_an_application_alone_makes_no_connection() -> None:
    assert read({"DB_PASSWORD": "p"}).target is None


def test_a_defaulted_password_is_announced() -> None:
    settings = read({"DB_HOST": "db"})

    assert password({"DB_HOST": "db"}) == "postgres"
    assert settings.origins["target"] == "DB_HOST; password from the default"
    assert settings.notices == ("no password is configured: the default `postgres` is used",)


def test_the_default_password_is_for_the_compose_family_alone() -> None:
    assert password({"DATABASE_URL": "postgres://u@h/d"}) is None
    assert password({"PGHOST": "h", "PGUSER": "u"}) is None


@pytest.mark.parametrize(
    ("environ", "expected", "origin"),
    [
        ({"PGPASSWORD": "a", "POSTGRES_PASSWORD": "b"}, "a", "PGPASSWORD"),
        ({"POSTGRES_PASSWORD": "b", "HOME": "/home"}, "b", "POSTGRES_PASSWORD"),
        ({"POSTGRES_PASSWORD_FILE": "/secret"}, "s", "POSTGRES_PASSWORD_FILE"),
        ({"DB_PASSWORD": "e"}, "e", "DB_PASSWORD"),
        ({"PGPASSWORD_FILE": "/empty", "DB_PASSWORD": "e"}, "e", "DB_PASSWORD"),
        ({"HOME": "/home"}, "c", "the password file"),
        ({"PGPASSFILE": "/passfile"}, "d", "the password file"),
    ],
)
def test_a_missing_password_is_filled(environ: dict[str, str], expected: str, origin: str) -> None:
    files = {"/home/.pgpass": "h:5432:d:u:c", "/passfile": "*:*:*:*:d", "/secret": "s\n", "/empty": ""}
    environ = {"DATABASE_URL": "postgres://u@h/d", **environ}

    assert password(environ, files) == expected
    assert read(environ, files).origins["target"] == f"DATABASE_URL; password from {origin}"


def test_a_password_of_the_url_is_not_replaced() -> None:
    assert password({"DATABASE_URL": "postgres://u:own@h/d", "PGPASSWORD": "other"}) == "own"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("h:5432:d:u:p", "p"),
        ("*:*:*:*:p", "p"),
        (r"h:5432:d:u:a\:b\\c", r"a:b\c"),
        ("h:5432:d:u:p:rest", "p:rest"),
        ("# comment\n\nother:5432:d:u:x\nh:*:d:u:p", "p"),
        ("h:1:d:u:p", None),
        ("h:5432:d:someone:p", None),
        ("h:5432:d:u", None),
    ],
)
def test_the_password_file_is_read_as_libpq_reads_it(line: str, expected: str | None) -> None:
    environ = {"DATABASE_URL": "postgres://u@h/d", "PGPASSFILE": "/p"}

    assert password(environ, {"/p": line}) == expected


def test_a_socket_is_localhost_in_the_password_file() -> None:
    environ = {"DATABASE_URL": "host=/tmp user=u dbname=d passfile=/p"}

    assert password(environ, {"/p": "localhost:5432:d:u:p"}) == "p"


def test_the_password_file_knows_an_address_by_its_name() -> None:
    named = {"PGHOST": "db", "PGHOSTADDR": "10.0.0.1", "PGUSER": "u", "PGDATABASE": "d", "PGPASSFILE": "/p"}
    unnamed = {**named, "PGHOST": ""}

    assert target(named).hosts == (("10.0.0.1", 5432),)
    assert password(named, {"/p": "10.0.0.1:5432:d:u:wrong\ndb:5432:d:u:p"}) == "p"
    assert password(unnamed, {"/p": "db:5432:d:u:wrong\n10.0.0.1:5432:d:u:p"}) == "p"


def test_each_of_several_hosts_has_a_password_of_its_own_in_the_file() -> None:
    environ = {"DATABASE_URL": "postgres://u@a:1,b:2,c:3/d", "PGPASSFILE": "/p"}
    dsn = target(environ, {"/p": "a:1:*:*:of a\nb:*:*:u:of b"})

    assert [host.password for host in dsn.each_host] == [Secret("of a"), Secret("of b"), None]
    assert dsn.masked == "postgresql://u:***@a:1,b:2,c:3/d"
    assert target(environ, {"/p": "*:*:*:*:of all"}).password == Secret("of all")


def test_the_default_password_is_for_none_that_the_file_knows_a_host_of() -> None:
    environ = {"DB_HOST": "a,b", "PGPASSFILE": "/p"}
    dsn = target(environ, {"/p": "b:*:*:*:of b"})

    assert [host.password for host in dsn.each_host] == [None, Secret("of b")]


SERVICES = (
    "# ours\n[other]\nhost=wrong\n[mine]\nhost = s\nuser=u\npassword=p%x\ndbname=d\n\n[mine]\nhost=late\n"
)


@pytest.mark.parametrize(
    "environ",
    [
        {"PGSERVICE": "mine", "HOME": "/home"},
        {"PGSERVICE": "mine", "PGSERVICEFILE": "/services"},
        {"PGSERVICE": "mine", "PGSYSCONFDIR": "/etc/pg"},
        {"PGSERVICE": "mine", "PGHOST": "loses", "HOME": "/home"},
        {"DATABASE_URL": "postgres:///?service=mine", "HOME": "/home"},
        {"DATABASE_URL": "service=mine servicefile=/services"},
        {"DATABASE_URL": "service=mine", "PGSERVICEFILE": "/services"},
    ],
)
def test_a_service_is_looked_up_where_libpq_looks(environ: dict[str, str]) -> None:
    places = ("/home/.pg_service.conf", "/services", "/etc/pg/pg_service.conf")
    dsn = target(environ, dict.fromkeys(places, SERVICES))

    assert dsn.masked == "postgresql://u:***@s:5432/d"


def test_what_the_url_says_wins_over_its_service() -> None:
    environ = {"DATABASE_URL": "postgres://own/?service=mine", "HOME": "/home"}

    assert target(environ, {"/home/.pg_service.conf": SERVICES}).hosts == (("own", 5432),)


def test_a_service_may_name_its_password_file() -> None:
    services = "[mine]\nhost=s\nuser=u\ndbname=d\npassfile=/p\n"
    files = {"/services": services, "/p": "s:5432:d:u:of the file", "/q": "*:*:*:*:of the address"}
    environ = {"PGSERVICE": "mine", "PGSERVICEFILE": "/services"}
    own = {"DATABASE_URL": "postgres:///?service=mine&passfile=/q", "PGSERVICEFILE": "/services"}

    assert password(environ, files) == "of the file"
    assert password(own, files) == "of the address"


def test_an_unknown_service_is_a_problem() -> None:
    with pytest.raises(SettingsError, match="PGSERVICE: the service is not defined in any service file"):
        read({"PGSERVICE": "none", "HOME": "/home"}, {"/home/.pg_service.conf": SERVICES})


def test_a_url_without_a_user_takes_the_system_s_without_asking_the_system() -> None:
    settings = read({"DATABASE_URL": "postgres://:p@h/d", "USER": "me"})

    assert settings.target is not None
    assert settings.target.user == "me"
    assert settings.notices == ("DATABASE_URL: no user is named, so that of USER is used: me",)
    assert target({"DATABASE_URL": "postgres://:p@h/d"}).user == "postgres"


def test_the_admin_connection_defaults_to_the_database_postgres() -> None:
    settings = read({"PGREADY_ADMIN_DATABASE_URL": "postgres://root:p@h"})

    assert settings.admin is not None
    assert settings.admin.database == "postgres"
    assert settings.target is None


def test_a_bad_url_is_reported_under_its_variable_and_not_quoted() -> None:
    with pytest.raises(SettingsError) as caught:
        read({"DATABASE_URL": "postgres://u:hun/ter2@h/d", "PGREADY_ADMIN_DATABASE_URL": "hunter2"})

    assert [line.partition(":")[0] for line in caught.value.problems] == [
        "DATABASE_URL",
        "PGREADY_ADMIN_DATABASE_URL",
    ]
    assert "hun" not in str(caught.value)


def test_notes_of_the_address_are_notices() -> None:
    settings = read({"DATABASE_URL": "postgres://u:p@h/d?pgbouncer=true"})

    assert settings.notices[0].startswith("DATABASE_URL: pgbouncer is ignored")
