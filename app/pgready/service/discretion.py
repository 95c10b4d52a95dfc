"""What of an event goes to whoever can reach the port.

The detail of a failure holds rows' values: those that a check returned, those that the server quotes in its
DETAIL (`Key (email)=(…) already exists`). The command line, the log and the termination log have it.
"""

from __future__ import annotations

from msgspec.structs import replace

from pgready.core.events import Event, RunFailed

LEFT_OUT = "it may hold data: the log has it, and PGREADY_SHOW_SQL=true shows it here"


def discreet(event: Event) -> Event:
    """*event* with LEFT_OUT in the place of a failure's detail."""
    if isinstance(event, RunFailed) and event.detail:
        return replace(event, detail=LEFT_OUT)
    return event
