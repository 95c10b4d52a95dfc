"""Connecting once: a Dsn in, a Session out, or the reason why not in terms that `core.run` decides on.

Retrying belongs to `core.run`; this module only tells what is worth it. Retried: refused, reset, DNS
failure, timeouts, 57P03 (starting up), 53300 (too many connections), 08xxx, a standby where a primary is
needed. Not retried: wrong password or user, TLS and configuration errors. 3D000 means "create it".

Of several hosts each has a time of its own, as in libpq: the driver spends one on all of them, so that the
first that is silent costs the others their turn. What is worth trying again is worth trying at the next one.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
from typing import Any

import anyio
import asyncpg
from msgspec.structs import replace

from pgready.core.dsn import Dsn
from pgready.core.errors import AccessDenied, DatabaseMissing, PgreadyError, SettingsError, Unreachable
from pgready.core.quoting import identifier
from pgready.database import tls
from pgready.database.session import START_SETTINGS, Identity, Pooling, Session, identify

ATTEMPT_SECONDS = 10.0
"""How long one attempt may take; the total deadline is the caller's."""

_TRANSIENT_CODES = frozenset({"57P03", "57P01", "57P02", "53300", "53400"})
_OF_THE_SERVER = frozenset({"", "08", "53", "57", "58", "XX"})
"""Classes of refusals that are the server's own trouble, or a pooler's: nothing to ask for otherwise."""
_WHATEVER_IS_SAID = frozenset({"08", "28", "3D", "53", "57"})
"""Classes of refusals that have nothing to do with parameters: connection, password, database, full, down."""

_LOGIN_REFUSED = re.compile("authentication failed|login rejected|no such user")
"""What a PgBouncer says that does not let the user in, under the code that it has for everything, 08P01."""


def attempt_seconds(dsn: Dsn, left_seconds: float) -> float:
    """How long one attempt may take at each host of *dsn* where *left_seconds* are left for all attempts."""
    share = left_seconds / len(_in_turn(dsn))  # one that is silent must leave the others their turn
    return min(dsn.connect_timeout_seconds or ATTEMPT_SECONDS, max(1.0, share))


class CannotConnect(Exception):
    """One attempt failed. *error* is what to tell when it was the last; no secret is in it. *silent*: nothing
    was said at all, so that an earlier attempt may tell more."""

    def __init__(
        self,
        error: PgreadyError,
        *,
        transient: bool = False,
        missing_database: bool = False,
        silent: bool = False,
    ) -> None:
        super().__init__(error.what)
        self.error = error
        self.transient = transient
        self.missing_database = missing_database
        self.silent = silent

    @property
    def final(self) -> bool:
        """Whether another host has nothing better to say: a server has refused us for good."""
        return not self.transient and self.error.sqlstate is not None


async def open_session(
    dsn: Dsn,
    *,
    application_name: str,
    vouched_pooler: bool = False,
    timeout_seconds: float = ATTEMPT_SECONDS,
) -> Session:
    """Connect once to the first of *dsn*'s hosts that will do; each has *timeout_seconds*.
    Raises CannotConnect."""
    refusals: list[tuple[Dsn, CannotConnect]] = []
    for host in _in_turn(dsn):
        try:
            connection, identity = await _open(host, application_name, timeout_seconds)
        except CannotConnect as refused:
            if refused.final:
                raise
            refusals.append((host, refused))
            continue
        pooled = connection.get_server_pid() != identity.pid
        pooling = Pooling.DIRECT
        if pooled:
            pooling = Pooling.SESSION if vouched_pooler else Pooling.UNPROVEN
        return Session(connection, dsn, identity, pooling)
    raise _none_would_do(dsn, refusals)


def _in_turn(dsn: Dsn) -> list[Dsn]:
    """The hosts in the order in which they are tried: where a standby is preferred, all come again."""
    if dsn.target_session_attrs != "prefer-standby":
        return list(dsn.each_host)
    return [replace(host, target_session_attrs=kind) for kind in ("standby", "any") for host in dsn.each_host]


async def _open(
    host: Dsn, application_name: str, timeout_seconds: float
) -> tuple[asyncpg.Connection[Any], Identity]:
    """A connection to *host*, and who is behind it. Raises CannotConnect."""
    arguments, ways = connect_arguments(host, application_name), _ways(host)
    connection: asyncpg.Connection[Any] | None = None
    try:
        with anyio.fail_after(timeout_seconds):
            connection = await _connect_either_way(arguments, ways)
            # A pooler lets us in, and then keeps the first query waiting until it has a backend for it.
            return connection, await identify(connection)
    except BaseException as problem:  # a cancellation, too, must not leave the backend to the collector
        if connection is not None:
            connection.terminate()
        if not isinstance(problem, Exception):
            raise
        raise _why(host, problem) from problem


async def _connect_either_way(
    arguments: dict[str, Any], ways: tuple[tls.Way, ...]
) -> asyncpg.Connection[Any]:
    first, *others = ways
    try:
        return await _connect({**arguments, "ssl": first})
    except Exception as problem:
        if not others or not tls.worth_another(problem):
            raise
        refused = problem
    try:
        return await _connect({**arguments, "ssl": others[0]})
    except Exception as problem:
        raise tls.more_telling(refused, problem) from None


async def _connect(arguments: dict[str, Any]) -> asyncpg.Connection[Any]:
    """Connect with START_SETTINGS, or without them to whoever refuses such parameters, as poolers do."""
    started = {**arguments, "server_settings": {**START_SETTINGS, **arguments["server_settings"]}}
    connection: asyncpg.Connection[Any]
    try:
        connection = await asyncpg.connect(**started)
    except asyncpg.PostgresError as problem:
        # Poolers have codes of their own for it; PgBouncer's is also that of a wrong password.
        if (problem.sqlstate or "")[:2] in _WHATEVER_IS_SAID and "startup parameter" not in str(problem):
            raise
        connection = await asyncpg.connect(**arguments)
    return connection


def _none_would_do(dsn: Dsn, refusals: list[tuple[Dsn, CannotConnect]]) -> CannotConnect:
    """Why no host of *dsn* would do: what all of them say, or what each of them says."""
    lasting = [refused for _, refused in refusals if not refused.transient]
    if len(lasting) == len(refusals):
        return lasting[0]
    reasons = {host.places: refused.error.what.removeprefix(f"{host.masked}: ") for host, refused in refusals}
    said = set(reasons.values())
    text = said.pop() if len(said) == 1 else "; ".join(f"{place}: {why}" for place, why in reasons.items())
    sqlstate = next((refused.error.sqlstate for _, refused in refusals if refused.error.sqlstate), None)
    silent = all(refused.silent for _, refused in refusals)
    return CannotConnect(
        Unreachable(f"{dsn.masked}: {text}", sqlstate=sqlstate), transient=True, silent=silent
    )


def connect_arguments(dsn: Dsn, application_name: str) -> dict[str, Any]:
    """What `asyncpg.connect` takes for *dsn*; everything is said, so that it reads no environment, but for
    what `tls.ways` says. The time is the caller's."""
    settings = {"application_name": dsn.application_name or application_name, **dsn.server_settings}
    return {
        "host": [host for host, _ in dsn.hosts],
        "port": [port for _, port in dsn.hosts],
        "user": dsn.user,
        "password": dsn.password.reveal() if dsn.password else "",
        "database": dsn.database,
        "statement_cache_size": 0,  # prepared statements and poolers do not mix (FIELD-NOTES 9)
        "server_settings": settings,
        "target_session_attrs": dsn.target_session_attrs or "any",
        "timeout": None,
        # What the driver would take from PGSSLNEGOTIATION, PGKRBSRVNAME and PGGSSLIB.
        "direct_tls": False,
        "krbsrvname": "postgres",
        "gsslib": "gssapi",
    }


def _ways(host: Dsn) -> tuple[tls.Way, ...]:
    try:
        return tls.ways(host, os.environ)
    except OSError as problem:
        files = ", ".join(name for name in ("sslrootcert", "sslcert", "sslkey") if getattr(host, name))
        why = f"{host.masked}: {files} cannot be used: {_plain(problem)}"
        raise CannotConnect(SettingsError((why,))) from problem


def _why(dsn: Dsn, problem: Exception) -> CannotConnect:
    where = dsn.masked
    if isinstance(problem, asyncpg.PostgresError):
        return _why_server(dsn, problem)
    if isinstance(problem, ssl.SSLError):
        return CannotConnect(
            SettingsError(
                (f"{where}: TLS failed: {problem.reason or problem}",), hint="check sslmode and sslrootcert"
            )
        )
    if isinstance(problem, TimeoutError):
        return CannotConnect(Unreachable(f"{where}: no answer in time"), transient=True, silent=True)
    if isinstance(problem, ConnectionError) and "SSL upgrade" in str(problem):
        return CannotConnect(
            SettingsError(
                (f"{where}: the server does not speak TLS",), hint="sslmode=prefer or sslmode=disable"
            )
        )
    if isinstance(problem, OSError):
        return CannotConnect(Unreachable(f"{where}: {_plain(problem)}"), transient=True)
    if isinstance(problem, asyncpg.exceptions.TargetServerAttributeNotMatched):
        return CannotConnect(
            Unreachable(f"{where}: the server is not {dsn.target_session_attrs}"), transient=True
        )
    if isinstance(problem, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return CannotConnect(Unreachable(f"{where}: {type(problem).__name__}"), transient=True)
    return CannotConnect(PgreadyError(f"{where}: cannot connect ({type(problem).__name__})"))


def _why_server(dsn: Dsn, problem: asyncpg.PostgresError) -> CannotConnect:
    code = problem.sqlstate or ""
    said = str(problem.args[0] if problem.args else code)
    text = f"{dsn.masked}: {said}"
    # PgBouncer passes on the words of the server that it asked, under a code of its own.
    if code == "3D000" or (code == "08P01" and f'database "{dsn.database}" does not exist' in text):
        hint = "pgready up creates it, where the role may, or that of PGREADY_ADMIN_DATABASE_URL"
        return CannotConnect(DatabaseMissing(text, sqlstate=code, hint=hint), missing_database=True)
    if code.startswith("28") or (code == "08P01" and _LOGIN_REFUSED.search(said)):
        hint = "check the user, the password and pg_hba.conf"
        if dsn.password is None:
            hint = "no password was configured: set PGPASSWORD, POSTGRES_PASSWORD or put it in the URL"
        return CannotConnect(AccessDenied(text, sqlstate=code, hint=hint))
    if code == "42501":
        hint = f"GRANT CONNECT ON DATABASE {identifier(dsn.database)} TO {identifier(dsn.user)}"
        if dsn.database not in text.removeprefix(dsn.masked):  # of a parameter that not everybody may set
            hint = "grant it to the role, or leave it out of the address's options"
        return CannotConnect(AccessDenied(text, sqlstate=code, hint=hint))
    if code[:2] in _OF_THE_SERVER:
        transient = code in _TRANSIENT_CODES or code.startswith("08")
        return CannotConnect(Unreachable(text, sqlstate=code), transient=transient)
    hint = "the server refuses what the address asks for: check its options and parameters"
    if code == "55000":
        hint = problem.hint or f"ALTER DATABASE {identifier(dsn.database)} ALLOW_CONNECTIONS true"
    return CannotConnect(SettingsError((text,), sqlstate=code, hint=hint))


def _plain(problem: OSError) -> str:
    """The operating system's words: asyncio puts its own, with a tuple of addresses, in their place, and
    the numbers of several attempts into one text."""
    numbers = (
        [problem.errno] if problem.errno else [int(n) for n in re.findall(r"\[Errno (\d+)\]", str(problem))]
    )
    known = dict.fromkeys(os.strerror(number) for number in numbers if number in errno.errorcode)
    return "; ".join(known) or problem.strerror or str(problem) or type(problem).__name__
