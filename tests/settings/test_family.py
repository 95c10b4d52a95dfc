"""The variables of the family beside other sources: what they mean, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pgready.core.dsn import Dsn
from pgready.core.errors import SettingsError
from pgready.settings import Settings, load
from pgready.settings.family import NAMES


def read(
    environ: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    return load(flags or {}, environ, (files or {}).get)


def target(settings: Settings) -> Dsn:
    assert settings.target is not None
    return settings.target


def password(settings: Settings) -> str | None:
    secret = target(settings).password
    return secret.reveal() if secret else None


def problems(environ: Mapping[str, str], flags: Mapping[str, object] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read(environ, flags=flags)
    return caught.value.problems


URL = "postgres://u@h/d"


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ({"DATABASE_URL": URL}, {}),
        ({"PGREADY_DATABASE_URL": URL}, {}),
        ({"PGHOST": "h", "PGUSER": "u"}, {}),
        ({}, {"database_url": URL}),
    ],
)
def test_passwords_that_differ_fill_the_one_another_source_lacks_with_a_note(
    source: dict[str, str], flags: dict[str, object]
) -> None:
    settings = read({**source, "DB_PASSWORD": "app", "POSTGRES_PASSWORD": "p"}, flags=flags)

    assert password(settings) == "p"
    assert settings.notices == ("DB_PASSWORD is ignored: POSTGRES_PASSWORD is set",)


@pytest.mark.parametrize("name", NAMES["password"])
def test_every_password_of_the_family_fills_the_one_another_source_lacks(name: str) -> None:
    settings = read({"DATABASE_URL": URL, name: "p"})

    assert password(settings) == "p"
    assert settings.notices == ()


def test_a_real_password_fills_before_one_of_dotenv_and_a_file_that_comes_later_is_not_asked_for() -> None:
    real = {"DATABASE_URL": URL, "DB_PASSWORD": "p", "DB_PASS_FILE": "/not/mounted/here"}
    settings = read(real, {".env": "POSTGRES_PASSWORD=dev"})

    assert password(settings) == "p"
    assert settings.notices == (".env: POSTGRES_PASSWORD is ignored: DB_PASSWORD is set",)


def test_passwords_that_differ_are_a_problem_of_the_family_itself() -> None:
    (problem,) = problems({"DB_HOST": "h", "DB_PASSWORD": "app", "POSTGRES_PASSWORD": "p"})

    assert problem.startswith("DB_PASSWORD and POSTGRES_PASSWORD differ; ")


@pytest.mark.parametrize(
    "environ",
    [
        {"DB_USER": "app", "POSTGRES_USER": "postgres"},
        {"DB_HOST": "h", "DB_PASSWORD": "app", "POSTGRES_PASSWORD": "p"},
        {"DB_PORT": "abc"},
        {"PGPORT": "abc", "PGHOST": "h"},
        {"DATABASE_URL": "nothing of the kind"},
    ],
)
def test_what_is_wrong_with_a_connection_that_embedded_wins_over_is_no_problem(
    environ: dict[str, str],
) -> None:
    dotenv = {".env": "\n".join(f"{name}='{value}'" for name, value in environ.items())}

    by_flag = read(environ, flags={"embedded": "/data"})
    assert (by_flag.target, by_flag.embedded) == (None, "/data")
    assert [note for note in by_flag.notices if "asks for an embedded one" not in note] == []
    assert read({"PGREADY_EMBEDDED": "/data"}, dotenv).embedded == "/data"


def test_a_connection_that_embedded_wins_over_is_noted_although_it_is_wrong() -> None:
    environ = {"DB_USER": "app", "POSTGRES_USER": "postgres"}

    assert read(environ, flags={"embedded": True}).notices == (
        "DB_USER is ignored: --embedded asks for an embedded one",
    )


def test_what_is_wrong_with_a_connection_that_is_as_near_as_embedded_stays_a_problem() -> None:
    found = problems({"DB_USER": "app", "POSTGRES_USER": "postgres", "PGREADY_EMBEDDED": "on"})

    assert [problem.partition(";")[0] for problem in found] == [
        "DB_USER and POSTGRES_USER differ",
        "PGREADY_EMBEDDED and DB_USER are both set",
    ]
    assert len(problems({"DB_PORT": "abc"}, {"embedded": "off"})) == 1


def test_a_file_of_the_family_that_is_missing_is_no_problem_of_embedded_by_flag() -> None:
    environ = {"DB_NAME_FILE": "/not/mounted/here"}

    assert read(environ, flags={"embedded": True}).embedded == ""
    assert len(problems({**environ, "PGREADY_EMBEDDED": "on"})) == 1


@pytest.mark.parametrize("environ", [{"DB_HOST": "h", "DB_PASSWORD": "p"}, {"POSTGRES_PASSWORD": "p"}])
@pytest.mark.parametrize("name", ["PGSSLMODE", "PGSSLCRL", "PGREQUIREAUTH", "PGOPTIONS"])
def test_the_family_says_which_of_libpq_s_variables_it_leaves_out(environ: dict[str, str], name: str) -> None:
    settings = read({**environ, name: "verify-full"})

    assert target(settings).sslmode == "prefer"
    assert settings.notices == (f"{name} is ignored: {next(iter(environ))} supplies the whole connection",)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DB_PORT": "abc"}, "DB_PORT: a port is not a number from 1 to 65535"),
        ({"PGDATABASE": "d", "PGPORT": "0"}, "a port is not a number from 1 to 65535"),
        ({"DB_HOST": "a b"}, "DB_HOST: a host is no name, address or /directory"),
    ],
)
def test_the_cure_of_an_address_is_not_told_of_a_variable_of_its_own(
    environ: dict[str, str], expected: str
) -> None:
    (problem,) = problems(environ)

    assert problem.endswith(expected)


@pytest.mark.parametrize("url", ["postgres://u@h:abc/d", "postgres://u@h/d?port=abc"])
def test_the_cure_of_an_address_is_told_of_one(url: str) -> None:
    (problem,) = problems({"DATABASE_URL": url})

    assert "if it is part of a password, percent-encode" in problem


@pytest.mark.parametrize("value", ["postgres://u:sekrit@h/db", '"mysql+x://u:sekrit@h/db"'])
@pytest.mark.parametrize(
    "name", [*NAMES["host"], *NAMES["port"], *NAMES["user"], *NAMES["dbname"], "PGDATABASE"]
)
def test_an_address_in_the_place_of_a_name_is_a_problem_that_does_not_show_it(name: str, value: str) -> None:
    found = problems({name: value, "PGUSER": "u", "HOME": "/home"})

    assert all(problem.startswith(name) for problem in found)
    assert "sekrit" not in "".join(found)


def test_a_name_may_have_whatever_a_name_may_have() -> None:
    settings = read({"DB_NAME": "a:/b@c", "DB_USER": "//u", "DB_PASSWORD": "postgres://p"})

    assert (target(settings).database, target(settings).user) == ("a:/b@c", "//u")
    assert password(settings) == "postgres://p"


@pytest.mark.parametrize("name", ["PGDATABASE", "PGHOSTADDR", "PGSERVICE"])
def test_what_is_left_out_for_libpq_s_variables_names_the_one_that_makes_them_a_source(name: str) -> None:
    environ = {
        name: "10.0.0.1",
        "PGPORT": "1",
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PGSERVICEFILE": "/services",
    }
    settings = read({**environ, "DB_HOST": "other"}, {"/services": "[10.0.0.1]\nhost=h"})

    assert settings.notices == (f"DB_HOST is ignored: {name} is set",)
    assert settings.origins["target"].startswith(f"{name}, PGPORT, PGUSER")
