"""Whether two connections lead to one server, proven without any right.

An advisory lock with a key of chance is held on one and looked for on the other, in `pg_locks`, which every
role may read. Addresses, ports, start times and the system's identifier prove nothing: a proxy hides them, a
copy of a machine has the same ones.
"""

from __future__ import annotations

import secrets

from pgready.core.quoting import exact, fill
from pgready.database.session import Session

# For the transaction only, which keeps a pooler on one backend too.
_HOLD = "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(:first, :second)"
_HELD = exact(
    """
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_locks AS l
  WHERE l.locktype = 'advisory' AND l.objsubid = 2
    AND l.classid = $1::pg_catalog.oid
    AND l.objid = $2::pg_catalog.oid)
"""
)
_KEY_BITS = 31


async def are_on_one_server(one: Session, other: Session) -> bool:
    """Whether *one*, which is in no transaction, and *other* have the same server behind them."""
    first, second = secrets.randbits(_KEY_BITS), secrets.randbits(_KEY_BITS)
    async with one.rolled_back_on_failure():
        await one.execute(fill(_HOLD, first=first, second=second))
        held: bool = await other.fetchval(_HELD, first, second)
        await one.execute("ROLLBACK")
    return held
