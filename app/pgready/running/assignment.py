"""All that a run needs to be told, as one value."""

from __future__ import annotations

from msgspec import Struct

from pgready.core.bootstrap import Declared
from pgready.core.dsn import Dsn
from pgready.core.patience import Patience
from pgready.core.planning import Policies


class Assignment(Struct, frozen=True):
    """Target, admin and declaration, and the patience for each of them; *applied_by* is this host or pod."""

    target: Dsn
    admin: Dsn | None
    declared: Declared
    policies: Policies
    patience: Patience
    vouched_pooler: bool
    statement_timeout_ms: int
    applied_by: str
    pgready_version: str
