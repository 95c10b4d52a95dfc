"""One connection to PostgreSQL and what we know about it.

Everything that must reach the server on the way out (ROLLBACK, close) is shielded and bounded here, and
nowhere else: under anyio cancellation the driver's own context managers lose their ROLLBACK, and an
unshielded close leaves backend, statement and advisory lock alive (FIELD-NOTES 2, 3).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, TypeVar

import anyio
import asyncpg
import msgspec
from msgspec import Struct

from pgready.core.dsn import Dsn
from pgready.core.quoting import Name, Sql, fill
from pgready.database.wire import Reply, wired

GRACE_SECONDS = 3.0
_STOP_AGAIN_SECONDS = 0.05
"""How long a farewell (ROLLBACK, unlock, close) may take before the connection is dropped hard."""

LOOK_LOCK_MS = 1000
"""How long a look waits for a history that somebody locks; who else waits for a table says how long."""

OWN_SETTINGS = (
    ("standard_conforming_strings", "on", 0),
    ("lock_timeout", f"{LOOK_LOCK_MS}ms", 0),
    ("idle_in_transaction_session_timeout", "0", 0),
    ("idle_session_timeout", "0", 0),
    ("transaction_timeout", "0", 17),
)
"""Name, value and the first major version that knows it: set before anything is changed, and again after
each script, whose reset undoes them."""

_WITNESS, _WITNESSED = "client_connection_check_interval", "1001ms"

START_SETTINGS = {
    _WITNESS: _WITNESSED,
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""They make the server notice within seconds that we died, and so free the lock (SAFETY 4).

A server that is given them as it lets us in comes back to them at RESET ALL; setting them after each script
would cost more than all else that is set there. A pooler may refuse start-up parameters, or drop them
without a word: then they are set like the others. An interval that nobody else asks for tells which it is."""

PROGRESS_MARKER = " \t \t\t\t \t "
"""In the text of the notices that `execute` provokes to learn how far a script is."""

_STATEMENT_POOLING = "statement pooling mode"
"""In the words with which PgBouncer ends a connection at its BEGIN."""

_NO_TRANSACTION = "25P01"
"""The warning of our own ROLLBACK after a message of which nothing ran."""

_IDENTIFY = """
SELECT pg_catalog.pg_backend_pid() AS pid,
       pg_catalog.current_setting('server_version_num')::int AS version_num,
       pg_catalog.current_setting('server_version') AS version,
       pg_catalog.current_database() AS database,
       coalesce(pg_catalog.current_schema()::pg_catalog.text, 'public') AS schema,
       current_user::pg_catalog.text AS "user",
       coalesce(pg_catalog.current_setting(:witness, true) OPERATOR(pg_catalog.=) :witnessed, false)
         AS start_settings_kept,
       CASE WHEN pg_catalog.current_setting(:witness, true) OPERATOR(pg_catalog.=) :witnessed
         THEN pg_catalog.set_config('lock_timeout', :look_lock, false) END AS look_lock,
       (extract(epoch FROM pg_catalog.current_setting('deadlock_timeout')::interval)
         OPERATOR(pg_catalog.*) 1000)::int AS deadlock_timeout_ms
"""

_AS_JSON = "SELECT pg_catalog.row_to_json(r) FROM (:query) AS r"

_Row = TypeVar("_Row", bound=Struct)


class Identity(Struct, frozen=True):
    """Who and where we are on the server."""

    pid: int
    version_num: int
    version: str
    database: str
    schema: str
    user: str
    start_settings_kept: bool
    deadlock_timeout_ms: int


class Pooling(Enum):
    """What stands between us and the server, as far as it is proven (FIELD-NOTES 12)."""

    DIRECT = "direct"
    UNPROVEN = "a pooler of unproven mode"
    SESSION = "a session pooler, vouched for"
    TRANSACTION = "a transaction pooler"


class Session:
    """A connection with its identity. Made by `database.connect.open_session`."""

    def __init__(
        self,
        connection: asyncpg.Connection[Any],
        dsn: Dsn,
        identity: Identity,
        pooling: Pooling,
    ) -> None:
        self.connection = connection
        self.dsn = dsn
        self.backend_pid = identity.pid
        self.server_version_num = identity.version_num
        self.server_version = identity.version
        self.database = identity.database
        self.schema = identity.schema
        self.user = identity.user
        self.deadlock_timeout_ms = identity.deadlock_timeout_ms
        self.pooling = pooling
        self._start_settings_kept = identity.start_settings_kept and pooling is Pooling.DIRECT
        self._wire = wired(connection)
        self._own_settings: dict[int, tuple[str, ...]] = {}

    @property
    def server_major(self) -> int:
        return self.server_version_num // 10_000

    @property
    def closed(self) -> bool:
        return self.connection.is_closed()

    @property
    def counts_bytes(self) -> bool:
        """Whether the server knows no characters of more than one byte, so that its positions count bytes."""
        return bool(self.connection.get_settings().server_encoding == "SQL_ASCII")

    @property
    def in_transaction(self) -> bool:
        return self._wire.in_transaction

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of one query, by the extended protocol.

        No array is among its *arguments*: the driver would look for the array's type, by operators that are
        found through the search_path.
        """
        async with self._on_one_backend():
            return await self.connection.fetch(sql, *arguments)

    async def read(self, query: str, row: type[_Row]) -> list[_Row]:
        """The rows of *query*, which has no arguments, each as a *row*, in one round trip.

        `fetch` needs two: the driver has to know the types before it can execute. JSON needs no types, and
        COPY takes it out by the simple protocol, in one message, which no pooler sends to two backends.
        """
        return await _read(self.connection, query, row)

    async def fetchrow(self, sql: str, *arguments: object) -> asyncpg.Record | None:
        rows = await self.fetch(sql, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *arguments: object) -> Any:
        row = await self.fetchrow(sql, *arguments)
        return None if row is None else row[0]

    @asynccontextmanager
    async def _on_one_backend(self) -> AsyncIterator[None]:
        """The driver prepares and executes in two steps, which a transaction pooler may send to two
        backends; a transaction around them keeps them together."""
        if self.pooling in (Pooling.DIRECT, Pooling.SESSION) or self.in_transaction:
            yield
            return
        async with self.rolled_back_on_failure():
            await self._begin()
            yield
            await self.connection.execute("COMMIT")

    async def _begin(self) -> None:
        try:
            await self.connection.execute("BEGIN")
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
            if _STATEMENT_POOLING not in str(problem):
                raise
            from pgready.database.pooler import statement_pooler  # which knows sessions, as all do

            raise statement_pooler(self) from problem

    async def execute(self, sql: str) -> str:
        """Send *sql*, any number of statements, as one simple query; return the last command tag."""
        return await self.connection.execute(sql)

    def send(self, sql: str) -> Reply:
        """Send *sql*, any number of statements, as one simple query, behind what was sent and not answered.

        Its answer is waited for with `answered`; until then nothing but `send` may be used. Raises
        asyncpg.InterfaceError.
        """
        if self.closed:
            raise asyncpg.InterfaceError("the connection is closed")
        return self._wire.send(sql)

    async def answered(self, reply: Reply) -> None:
        """Wait until the server is done with what *reply* answers. Raises its asyncpg.PostgresError.

        Cancelled, it asks the server to stop; the caller's ROLLBACK then comes behind what was sent.
        """
        try:
            await reply.end()
        except asyncio.CancelledError:
            await self._stop()
            raise

    async def _stop(self) -> None:
        """Have the server cancel what it runs for us, within the grace period: again and again, since between
        two messages it does not heed that."""
        with anyio.move_on_after(GRACE_SECONDS, shield=True):
            while self._wire.busy and not self.closed:
                stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                await self.connection._cancel(stopped)  # type: ignore[attr-defined]
                await anyio.sleep(_STOP_AGAIN_SECONDS)

    async def copy_in(self, statement: str, data: AsyncIterator[bytes]) -> None:
        """Run a `COPY … FROM STDIN` *statement* as it is written, feeding it *data*."""
        # The public copy_to_table composes a COPY of its own; a dump's is to run verbatim.
        await self.connection._copy_in(statement, data, None)  # type: ignore[attr-defined]

    def on_notice(self, listener: Callable[[str, str], None]) -> None:
        """Call *listener* with severity and message of each notice that the server sends."""

        def forward(_connection: object, message: asyncpg.PostgresLogMessage) -> None:
            text = str(getattr(message, "message", ""))
            if message.sqlstate != _NO_TRANSACTION and PROGRESS_MARKER not in text:
                listener(str(getattr(message, "severity", "NOTICE")), text)

        self.connection.add_log_listener(forward)

    @asynccontextmanager
    async def rolled_back_on_failure(self) -> AsyncIterator[None]:
        """Send ROLLBACK when the block ends by any exception, cancellation too."""
        try:
            yield
        except BaseException:
            await self._rollback()
            raise

    async def _rollback(self) -> None:
        with anyio.move_on_after(GRACE_SECONDS, shield=True) as scope:
            try:
                if not self.closed:
                    await self.connection.execute("ROLLBACK")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                self.connection.terminate()
        if scope.cancelled_caught:
            self.connection.terminate()

    def own_settings(self, statement_timeout_ms: int) -> tuple[str, ...]:
        """The statements that set, after RESET ALL, what it does not come back to by itself; on a pooled
        backend that is not ours they set nothing."""
        if self.pooling is Pooling.UNPROVEN:
            return ()
        if statement_timeout_ms not in self._own_settings:
            self._own_settings[statement_timeout_ms] = self._set_own(statement_timeout_ms)
        return self._own_settings[statement_timeout_ms]

    async def set_own(self, statement_timeout_ms: int) -> None:
        """Set `own_settings`."""
        if own := self.own_settings(statement_timeout_ms):
            await self.execute("\n;".join(own))

    async def bound_looks(self) -> None:
        """Let a look wait no longer than LOOK_LOCK_MS again, for whoever has set that otherwise."""
        pooled = self.pooling is Pooling.UNPROVEN
        await self.execute("RESET lock_timeout" if pooled else f"SET lock_timeout = {LOOK_LOCK_MS}")

    def _set_own(self, statement_timeout_ms: int) -> tuple[str, ...]:
        values = [(name, value) for name, value, since in OWN_SETTINGS if self.server_major >= since]
        if not self._start_settings_kept:
            values += START_SETTINGS.items()
        values.append(("statement_timeout", f"{statement_timeout_ms}ms"))
        # SET costs the server a third of what set_config in a SELECT does, and this runs after each script.
        return tuple(fill("SET :name = :value", name=Name(name), value=value) for name, value in values)

    async def close(self) -> None:
        """Say goodbye within the grace period; whatever happens, the connection is gone afterwards.

        Where somebody gave up in the middle, what is on its way is not to run.
        """
        if self._wire.busy:
            await self._stop()
            self.connection.terminate()
            return
        with anyio.move_on_after(GRACE_SECONDS, shield=True):
            try:
                await self.connection.close(timeout=GRACE_SECONDS / 2)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                self.connection.terminate()
        if not self.closed:
            self.connection.terminate()


async def identify(connection: asyncpg.Connection[Any]) -> Identity:
    """Who and where we are on the server, in one round trip, which bounds the look that follows: a start
    setting would be what a script's RESET comes back to."""
    query = fill(_IDENTIFY, witness=_WITNESS, witnessed=_WITNESSED, look_lock=f"{LOOK_LOCK_MS}ms")
    return (await _read(connection, query, Identity))[0]


async def _read(connection: asyncpg.Connection[Any], query: str, row: type[_Row]) -> list[_Row]:
    lines = bytearray()

    async def receive(data: bytes) -> None:
        lines.extend(data)

    await connection.copy_from_query(fill(_AS_JSON, query=Sql(query)), output=receive)
    # JSON has no line break of its own. COPY doubles the backslashes of its escapes, and needs no others.
    return [msgspec.json.decode(line.replace(b"\\\\", b"\\"), type=row) for line in lines.splitlines()]
