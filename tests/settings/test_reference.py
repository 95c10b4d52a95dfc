"""docs/settings.md says what the code does, in both directions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgready.core import dsn_parameters
from pgready.settings import family
from pgready.settings.catalogue import CATALOGUE, OTHER_VARIABLES

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables below *heading*, without their heads."""
    section = re.split(r"^#+ ", PAGE.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    lines = [line.strip("|") for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [row for row in cells if not set("".join(row)) <= set("-| ") and row[0].startswith("`")]


def code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_every_setting_is_documented_as_it_is() -> None:
    documented = [tuple(row) for row in rows("Reference")]

    assert documented == [
        (
            code(setting.flag),
            code(setting.variable, *setting.also),
            code(setting.name),
            "none" if setting.default is None else code(setting.default),
            setting.meaning,
        )
        for setting in CATALOGUE
    ]


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("Variables that are no settings", OTHER_VARIABLES),
        ("Parameters that are dropped with a note", dsn_parameters.DROPPED),
        ("Parameters that are refused", dsn_parameters.REFUSED),
    ],
)
def test_every_name_is_documented_with_its_reason(heading: str, table: dict[str, str]) -> None:
    assert dict(rows(heading)) == {code(name): why for name, why in table.items()}


def test_the_names_of_the_family_are_documented_as_they_are_read() -> None:
    expected = {code(parameter): code(*names) for parameter, names in family.NAMES.items()}

    assert dict(rows("The family of `DB_HOST` and `POSTGRES_USER`")) == expected


def test_libpq_s_variables_are_documented_as_they_are_read() -> None:
    expected = {code(name): code(parameter) for name, parameter in dsn_parameters.VARIABLES.items()}

    assert dict(rows("libpq's variables")) == expected


def test_values_that_change_nothing_are_documented() -> None:
    expected = {code(name): code(*values) for name, values in dsn_parameters.ONLY.items()}

    assert dict(rows("Parameters that pass with these values only")) == expected


def test_parameters_that_are_kept_and_their_second_names_are_documented() -> None:
    documented = [name for row in rows("Parameters that are kept") for name in re.findall(r"`(\w+)`", row[0])]

    assert sorted(documented) == sorted([*dsn_parameters.MEANT, *dsn_parameters.ALIASES])


def test_server_settings_are_documented() -> None:
    sentence = PAGE.partition("Sent to the server as settings: ")[2].partition(", and any")[0]

    assert sentence == code(*sorted(dsn_parameters.SERVER_SETTINGS))
