"""What surrounds a script on its way to the server: its opening, its closing, its record.

Each transaction opens with the fence and "not recorded yet", which of a version that is one transaction the
primary key of our own history says at its end. It closes by resetting what the script left in the session
before its own, schema-qualified record. Between the segments of one script, whether they run in a transaction
or not, only what would make the record somebody else's is reset; the script's own settings are said again
behind the next opening, so that a run that resumes there after a crash sees the same ones as one that never
stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgready.core.model import Migration, Outcome, Script, SegmentState
from pgready.core.planning import Outdated
from pgready.core.quoting import fill
from pgready.core.segments import CompiledScript, Segment, Single
from pgready.database import execute, journal, lock
from pgready.database.session import Pooling, Session
from pgready.running.source import Source
from pgready.running.tables import Tables

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

READ_WRITE = "SET default_transaction_read_only = off"
"""What BEGIN says of a transaction, for what runs outside one: a database may be set to the contrary."""

_BETWEEN_SEGMENTS = execute.RESETS[:4]


class Frames:
    """Statements for the scripts of *source* on *session*, whose lock is held."""

    def __init__(
        self,
        session: Session,
        keys: lock.LockKeys,
        source: Source,
        tables: Tables,
        marks: journal.Journal,
        *,
        applied_by: str,
        pgready_version: str,
        statement_timeout_ms: int,
        taken_back: Sequence[str],
    ) -> None:
        """*taken_back* are the versions of which a `down` began and did not end."""
        self._session = session
        self._keys = keys
        self._source = source
        self._tables = tables
        self._marks = marks
        self._applied_by = applied_by
        self._pgready_version = pgready_version
        self._statement_timeout_ms = statement_timeout_ms
        self._taken_back = frozenset(taken_back)

    def opening(
        self,
        lock_timeout_ms: int,
        number: int,
        migration: Migration,
        script: CompiledScript,
        *,
        after: Migration | None = None,
    ) -> list[str]:
        """What precedes segment *number*; it fails unless *after* has been committed in this session."""
        timeout_ms = _own(script, lock_timeout_ms)
        mark = None if after is None else _mark(after)
        statements = [BEGIN, *lock.fence(self._session, self._keys, timeout_ms, after=mark)]
        alone = len(script.segments) == 1 and self._session.pooling is Pooling.DIRECT
        if not (alone and self._tables.refuse_twice(migration)):
            statements.append(journal.refuse_recorded(self._tables.recorded(migration)))
        if len(script.segments) > 1:
            statements.append(self._marks.refuse_other_than(migration, number))
        if script.statement_timeout_ms is not None:
            statements.append(_statement_timeout(script.statement_timeout_ms, local=True))
        return statements

    def closing(
        self,
        migration: Migration,
        script: CompiledScript,
        number: int,
        *,
        lock_timeout_ms: int,
        earlier_ms: int | None,
        leads: bool,
    ) -> list[str]:
        """What follows segment *number*; where it *leads*, the next opening may be `after` it.

        Its record waits as little as the script did, whose locks are held meanwhile, and never without end.
        """
        own = [*self._own_settings, lock.timeout(_own(script, lock_timeout_ms) or lock_timeout_ms)]
        if number + 1 < len(script.segments):
            took = journal.THIS_TRANSACTION
            mark = self._marks.record(
                migration, number, SegmentState.DONE, script.segments[number].checksum, took
            )
            return [*_BETWEEN_SEGMENTS, *own, mark, "COMMIT"]
        records = [self._record(migration, len(script.segments), earlier_ms)]
        if len(script.segments) > 1 or migration.version in self._taken_back:
            records.append(self._marks.forget(migration.kind, migration.version))
        if leads:
            records.append(lock.committed(_mark(migration)))
        return [*execute.RESETS, *own, *records, "COMMIT"]

    def mark_opening(
        self, migration: Migration, lock_timeout_ms: int, outdated: Outdated | None = None
    ) -> list[str]:
        """What precedes a mark in the journal, the record of what ran alone, or what forgets *outdated*."""
        if outdated:
            meanwhile = self._marks.refuse_without(outdated.mark)
        else:
            meanwhile = journal.refuse_recorded(self._tables.recorded(migration))
        return [*self.opening_alone(lock_timeout_ms), meanwhile]

    def opening_alone(self, lock_timeout_ms: int) -> list[str]:
        """What precedes the taking back of a mark, and nothing but the right to."""
        return [BEGIN, *lock.fence(self._session, self._keys, lock_timeout_ms)]

    def forgetting(self, migration: Migration, outdated: Outdated) -> list[str]:
        """What leaves neither a mark nor a row of *migration*, which begins anew."""
        row = [self._tables.forget(migration, outdated.applied)] if outdated.applied else []
        return [self._marks.forget(migration.kind, migration.version), *row]

    def single_records(
        self,
        migration: Migration,
        script: CompiledScript,
        number: int,
        *,
        took_ms: int | None,
        earlier_ms: int | None,
    ) -> tuple[str, ...]:
        """What a single's `done` writes: a mark, or for the last segment the history row."""
        if number + 1 < len(script.segments):
            checksum = script.segments[number].checksum
            return (self._marks.record(migration, number, SegmentState.DONE, checksum, took_ms),)
        return (
            self._record(migration, len(script.segments), earlier_ms),
            self._marks.forget(migration.kind, migration.version),
        )

    def preparing(
        self, migration: Migration, segment: Segment, script: CompiledScript, lock_timeout_ms: int
    ) -> tuple[list[str], list[str]]:
        """What precedes and follows the settings of the script's earlier segments, for a single."""
        # A procedure may have committed a part when it times out, and then only a person can go on.
        of_ladder_ms = 0 if segment.single is Single.UNKNOWN else lock_timeout_ms
        waiting = waits(migration.script, segment, _own(script, of_ladder_ms))
        timeout_ms = script.statement_timeout_ms
        timeout = [] if timeout_ms is None else [_statement_timeout(timeout_ms, local=False)]
        return [*_BETWEEN_SEGMENTS[1:], *self._own_settings, READ_WRITE, waiting], timeout

    def reset(self, *, ends: bool) -> str:
        """Take back what was set for a single, and what it left in the session: temporary tables and the like
        where the script *ends* with it, since its next segments may need them."""
        resets = execute.RESETS if ends else _BETWEEN_SEGMENTS
        return "\n;".join((*resets[1:], *self._own_settings))

    @property
    def _own_settings(self) -> tuple[str, ...]:
        return self._session.own_settings(self._statement_timeout_ms)

    def _record(self, migration: Migration, segments: int, earlier_ms: int | None) -> str:
        outcome = Outcome(
            earlier_ms=earlier_ms,
            segments=segments,
            token_checksum=self._source.token_checksum(migration.kind, migration.version),
            applied_by=self._applied_by,
            pgready_version=self._pgready_version,
        )
        return self._tables.record(migration, outcome)


def is_concurrent(script: Script, segment: Segment) -> bool:
    """Whether the single of *segment* may be CONCURRENTLY: then a lock timeout would leave half of it."""
    return any("concurrently" in script.text[each.start : each.end].lower() for each in segment.statements)


def waits(script: Script, segment: Segment, lock_timeout_ms: int) -> str:
    """The statement by which the single of *segment* waits no longer than that for a relation."""
    timeout_ms = 0 if is_concurrent(script, segment) else lock_timeout_ms
    return fill("SET lock_timeout = :value", value=f"{timeout_ms}ms")


def _own(script: CompiledScript, lock_timeout_ms: int) -> int:
    return lock_timeout_ms if script.lock_timeout_ms is None else script.lock_timeout_ms


def _statement_timeout(timeout_ms: int, *, local: bool) -> str:
    template = "SELECT pg_catalog.set_config('statement_timeout', :value, :local)"
    return fill(template, value=f"{timeout_ms}ms", local=local)


def _mark(migration: Migration) -> str:
    return f"{migration.kind.value} {migration.version}"
