"""Events as log lines."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from pgready.commands.eventlog import log_events
from pgready.core.events import Planned
from pgready.core.planning import Finding, Plan, Severity


def test_a_finding_about_the_folder_as_a_whole_names_no_version() -> None:
    plan = Plan(
        (),
        (
            Finding(Severity.WARNING, "", None, "two tools could have written this folder"),
            Finding(Severity.WARNING, "0007", None, "is missing", hint="pgready repair 0007"),
        ),
    )

    with capture_logs() as lines:
        log_events(structlog.get_logger(), "info")(Planned(plan, False, "native", ()))

    assert [line for line in lines if line["event"] == "plan.finding"] == [
        {
            "event": "plan.finding",
            "log_level": "warning",
            "message": "two tools could have written this folder",
        },
        {
            "event": "plan.finding",
            "log_level": "warning",
            "version": "0007",
            "message": "is missing",
            "hint": "pgready repair 0007",
        },
    ]
