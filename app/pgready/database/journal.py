"""The journal of unfinished migrations: which segments are done, which single was started.

Rows exist only between a migration's first committed segment and its last: the last one's transaction
writes the history row and deletes them. Statements here are text for the simple protocol, because they
travel in the message of the segment that they record.
"""

from __future__ import annotations

from pgready.core.model import JournalRow, Kind, Migration, SegmentState
from pgready.core.quoting import Sql, fill
from pgready.dialects.base import Dialect

_RECORD = """
INSERT INTO pgready.journal AS j (history, kind, version, segment, state, checksum, duration_ms, recorded_by)
VALUES (:history, :kind, :version, :segment, :state, :checksum, :duration_ms, :recorded_by)
ON CONFLICT (history, kind, version, segment) DO UPDATE
SET state = excluded.state, checksum = excluded.checksum, recorded_by = excluded.recorded_by,
    duration_ms = excluded.duration_ms, recorded_at = excluded.recorded_at
"""

THIS_TRANSACTION = Sql(
    "1000::pg_catalog.float8 OPERATOR(pg_catalog.*) pg_catalog.date_part("
    "'epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.now())"
)
"""The duration of what runs in the transaction that records it."""

_FORGET = """
DELETE FROM pgready.journal
WHERE history OPERATOR(pg_catalog.=) :history AND kind OPERATOR(pg_catalog.=) :kind
 AND version OPERATOR(pg_catalog.=) :version
"""

_FORGET_SEGMENT = """
DELETE FROM pgready.journal
WHERE history OPERATOR(pg_catalog.=) :history AND kind OPERATOR(pg_catalog.=) :kind
 AND version OPERATOR(pg_catalog.=) :version AND segment OPERATOR(pg_catalog.=) :segment
"""

RECORDED_MEANWHILE = "pgready: recorded meanwhile, seen by "
"""Stands in what the server says when `refuse_recorded` fails, in whatever language."""

_REFUSE_RECORDED = """
SELECT pg_catalog.int4in(pg_catalog.textout(pg_catalog.concat(:said, pg_catalog.pg_backend_pid())))
FROM (:recorded) AS recorded
"""

_REFUSE_JOURNALED = """
SELECT CASE WHEN (SELECT pg_catalog.count(*) FROM pgready.journal
  WHERE history OPERATOR(pg_catalog.=) :history AND kind OPERATOR(pg_catalog.=) :kind
   AND version OPERATOR(pg_catalog.=) :version AND state OPERATOR(pg_catalog.=) 'done')
  OPERATOR(pg_catalog.<>) :done
 THEN pg_catalog.int4in(pg_catalog.textout(pg_catalog.concat('pgready: journaled meanwhile, seen by ',
  pg_catalog.pg_backend_pid()))) ELSE 0 END
"""

_REFUSE_WITHOUT = """
SELECT CASE WHEN EXISTS (SELECT FROM pgready.journal
  WHERE history OPERATOR(pg_catalog.=) :history AND kind OPERATOR(pg_catalog.=) :kind
   AND version OPERATOR(pg_catalog.=) :version AND segment OPERATOR(pg_catalog.=) :segment
   AND recorded_at OPERATOR(pg_catalog.=) :recorded_at)
 THEN 0 ELSE pg_catalog.int4in(pg_catalog.textout(pg_catalog.concat('pgready: begun anew meanwhile, seen by ',
  pg_catalog.pg_backend_pid()))) END
"""


class Journal:
    """The journal's statements for the history of *dialect*; *recorded_by* is this replica."""

    def __init__(self, dialect: Dialect, recorded_by: str) -> None:
        self._dialect = dialect
        self._recorded_by = recorded_by

    @property
    def _history(self) -> str:
        return self._dialect.identity  # known once the dialect is settled

    def record(
        self,
        migration: Migration,
        segment: int,
        state: SegmentState,
        checksum: str,
        duration_ms: int | Sql | None = None,
    ) -> str:
        """*duration_ms* is None where nobody knows it: not done yet, or by a process that died."""
        return fill(
            _RECORD,
            history=self._history,
            kind=migration.kind.value,
            version=migration.version,
            segment=segment,
            state=state.value,
            checksum=checksum,
            duration_ms=duration_ms,
            recorded_by=self._recorded_by,
        )

    def forget(self, kind: Kind, version: str) -> str:
        """Delete all rows of a migration."""
        return fill(_FORGET, history=self._history, kind=kind.value, version=version)

    def forget_segment(self, kind: Kind, version: str, segment: int) -> str:
        """Delete one row: a single that was started and is known not to have happened."""
        values = {"history": self._history, "kind": kind.value, "version": version}
        return fill(_FORGET_SEGMENT, segment=segment, **values)

    def refuse_other_than(self, migration: Migration, done: int) -> str:
        """A statement that fails (22P02) unless exactly *done* segments are journaled."""
        return fill(
            _REFUSE_JOURNALED,
            history=self._history,
            kind=migration.kind.value,
            version=migration.version,
            done=done,
        )

    def refuse_without(self, mark: JournalRow) -> str:
        """A statement that fails (22P02) unless *mark* stands as it was read."""
        return fill(
            _REFUSE_WITHOUT,
            history=self._history,
            kind=mark.kind.value,
            version=mark.version,
            segment=mark.segment,
            recorded_at=mark.recorded_at,
        )


def refuse_recorded(recorded: str) -> str:
    """A statement that fails (22P02) when the query *recorded* finds the migration in the history."""
    return fill(_REFUSE_RECORDED, said=RECORDED_MEANWHILE, recorded=Sql(recorded))
