"""How long a run tries what trying again may cure."""

from __future__ import annotations

from msgspec import Struct


class Patience(Struct, frozen=True):
    """How long to try what trying again may cure.

    *connect_seconds* is the total for reaching the server, counted anew from each loss;
    *relation_lock_seconds* the budget of one segment's lock timeouts; *reconnects* how many losses in a
    row, without any progress between them, are endured.
    """

    connect_seconds: float = 60.0
    lock_seconds: float = 600.0
    relation_lock_seconds: float = 600.0
    deadlock_timeout_ms: int = 1000
    reconnects: int = 5
