"""The next command in a hint can be typed as it is printed."""

from __future__ import annotations

import pytest

from pgready.commands.hints import completed, completed_status
from pgready.core.status import Status
from pgready.settings import load

NO_FILE = {"DATABASE_URL": "postgresql://app@localhost/app"}


def nothing_to_read(path: str) -> str | None:
    return None


@pytest.mark.parametrize(
    ("hint", "complete"),
    [
        ("mend it, then: pgready up", "mend it, then: pgready up --dir db"),
        ("look, then: pgready down --all", "look, then: pgready down --all --dir db"),
        ("pgready repair 1; pgready repair 2", "pgready repair 1 --dir db; pgready repair 2 --dir db"),
        ("pgready repair 'a view' --done", "pgready repair 'a view' --dir db --done"),
        ("pgready up, with another folder", "pgready up, with another folder"),
        ("pgready down --to 12, and so on", "pgready down --to 12 --dir db, and so on"),
        ("pgready repair 12, and so on", "pgready repair 12 --dir db, and so on"),
    ],
)
def test_a_command_in_a_hint_says_what_was_said_of_the_folder(hint: str, complete: str) -> None:
    settings = load({"dir": "db"}, NO_FILE, nothing_to_read)

    assert completed(hint, settings) == complete


def test_what_the_environment_says_need_not_be_said_again() -> None:
    settings = load({}, {**NO_FILE, "PGREADY_DIR": "db"}, nothing_to_read)

    assert completed("pgready up", settings) == "pgready up"


def test_a_value_that_a_shell_would_split_is_quoted() -> None:
    settings = load({"dir": "my db", "namespace": "shop"}, NO_FILE, nothing_to_read)

    assert completed("pgready up", settings) == "pgready up --dir 'my db' --namespace shop"


def test_what_a_status_warns_of_has_commands_that_can_be_typed_as_well() -> None:
    settings = load({"dir": "db"}, NO_FILE, nothing_to_read)
    status = Status(errors=("1: changed; pgready repair 1",), warnings=("2: newer; pgready repair 2 --gone",))

    told = completed_status(status, settings)

    assert told.errors == ("1: changed; pgready repair 1 --dir db",)
    assert told.warnings == ("2: newer; pgready repair 2 --dir db --gone",)
