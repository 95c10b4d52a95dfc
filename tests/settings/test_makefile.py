"""`make run` takes a database for configured where the settings do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pgready.core.dsn_parameters import VARIABLES
from pgready.core.errors import SettingsError
from pgready.settings import load
from pgready.settings.family import NAMES

CHECKOUT = Path(__file__).parents[2]
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
URLS = ("PGREADY_DATABASE_URL", "MIGRATION_DATABASE_URL", "DATABASE_URL", "PGREADY_ADMIN_DATABASE_URL")
FAMILY = tuple(name for names in NAMES.values() for name in names)
LIBPQ = (*VARIABLES, "PGSERVICE", "PGSERVICEFILE", "PGPASSFILE")
FORMS = (
    "{}=1",
    "export {}=1",
    "  {} = '1'",
    '\texport  {}="1"',
    "{}_FILE=/1",
    "{}=",
    '{}=""',
    "#{}=1",
    "X{}=1",
)


def pattern() -> str:
    """What the Makefile looks for, its variables replaced."""
    variables: dict[str, str] = {}
    for name, value in re.findall(r"^(SOURCES|CONFIGURED) := (.*)$", MAKEFILE, flags=re.MULTILINE):
        variables[name] = re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], value)
    return variables["CONFIGURED"]


def found(lines: list[str]) -> list[str]:
    """Those of *lines* that the Makefile takes for a configured database."""
    grep = subprocess.run(
        ["grep", "-E", pattern()], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    return grep.stdout.splitlines()


def configures(line: str) -> bool:
    """Whether the settings take *line* of `.env` for a connection, be it one that cannot be used."""
    try:
        return load({}, {}, {".env": line, "/1": "1"}.get).target is not None
    except SettingsError as error:
        return not any("ADMIN" in problem for problem in error.problems)


@pytest.mark.parametrize("form", FORMS)
def test_it_looks_for_what_the_settings_take_for_a_configured_database(form: str) -> None:
    lines = [form.format(name) for name in (*URLS, *LIBPQ, *FAMILY)]

    assert found(lines) == [line for line in lines if configures(line)]
    assert bool(found(lines)) is (form in FORMS[:5])


def test_its_recipe_hands_the_pattern_on_as_it_is() -> None:
    make = ["make", "-n", "-o", "install", "run"]
    shown = subprocess.run(make, cwd=CHECKOUT, capture_output=True, text=True, check=True)

    quoted = pattern().replace("'", "'\\''")
    assert f"grep -qE '{quoted}'" in shown.stdout
