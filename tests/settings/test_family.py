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
