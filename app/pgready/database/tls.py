"""Whether and how a connection is encrypted: the driver's words for a Dsn's, or contexts of our own.

For `allow` and `prefer` the driver is given the mode by name, which saves a connection to a server without
TLS. Two things it then takes from the environment alone: a certificate, and the versions of TLS. Where the
address has a certificate, or the environment would meddle, it is given contexts, and the two ways of the mode
are two attempts.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import asyncpg

from pgready.core.dsn import Dsn

_MEDDLE = ("PGSSLCERT", "PGSSLKEY", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION")

Way = ssl.SSLContext | str | bool
"""What `asyncpg.connect` takes for `ssl`; False is without TLS."""


def ways(dsn: Dsn, environ: Mapping[str, str]) -> tuple[Way, ...]:
    """The ways to connect to *dsn*'s one host, in the order of libpq's sslmode; the second one is for what is
    `worth_another`. A socket is never encrypted.

    Raises OSError for a file that is not there, or holds something else.
    """
    if dsn.sslmode == "disable" or dsn.hosts[0][0].startswith("/"):
        return (False,)
    if dsn.sslmode not in ("allow", "prefer"):
        return (_context(dsn),)
    if not dsn.sslcert and not any(name in environ for name in _MEDDLE):
        return (dsn.sslmode,)
    return (False, _context(dsn)) if dsn.sslmode == "allow" else (_context(dsn), False)


def worth_another(problem: Exception) -> bool:
    """Whether the other way may do, now that one has failed: not where nobody listens or answers at all."""
    if isinstance(problem, asyncpg.PostgresError):
        dropped = isinstance(problem, asyncpg.ConnectionDoesNotExistError)
        return dropped or (problem.sqlstate or "").startswith("28")
    return isinstance(problem, ssl.SSLError | ConnectionError) and not isinstance(
        problem, ConnectionRefusedError
    )


def more_telling(first: Exception, second: Exception) -> Exception:
    """Which of two ways' failures to tell: a wrong password rather than that pg_hba.conf has no line for the
    other way, and what a server says rather than that TLS failed."""
    return max(second, first, key=_weight)


def _weight(problem: Exception) -> int:
    if not isinstance(problem, asyncpg.PostgresError):
        return 0
    if isinstance(problem, asyncpg.ConnectionDoesNotExistError):
        return 0
    return {"28000": 1, "28P01": 2}.get(problem.sqlstate or "", 3)


def _context(dsn: Dsn) -> ssl.SSLContext:
    verifies = dsn.sslmode.startswith("verify") or (dsn.sslmode == "require" and dsn.sslrootcert)
    if verifies and dsn.sslrootcert in (None, "system"):
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = dsn.sslmode == "verify-full"
    if not verifies:
        context.verify_mode = ssl.CERT_NONE
    elif dsn.sslrootcert and dsn.sslrootcert != "system":
        context.load_verify_locations(cafile=dsn.sslrootcert)
    if dsn.sslcert:
        # An empty passphrase, lest OpenSSL ask the terminal for one.
        context.load_cert_chain(dsn.sslcert, keyfile=dsn.sslkey, password="")
    return context
