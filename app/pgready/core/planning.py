"""Folder and history → plan: what is applied, pending, wrong. Set membership, never a high-water mark.

Bootstrap scripts come first, then the versions, then the repeatables. A row without a file stands where
its version would have been; a repeatable or bootstrap script that lost its file is nothing to speak of.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import count
from operator import attrgetter, itemgetter

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.errors import ExitCode
from pgready.core.model import Applied, Folder, History, JournalRow, Kind, Migration, SegmentState
from pgready.core.segments import SegmentKind


class Policy(Enum):
    REFUSE = "refuse"
    WARN = "warn"
    ALLOW = "allow"


class Policies(Struct, frozen=True):
    """What to do about each sort of divergence (DESIGN 3 "Plan")."""

    out_of_order: Policy = Policy.WARN
    ahead: Policy = Policy.WARN
    changed: Policy = Policy.REFUSE
    cosmetic: Policy = Policy.WARN
    missing: Policy = Policy.REFUSE


class State(Enum):
    """Where a migration stands."""

    APPLIED = "applied"
    PENDING = "pending"
    PARTLY_APPLIED = "partly applied"
    FAILED = "failed"


class Flag(Enum):
    """What is unusual about it, apart from its state."""

    OUT_OF_ORDER = "out of order"
    MISSING = "missing"  # recorded, but the folder has no such file
    AHEAD = "ahead"  # missing, and newer than everything in the folder: an older image
    CHANGED = "changed"
    COSMETIC = "changed cosmetically"


class Entry(Struct, frozen=True):
    """One version as the plan sees it; *migration* is None where it is missing.

    *done_ms* is what the segments that are done took, None where nobody knows.
    """

    version: str
    name: str
    kind: Kind
    state: State
    flags: tuple[Flag, ...] = ()
    applied: Applied | None = None
    migration: Migration | None = None
    segments_done: int = 0
    segment_started: bool = False
    done_ms: int | None = 0


class Severity(Enum):
    WARNING = "warning"
    ERROR = "error"


class Finding(Struct, frozen=True):
    """Something that the plan warns of or refuses; an ERROR stops the run with *exit_code*."""

    severity: Severity
    version: str
    flag: Flag | None
    message: str
    hint: str | None = None
    exit_code: ExitCode = ExitCode.DIVERGED

    @property
    def with_hint(self) -> str:
        """What it says and what to do, in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Plan(Struct, frozen=True):
    """*entries* in the order in which they run; *pending* are those of them that will be applied."""

    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def pending(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.state in (State.PENDING, State.PARTLY_APPLIED))

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)


class Outdated(Struct, frozen=True):
    """What is forgotten of a script that begins anew: its marks, of which *mark* is one, and the row of what
    was *applied* last."""

    mark: JournalRow
    applied: Applied | None


class Work(Struct, frozen=True):
    """What is left to do of one migration: its segments' kinds (None: it was not compiled), how many are
    journaled done, whether the next one has a durable `started` mark, and what those that are done took
    (None: nobody knows). *outdated* is set where it begins anew."""

    kind: Kind
    version: str
    segments: tuple[SegmentKind, ...] | None
    done: int = 0
    started: bool = False
    done_ms: int | None = 0
    outdated: Outdated | None = None

    @property
    def next(self) -> int:
        """The segment that is run next."""
        return 0 if self.outdated else self.done

    @property
    def compiled(self) -> tuple[SegmentKind, ...]:
        assert self.segments is not None, "all is compiled before the first of it runs"
        return self.segments

    @property
    def standing(self) -> tuple[object, ...]:
        """What tells whether somebody got on with it."""
        return self.kind, self.version, self.done, self.started

    @property
    def hazards(self) -> tuple[str, ...]:
        """What is known, before it runs, to be worth a thought."""
        alone = (self.segments or ())[self.next :].count(SegmentKind.SINGLE)
        if not alone:
            return ()
        what = "statement runs" if alone == 1 else "statements run"
        return (f"{alone} {what} outside a transaction",)


class Counts(Struct, frozen=True):
    """How many migrations stand where. *total* is the sum of the first four; missing and ahead are of the
    applied ones."""

    total: int = 0
    applied: int = 0
    pending: int = 0
    partly_applied: int = 0
    failed: int = 0
    missing: int = 0
    ahead: int = 0


VersionKey = tuple[tuple[int, str], ...]

_DIGITS = re.compile("([0-9]+)")


def version_key(version: str) -> VersionKey:
    """A sort key for *version* that compares runs of digits as numbers: 9 < 10, 1.9 < 1.10, 007 = 7."""
    parts = _DIGITS.split(version)
    # Text and digits take turns. Digits compare by length first: int() has a limit, file names have none.
    parts[1::2] = [digits.lstrip("0") for digits in parts[1::2]]
    return tuple((len(part) if index % 2 else 0, part) for index, part in enumerate(parts))


def plan(folder: Folder, history: History, policies: Policies) -> Plan:
    """Compare *folder* with *history*; *policies* decide which differences are refused.

    A row of the history belongs to the migration of the same kind and version; of several, the last.
    """
    rows = {(row.kind, row.version): row for row in history.applied}
    marks: _Marks = {}
    for mark in history.journal:
        marks.setdefault((mark.kind, mark.version), []).append(mark)
    entries = (
        *(_rerunnable(migration, rows, marks) for migration in folder.bootstrap),
        *_versioned(folder.migrations, rows, marks),
        *(_rerunnable(migration, rows, marks) for migration in folder.repeatables),
    )
    return Plan(entries, (*findings(entries, policies), *_skipped(folder)))


def summary(plan: Plan) -> Counts:
    """How many of the plan's entries stand where."""
    states = Counter(entry.state for entry in plan.entries)
    flags = Counter(flag for entry in plan.entries for flag in entry.flags)
    return Counts(
        total=len(plan.entries),
        applied=states[State.APPLIED],
        pending=states[State.PENDING],
        partly_applied=states[State.PARTLY_APPLIED],
        failed=states[State.FAILED],
        missing=flags[Flag.MISSING],
        ahead=flags[Flag.AHEAD],
    )


_Key = tuple[Kind, str]
_Rows = dict[_Key, Applied]
_Marks = dict[_Key, list[JournalRow]]


def _rerunnable(migration: Migration, rows: _Rows, marks: _Marks) -> Entry:
    """Pending when never applied, or when its content changed since."""
    key = (migration.kind, migration.version)
    row = rows.get(key)
    # Marks count even where the content is what was applied last: another was begun since.
    if row is None or key in marks or (row.success and row.checksum != migration.checksum):
        return _unfinished(migration, row, marks.get(key, []))
    return _recorded(migration, row)


def _versioned(migrations: Sequence[Migration], rows: _Rows, marks: _Marks) -> list[Entry]:
    gone = _gone(migrations, rows)
    later_applied = any(Flag.AHEAD in entry.flags for _, entry in gone)
    newest_stamp = max((row.stamp for row in rows.values() if row.stamp is not None), default=None)
    entries: list[Entry] = []
    for migration in reversed(migrations):
        entry = _once(migration, rows, marks)
        if entry.state is State.PENDING and (later_applied or _is_older(migration, newest_stamp)):
            entry = replace(entry, flags=(Flag.OUT_OF_ORDER,))
        later_applied = later_applied or entry.state is State.APPLIED
        entries.append(entry)
    entries.reverse()
    return _merged(entries, gone) if gone else entries


def _is_older(migration: Migration, newest_stamp: int | None) -> bool:
    """Whether it was made before the newest applied: a merge may put it behind that one in the folder."""
    return newest_stamp is not None and migration.stamp is not None and migration.stamp < newest_stamp


def _once(migration: Migration, rows: _Rows, marks: _Marks) -> Entry:
    key = (migration.kind, migration.version)
    row = rows.get(key)
    if row is None:
        return _unfinished(migration, None, marks.get(key, []))
    return _recorded(migration, row)


def _recorded(migration: Migration, row: Applied) -> Entry:
    state = State.APPLIED if row.success else State.FAILED
    flags = _changes(migration, row) if row.success else ()
    return Entry(migration.version, migration.name, migration.kind, state, flags, row, migration)


def _changes(migration: Migration, row: Applied) -> tuple[Flag, ...]:
    if row.checksum is None or row.checksum == migration.checksum:
        return ()
    if row.token_checksum is None:
        return (Flag.CHANGED,)
    # Scanning needs libpg_query: only where a file did change.
    from pgready.core.tokens import token_checksum

    same = row.token_checksum == token_checksum(migration.script.text)
    return (Flag.COSMETIC if same else Flag.CHANGED,)


def _unfinished(migration: Migration, row: Applied | None, marks: Sequence[JournalRow]) -> Entry:
    """An entry that is to be applied, from where its journal *marks* end."""
    states = {(mark.segment, mark.state) for mark in marks}
    done = next(segment for segment in count() if (segment, SegmentState.DONE) not in states)
    return Entry(
        migration.version,
        migration.name,
        migration.kind,
        State.PARTLY_APPLIED if marks else State.PENDING,
        applied=row,
        migration=migration,
        segments_done=done,
        segment_started=(done, SegmentState.STARTED) in states,
        done_ms=_sum_ms([mark.duration_ms for mark in marks if mark.segment < done]),
    )


def _sum_ms(durations_ms: Sequence[int | None]) -> int | None:
    known = [each for each in durations_ms if each is not None]
    return sum(known) if len(known) == len(durations_ms) else None


def _gone(migrations: Sequence[Migration], rows: _Rows) -> list[tuple[int, Entry]]:
    """The recorded versions that have no file, in order, each with its place among *migrations*."""
    known = {migration.version for migration in migrations}
    lost = [row for (kind, version), row in rows.items() if kind is Kind.VERSIONED and version not in known]
    if not lost:
        return []
    by_stamp = all(item.stamp is not None for group in (migrations, lost) for item in group)
    keys = [_order(migration, by_stamp) for migration in migrations]
    # In an empty folder nothing is newer than everything: more likely it is the wrong folder.
    newest = max(keys, default=None)
    gone: list[tuple[int, Entry]] = []
    for key, row in sorted(((_order(row, by_stamp), row) for row in lost), key=itemgetter(0)):
        ahead = newest is not None and key > newest
        state = State.APPLIED if row.success else State.FAILED
        flag = Flag.AHEAD if ahead else Flag.MISSING
        place = len(keys) if ahead else bisect_left(keys, key)
        gone.append((place, Entry(row.version, row.name, row.kind, state, (flag,), row)))
    return gone


def _order(item: Migration | Applied, by_stamp: bool) -> VersionKey:
    return ((item.stamp or 0, ""),) if by_stamp else version_key(item.version)


def _merged(entries: list[Entry], gone: list[tuple[int, Entry]]) -> list[Entry]:
    numbered = [((place, 1), entry) for place, entry in enumerate(entries)]
    placed = [((place, 0), entry) for place, entry in gone]
    return [entry for _, entry in sorted(placed + numbered, key=itemgetter(0))]


# Findings


def findings(entries: Iterable[Entry], policies: Policies) -> Iterator[Finding]:
    """What *policies* warn of or refuse. A failed row is always refused: only a person can resolve it."""
    for entry in entries:
        if entry.state is State.FAILED:
            yield _failed(entry)
        for flag in entry.flags:
            policy = _POLICY[flag](policies)
            if policy is not Policy.ALLOW:
                from pgready.core import wording  # most plans have nothing to say

                severity = Severity.ERROR if policy is Policy.REFUSE else Severity.WARNING
                message, hint = wording.flagged(entry, flag)
                yield Finding(severity, entry.version, flag, message, hint)


def _skipped(folder: Folder) -> Iterator[Finding]:
    for path in folder.skipped:
        message = f"{path}: not one of {folder.dialect}'s migrations, and never run"
        yield Finding(
            Severity.WARNING, "", None, message, "make a migration of it, or move it out of the folder"
        )


def _failed(entry: Entry) -> Finding:
    from pgready.core import wording

    message, hint = wording.failed(entry)
    return Finding(Severity.ERROR, entry.version, None, message, hint)


_POLICY: dict[Flag, Callable[[Policies], Policy]] = {
    Flag.OUT_OF_ORDER: attrgetter("out_of_order"),
    Flag.MISSING: attrgetter("missing"),
    Flag.AHEAD: attrgetter("ahead"),
    Flag.CHANGED: attrgetter("changed"),
    Flag.COSMETIC: attrgetter("cosmetic"),
}
