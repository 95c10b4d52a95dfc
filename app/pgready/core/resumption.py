"""Going on where a partly applied migration stopped: only if what was done is still what the file says.

What may run again whenever it changes needs nobody for that: it begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgready.core.errors import typed
from pgready.core.model import History, JournalRow, Kind, SegmentState
from pgready.core.planning import Entry, Finding, Outdated, Plan, Severity, State, Work
from pgready.core.quoting import fill
from pgready.core.segments import Segment, SegmentKind, Temporary


def work(entry: Entry, segments: tuple[Segment, ...] | None = None, outdated: Outdated | None = None) -> Work:
    """What is left to do of *entry*, whose script compiled to *segments*; None where it was not compiled.

    A script without any statement is one empty transaction: its history row still has to be written.
    """
    kinds = None
    if segments is not None:
        kinds = tuple(segment.kind for segment in segments) or (SegmentKind.TRANSACTION,)
    done, started = entry.segments_done, entry.segment_started
    return Work(entry.kind, entry.version, kinds, done, started, entry.done_ms, outdated)


def outdated(entry: Entry, history: History, segments: tuple[Segment, ...]) -> Outdated | None:
    """What to forget of *entry*, which may run again, where its file was edited behind what is done of it, or
    that went with its session.

    Its row goes, too: the file may have the text that was applied last, or be given it back, and what was
    done since has made something else of it. Where a statement was started, a person is asked first.
    """
    if entry.kind is Kind.VERSIONED or entry.segment_started or entry.migration is None:
        return None
    given_back = entry.applied is not None and entry.applied.checksum == entry.migration.checksum
    lost = went_with_session(segments, entry.segments_done)
    for row in _marks(entry, history):
        if given_back or lost or _problem(entry, row, segments):
            return Outdated(row, entry.applied)
    return None


def hindrance(entry: Entry, history: History, segments: tuple[Segment, ...]) -> Finding | None:
    """Why *entry* cannot go on where its journal ends, or might not were it cut off."""
    return verify_resumption(entry, history, segments) or session_bound(entry, segments)


def verify_resumption(entry: Entry, history: History, segments: tuple[Segment, ...]) -> Finding | None:
    """Why *entry* cannot go on where its journal ends: the file was edited behind what is done or begun.

    What comes after that may change freely (it is how a failing statement is repaired), or be cut off.
    """
    for row in _marks(entry, history):
        problem = _problem(entry, row, segments)
        if problem is not None:
            return _finding(entry, problem)
    return None


def session_bound(entry: Entry, segments: tuple[Segment, ...]) -> Finding | None:
    """What is wrong where a part of *entry* needs a temporary table that another makes: cut off between the
    two it cannot go on, which is warned of before it happens."""
    gone = went_with_session(segments, entry.segments_done)
    for number, needs in gone or _bound(segments, entry.segments_done):
        label = entry.migration.script.path if entry.migration else entry.version
        need = f"{label}: part {number + 1} needs {needs.name}, which part {needs.segment + 1}"
        if not gone:
            message = f"{need} makes for its session alone: a run that is cut off between them cannot go on"
            hint = "to be safe, let it be an ordinary table, and drop that at the end"
            return Finding(Severity.WARNING, entry.version, None, message, hint)
        hint = f"{BY_HAND}, and start again"
        if entry.segment_started:
            hint = f"say what became of what was started: {_answer(entry)}; then {hint}"
        message = f"{need} made for a session that has ended: it cannot go on"
        return Finding(Severity.ERROR, entry.version, None, message, hint)
    return None


BY_HAND = "finish it by hand, cut what is left off the file"
"""What to do where a script cannot go on."""


def went_with_session(segments: tuple[Segment, ...], done: int) -> list[tuple[int, Temporary]]:
    """Those of *segments* behind the first *done* that need what one of these made for its session alone, and
    that: once it has ended they cannot run."""
    return [each for each in _bound(segments, done) if each[1].segment < done]


def _bound(segments: tuple[Segment, ...], done: int) -> list[tuple[int, Temporary]]:
    """The segments that are left and need what another makes for its session alone, and that."""
    found = ((number, segment.temporary) for number, segment in enumerate(segments))
    return [(number, needs) for number, needs in found if needs and number >= done]


def _marks(entry: Entry, history: History) -> list[JournalRow]:
    return [row for row in history.journal if (row.kind, row.version) == (entry.kind, entry.version)]


_FORGET = "DELETE FROM pgready.journal WHERE history = :history AND kind = :kind AND version = :version"
"""For a person: one journal serves several histories, and another's migration may have that version."""


def orphans(plan: Plan, history: History, identity: str) -> tuple[Finding, ...]:
    """Versions that are partly applied and have no file any more; *identity* is the history's in the journal.

    What was done of them stays done. A pending file may be the same under another name, and would do it
    again, so with anything pending they are refused; an older image, with nothing pending, is only warned.
    """
    known = {entry.version for entry in _versioned(plan)}
    marked = (mark.version for mark in history.journal if mark.kind is Kind.VERSIONED)
    lost = [version for version in dict.fromkeys(marked) if version not in known]
    pending = any(entry.state is State.PENDING for entry in _versioned(plan))
    severity = Severity.ERROR if pending else Severity.WARNING
    return tuple(_orphan(version, severity, identity) for version in lost)


def left_over(plan: Plan, history: History) -> tuple[str, ...]:
    """The versions that are recorded as applied although the journal has parts of them: not by us."""
    applied = {entry.version for entry in _versioned(plan) if entry.state is State.APPLIED}
    marked = (mark.version for mark in history.journal if mark.kind is Kind.VERSIONED)
    return tuple(version for version in dict.fromkeys(marked) if version in applied)


def told_left_over(version: str) -> Finding:
    message = (
        f"{version}: is recorded as applied, and the journal has parts of it still: its own tool has "
        "recorded it, or somebody by hand"
    )
    hint = f"see that all of it is done, and say so: pgready repair {typed(version)}"
    return Finding(Severity.WARNING, version, None, message, hint)


def _versioned(plan: Plan) -> Iterator[Entry]:
    return (entry for entry in plan.entries if entry.kind is Kind.VERSIONED)


def _orphan(version: str, severity: Severity, identity: str) -> Finding:
    message = f"{version}: is partly applied, and the folder has no file of this version (was it renamed?)"
    return Finding(severity, version, None, message, give_back(version, identity))


def give_back(version: str, identity: str) -> str:
    """The way out where the journal speaks of a *version* that has no file."""
    forget = fill(_FORGET, history=identity, kind=Kind.VERSIONED.value, version=version)
    return (
        f"give the file its old name and start again; where it is gone for good and undone by hand: {forget}"
    )


def _problem(entry: Entry, row: JournalRow, segments: tuple[Segment, ...]) -> str | None:
    done = "done" if row.state is SegmentState.DONE else "started"
    part = f"part {row.segment + 1}"
    if row.segment > entry.segments_done:
        return f"{part} is journaled as {done}, but part {entry.segments_done + 1} before it is not done"
    if row.segment >= len(segments):
        return f"{part} was {done}, but the file has only {len(segments)} now"
    if row.checksum != segments[row.segment].checksum:
        return f"{part} of {len(segments)} changed after it was {done}"
    return None


def _answer(entry: Entry) -> str:
    return f"pgready repair {typed(entry.version)} --done | --not-done"


def _finding(entry: Entry, problem: str) -> Finding:
    label = entry.migration.script.path if entry.migration else entry.version
    if entry.kind is not Kind.VERSIONED:
        then = f"have it run as it is now: pgready repair {typed(entry.version)} --not-done"
    elif entry.segment_started:
        then = f"say what became of what was started: {_answer(entry)}"
    else:
        then = f"take its parts as they are now for done: pgready repair {typed(entry.version)}"
    hint = f"restore the file and start again, or {then}"
    return Finding(Severity.ERROR, entry.version, None, f"{label}: {problem}", hint)
