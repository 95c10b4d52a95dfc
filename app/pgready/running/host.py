"""Who we are to others: in the history, in `pg_stat_activity`, to whoever waits for our lock."""

from __future__ import annotations

import os
import socket

_LONGEST_NAME = 63  # the server cuts an application_name there


def host_name() -> str:
    """This host or, in Kubernetes, this pod."""
    return os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()


def application_name(applied_by: str) -> str:
    """What a connection of the run by *applied_by* (see `host_name`) calls itself."""
    return f"pgready {applied_by}"[:_LONGEST_NAME]
