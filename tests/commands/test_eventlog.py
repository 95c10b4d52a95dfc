"""Events as log lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import CapturingLogger

from pgready.commands.eventlog import log_events
from pgready.core.events import Connected, ConnectFailed, DatabaseBack, Event, Planned
from pgready.core.planning import Finding, Flag, Plan, Severity


def test_a_finding_about_the_folder_as_a_whole_names_no_version() -> None:
    plan = Plan(
        (),
        (
            Finding(Severity.WARNING, "", None, "two tools could have written this folder"),
            Finding(Severity.WARNING, "0007", None, "is missing", hint="pgready repair 0007"),
        ),
    )

    log = CapturingLogger()
    log_events(log, "info")(Planned(plan, False, "native", ()), datetime(2026, 11, 30, 5, 8, 1, 47704, UTC))

    assert {call.kwargs.pop("timestamp") for call in log.calls} == {"2026-11-30T05:08:01.047704Z"}
    assert [call.kwargs for call in log.calls if call.args == ("plan.finding",)] == [
        {"message": "two tools could have written this folder"},
        {"version": "0007", "message": "is missing", "hint": "pgready repair 0007"},
    ]


def test_what_only_the_look_under_the_lock_has_found_is_told_too_and_nothing_twice() -> None:
    first = Finding(Severity.WARNING, "0001", None, "is out of order")
    second = Finding(Severity.WARNING, "0002", None, "holds no statement")
    log = CapturingLogger()
    tell, now = log_events(log, "info"), datetime(2026, 11, 30, tzinfo=UTC)

    tell(Planned(Plan((), (first,)), False, "native", ()), now)
    tell(Planned(Plan((), (first, second)), True, "native", ()), now)

    told = [call.kwargs["message"] for call in log.calls if call.args == ("plan.finding",)]
    assert told == ["is out of order", "holds no statement"]


def levels(*happened: Event, seconds_apart: float) -> list[str]:
    """The level at which each of *happened* is told, where everything is."""
    log = CapturingLogger()
    write = log_events(log, "debug")
    for number, event in enumerate(happened):
        write(event, datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=number * seconds_apart))
    return [call.method_name for call in log.calls]


def test_attempts_that_fail_for_one_reason_are_told_once_a_minute() -> None:
    failed = [ConnectFailed(number, "refused", 5.0) for number in range(1, 15)]

    told = levels(*failed, seconds_apart=5)

    assert [number for number, level in enumerate(told) if level == "warning"] == [0, 12]
    assert set(told) == {"warning", "debug"}


@pytest.mark.parametrize(
    "news",
    [
        ConnectFailed(2, "wrong password", 5.0),
        ConnectFailed(2, "refused", None),
        Connected(2, "18.1", "app", "app", False),
        DatabaseBack(5.0),
    ],
    ids=["another reason", "the last one", "connected", "back"],
)
def test_an_attempt_is_told_that_fails_behind_what_was_news(news: Event) -> None:
    told = levels(ConnectFailed(1, "refused", 5.0), news, ConnectFailed(3, "refused", 5.0), seconds_apart=1)

    assert told[1] in ("warning", "info")
    assert told[2] == ("debug" if news == ConnectFailed(2, "refused", None) else "warning")


def test_of_many_findings_of_a_kind_the_log_has_ten_and_how_many_more() -> None:
    newer = [Finding(Severity.WARNING, str(n), Flag.AHEAD, f"{n}: newer") for n in range(2991)]
    odd = [Finding(Severity.WARNING, "", None, f"odd {n}") for n in range(12)]
    log = CapturingLogger()

    log_events(log, "info")(Planned(Plan((), (*newer, *odd)), False), datetime(2026, 11, 30, tzinfo=UTC))

    told = [call.kwargs["message"] for call in log.calls if call.args == ("plan.finding",)]
    assert told == [
        *(f"{n}: newer" for n in range(10)),
        "and 2981 more ahead; pgready status has them all",
        *(f"odd {n}" for n in range(10)),
        "and 2 more; pgready status has them all",
    ]
