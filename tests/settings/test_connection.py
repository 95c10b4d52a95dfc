"""Which source supplies the connection; only a missing password comes from another."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pgready.core.dsn import Dsn
from pgready.core.errors import SettingsError
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


@pytest.mark.parametrize("name", ["PGSSLMODE", "PGOPTIONS", "PGTARGETSESSIONATTRS"])
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
        ({"HOME": "/home"}, "c", "the password file"),
        ({"PGPASSFILE": "/passfile"}, "d", "the password file"),
    ],
)
def test_a_missing_password_is_filled(environ: dict[str, str], expected: str, origin: str) -> None:
    files = {"/home/.pgpass": "h:5432:d:u:c", "/passfile": "*:*:*:*:d", "/secret": "s\n"}
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
    ],
)
def test_a_service_is_looked_up_where_libpq_looks(environ: dict[str, str]) -> None:
    places = ("/home/.pg_service.conf", "/services", "/etc/pg/pg_service.conf")
    dsn = target(environ, dict.fromkeys(places, SERVICES))

    assert dsn.masked == "postgresql://u:***@s:5432/d"


def test_what_the_url_says_wins_over_its_service() -> None:
    environ = {"DATABASE_URL": "postgres://own/?service=mine", "HOME": "/home"}

    assert target(environ, {"/home/.pg_service.conf": SERVICES}).hosts == (("own", 5432),)


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
