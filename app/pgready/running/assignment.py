"""All that a run needs to be told, as one value."""

from __future__ import annotations

from msgspec import Struct

from pgready.core.bootstrap import Declared
from pgready.core.dsn import Dsn
from pgready.core.errors import AccessDenied, PgreadyError
from pgready.core.patience import Patience
from pgready.core.planning import Policies

_OF_A_LOGIN = frozenset({"28P01", "28000", "08P01"})  # the last is PgBouncer's


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

    def may_lack_its_role(self, error: PgreadyError) -> bool:
        """Whether bootstrap may cure this refusal: to a role that is not there yet the server says the same
        as to a wrong password, and an admin is to create it."""
        declared = self.admin is not None and self.target.user in {role.name for role in self.declared.roles}
        return declared and isinstance(error, AccessDenied) and error.sqlstate in _OF_A_LOGIN
