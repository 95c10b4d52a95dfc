"""docs/commands.md and docs/events.md say what the code does, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pgready.commands import eventlog, main
from pgready.commands import healthcheck as healthcheck_command
from pgready.core import events
from pgready.settings import CATALOGUE

DOCS = Path(__file__).parents[2] / "docs"
SOURCES = sorted((Path(__file__).parents[2] / "app" / "pgready").rglob("*.py"))
COMMANDS = (DOCS / "commands.md").read_text()
EVENTS = (DOCS / "events.md").read_text()
OWN_HELP = {"healthcheck"}
"""Commands that are no click command, for speed: their help is text."""


def rows(section: str) -> list[list[str]]:
    """The cells of each row of the tables in *section*, without their heads."""
    lines = [line for line in section.splitlines() if re.match(r"\| `", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def chapter(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def own_options(name: str) -> dict[str, str]:
    """The options of a command that are no settings, with their default as text."""
    if name in OWN_HELP:
        return dict.fromkeys(re.findall(r"\[(--[a-z]+)", healthcheck_command.HELP), "")
    command = main.pgready.get_command(click.Context(main.pgready), name)
    assert command is not None
    settings = {setting.flag for setting in CATALOGUE}
    options = (each for each in command.params if isinstance(each, click.Option))
    return {
        option.opts[0]: option.default if isinstance(option.default, str) and option.show_default else ""
        for option in options
        if option.opts[0] not in settings
    }


def test_every_command_has_a_chapter_and_every_chapter_a_command() -> None:
    chapters = re.findall("^## pgready (.*)$", COMMANDS, re.MULTILINE)

    assert sorted(chapters) == sorted(main.pgready.list_commands(click.Context(main.pgready)))


@pytest.mark.parametrize("name", main.pgready.list_commands(click.Context(main.pgready)))
def test_the_options_of_a_command_are_documented_as_they_are(name: str) -> None:
    documented = {
        option.strip("`"): default for option, default, *_ in rows(chapter(COMMANDS, f"pgready {name}"))
    }
    declared = own_options(name)

    assert documented.keys() == declared.keys()
    assert {option: documented[option] for option, default in declared.items() if default} == {
        option: default for option, default in declared.items() if default
    }


@pytest.mark.parametrize(
    "name", [name for name in main.pgready.list_commands(click.Context(main.pgready)) if name not in OWN_HELP]
)
def test_every_setting_is_an_option_of_every_command(name: str) -> None:
    command = main.pgready.get_command(click.Context(main.pgready), name)

    assert command is not None
    assert {setting.flag for setting in CATALOGUE} <= {option.opts[0] for option in command.params}


def all_events(base: type[events.Event] = events.Event) -> Iterator[type[events.Event]]:
    for event in base.__subclasses__():
        yield event
        yield from all_events(event)


def test_events_are_documented_with_their_levels_and_fields() -> None:
    documented = {
        name.strip("`"): (level, tuple(re.findall("`(.*?)`", fields)))
        for name, level, fields, _ in rows(chapter(EVENTS, "Of a run"))
    }

    assert documented == {
        str(event.__struct_config__.tag): (eventlog.level_of(event), event.__struct_fields__)
        for event in all_events()
    }


@pytest.mark.parametrize("event", [event.__name__ for event in all_events()])
def test_every_event_is_told_by_somebody(event: str) -> None:
    told = re.compile(rf"(?<!case )(?<!class )\b(events\.)?{event}\(")

    assert any(told.search(path.read_text()) for path in SOURCES if path.name != "status.py")


def test_what_only_the_log_says_is_documented() -> None:
    written = {
        (name, level)
        for path in SOURCES
        for level, name in re.findall(
            r"\b_?log(?:\(\))?\.(info|warning|error)\(\s*\"([a-z.]+)\"", path.read_text()
        )
    }

    assert {
        (name.strip("`"), level) for name, level, *_ in rows(chapter(EVENTS, "Of the log alone"))
    } == written
