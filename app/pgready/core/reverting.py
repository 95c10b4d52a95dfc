"""Which migrations a `down` takes back, and how each of them goes. Refused before anything is run:

1. What has no way back: no reverting script, one that was not filled in, or no file at all. Only what had no
   statement itself is reverted by none.
2. What is not surely applied: a partly applied or failed migration is resolved first.
3. A reverting script of which a crash could leave a part: it is one transaction, or statements outside of
   one (DROP INDEX CONCURRENTLY) about each of which the catalogue can tell whether it happened.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pgready.core import resumption
from pgready.core.compile import compile_script
from pgready.core.errors import Diverged, PgreadyError, ScriptError, SettingsError, typed
from pgready.core.model import Applied, History, Kind, Migration, Script
from pgready.core.planning import Entry, Finding, Plan, Severity, State
from pgready.core.segments import CompiledScript, SegmentKind, Single
from pgready.core.suggestions import suggest

_NOTHING = "nothing was run"
_CAN_BE_PROBED = frozenset(
    {Single.CREATE_INDEX, Single.DROP_INDEX, Single.DETACH_PARTITION, Single.REINDEX, Single.REPEATABLE}
)


class Reversal(Struct, frozen=True):
    """*migration*'s way back: *revert* as written, *script* as it is run, *applied* the row that goes."""

    migration: Migration
    revert: Script
    script: CompiledScript
    applied: Applied

    @property
    def transactional(self) -> bool:
        return self.script.segments[0].kind is SegmentKind.TRANSACTION


class Goal(Struct, frozen=True):
    """Where a `down` goes: the version that *stays*, with all before it; None where none does.

    How many to revert is made into a goal once, so that a `down` which failed half-way, given again, reverts
    no more than was asked.
    """

    stays: str | None

    @property
    def command(self) -> str:
        return "pgready down --all" if self.stays is None else f"pgready down --to {typed(self.stays)}"


def last(plan: Plan, count: int) -> Goal:
    """The goal of taking back the *count* migrations applied last."""
    versioned = _versioned(plan)
    applied = [at for at, entry in enumerate(versioned) if entry.state is State.APPLIED]
    if not applied:
        return Goal(versioned[-1].version if versioned else None)
    oldest = applied[max(0, len(applied) - count)]
    return Goal(versioned[oldest - 1].version if oldest else None)


def reversals(plan: Plan, goal: Goal) -> tuple[Reversal, ...]:
    """What to revert to reach *goal*, newest first.

    Raises SettingsError for a version that is not known, else Diverged, with every problem at once.
    """
    problems: list[str] = []
    ready: list[Reversal] = []
    for entry in _behind(plan, goal):
        try:
            ready.append(_reversal(entry))
        except PgreadyError as problem:
            place = f"{problem.place}: " if problem.place else ""
            problems.append(f"{entry.version}: {place}{problem.what}")
    if problems:
        raise Diverged(
            "there is no way back: " + "; ".join(problems),
            hint="write what reverts it, or revert fewer; pgready status shows what is applied",
            done=_NOTHING,
        )
    return tuple(ready)


def repeatables(plan: Plan) -> tuple[Entry, ...]:
    """The repeatable scripts whose record goes as well, so that the next run makes them again.

    A view cannot outlive its table: what takes that back drops the view, too. One that is pending because it
    changed may be as it was recorded for whoever comes next: the release before. Of one that is partly
    applied, the parts that are done go.
    """
    return tuple(
        entry
        for entry in plan.entries
        if entry.kind is Kind.REPEATABLE
        and (entry.state is State.PARTLY_APPLIED or (entry.applied and entry.applied.success))
    )


def _behind(plan: Plan, goal: Goal) -> list[Entry]:
    """The applied entries behind *goal*, newest first."""
    versioned = _versioned(plan)
    unclear = [entry for entry in versioned if entry.state in (State.PARTLY_APPLIED, State.FAILED)]
    if unclear:
        raise Diverged(
            f"{unclear[0].version} is {unclear[0].state.value}",
            hint="complete it first (pgready up), or say what became of it (pgready repair)",
            done=_NOTHING,
        )
    known = [entry.version for entry in versioned]
    if goal.stays is not None and goal.stays not in known:
        raise SettingsError((f"{goal.stays}: there is no such version{suggest(goal.stays, known)}",))
    first = 0 if goal.stays is None else known.index(goal.stays) + 1
    return [entry for entry in reversed(versioned[first:]) if entry.state is State.APPLIED]


def interrupted(plan: Plan, history: History, identity: str) -> list[Finding]:
    """What a `down` has begun and not ended: it is recorded as applied, and a part of it may be gone.

    *identity* is the history's in the journal.
    """
    versioned = _versioned(plan)
    known = {entry.version for entry in versioned}
    found = [_renamed(version, identity) for version in history.taken_back if version not in known]
    for at, entry in enumerate(versioned):
        if entry.state is State.APPLIED and entry.version in history.taken_back:
            message = f"{entry.version}: a `down` of it began and did not end: a part of it may be gone"
            goal = Goal(versioned[at - 1].version if at else None)
            hint = (
                f"end it: {goal.command}, and `pgready up` applies it again; where somebody has ended or "
                f"undone it by hand: pgready repair {typed(entry.version)} --done | --not-done"
            )
            found.append(Finding(Severity.ERROR, entry.version, None, message, hint))
    return found


def _renamed(version: str, identity: str) -> Finding:
    message = (
        f"{version}: a `down` of it began and did not end, and the folder has no file of this version "
        "(was it renamed?)"
    )
    return Finding(Severity.ERROR, version, None, message, resumption.give_back(version, identity))


def _versioned(plan: Plan) -> list[Entry]:
    return [entry for entry in plan.entries if entry.kind is Kind.VERSIONED]


def _reversal(entry: Entry) -> Reversal:
    if entry.migration is None or entry.applied is None:
        raise Diverged("its file is gone")
    revert = entry.migration.revert
    if revert is None:
        raise Diverged("nothing reverts it")
    if revert.unrunnable is not None:
        raise Diverged(revert.unrunnable.what)
    script = compile_script(revert)
    if script.is_empty and not _is_empty(entry.migration.script):
        raise Diverged(f"nothing reverts it: {revert.path} has no statement that does")
    _refuse_parts(script)
    return Reversal(entry.migration, revert, script, entry.applied)


def _is_empty(script: Script) -> bool:
    try:
        return compile_script(script).is_empty
    except ScriptError:  # what we could not run again may have done something
        return False


def _refuse_parts(script: CompiledScript) -> None:
    if len(script.segments) == 1 and script.segments[0].kind is SegmentKind.TRANSACTION:
        return
    if all(segment.single in _CAN_BE_PROBED for segment in script.segments):
        return
    raise ScriptError(
        "what reverts it is neither one transaction nor statements that can be asked about afterwards"
    )


def told(planned: Sequence[Reversal]) -> tuple[str, ...]:
    """A line for each of *planned*, in the order in which they are run."""
    return tuple(f"{each.migration.version}: {each.revert.path}{_size(each)}" for each in planned)


def told_again(repeated: Sequence[Entry]) -> str:
    """What becomes of *repeated*, in a few words; nothing where there are none."""
    names = ", ".join(entry.version for entry in repeated)
    return f"to be run again by the next up: {names}" if names else ""


def _size(reversal: Reversal) -> str:
    return " (holds no statement)" if reversal.script.is_empty else ""


def same(planned: Sequence[Reversal], agreed: Sequence[Reversal]) -> bool:
    """Whether *planned* is what was *agreed* to, statement by statement."""
    return _identities(planned) == _identities(agreed)


def _identities(planned: Sequence[Reversal]) -> list[tuple[str, str]]:
    return [(each.migration.version, each.revert.text) for each in planned]
