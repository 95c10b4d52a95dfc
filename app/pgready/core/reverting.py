"""Which migrations a `down` takes back, and how each of them goes. Refused before anything is run:

1. What has no way back: no reverting script, or no file at all.
2. What is not surely applied: a partly applied or failed migration is resolved first.
3. A reverting script of which a crash could leave a part: it is one transaction, or statements outside of
   one (DROP INDEX CONCURRENTLY) about each of which the catalogue can tell whether it happened.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pgready.core.compile import compile_script
from pgready.core.errors import Diverged, PgreadyError, ScriptError, SettingsError
from pgready.core.model import Applied, Kind, Migration, Script
from pgready.core.planning import Entry, Plan, State
from pgready.core.segments import CompiledScript, SegmentKind, Single
from pgready.core.suggestions import suggest

EVERYTHING = "0"
"""`--to 0` takes back every migration."""

_NOTHING = "nothing was run"
_CAN_BE_PROBED = frozenset(
    {Single.CREATE_INDEX, Single.DROP_INDEX, Single.DETACH_PARTITION, Single.REPEATABLE}
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


def reversals(plan: Plan, count: int, to: str | None) -> tuple[Reversal, ...]:
    """What to revert, newest first: the last *count* applied, or everything behind version *to*.

    Raises SettingsError, Diverged or ScriptError; every problem at once.
    """
    entries = _chosen(plan, count, to)
    problems: list[str] = []
    ready: list[Reversal] = []
    for entry in entries:
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


def _chosen(plan: Plan, count: int, to: str | None) -> list[Entry]:
    versioned = [entry for entry in plan.entries if entry.kind is Kind.VERSIONED]
    unclear = [entry for entry in versioned if entry.state in (State.PARTLY_APPLIED, State.FAILED)]
    if unclear:
        raise Diverged(
            f"{unclear[0].version} is {unclear[0].state.value}",
            hint="complete it first (pgready up), or say what became of it (pgready repair)",
            done=_NOTHING,
        )
    if to is None:
        applied = [entry for entry in versioned if entry.state is State.APPLIED]
        return applied[: -count - 1 : -1]
    known = [entry.version for entry in versioned]
    if to != EVERYTHING and to not in known:
        raise SettingsError((f"{to}: there is no such version{suggest(to, known)}",))
    behind = versioned if to == EVERYTHING and to not in known else versioned[known.index(to) + 1 :]
    return [entry for entry in reversed(behind) if entry.state is State.APPLIED]


def _reversal(entry: Entry) -> Reversal:
    if entry.migration is None or entry.applied is None:
        raise Diverged("its file is gone")
    revert = entry.migration.revert
    if revert is None:
        raise Diverged("nothing reverts it")
    if revert.unrunnable is not None:
        raise Diverged(revert.unrunnable.what)
    script = compile_script(revert)
    _refuse_parts(script)
    return Reversal(entry.migration, revert, script, entry.applied)


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
    return tuple(f"{each.migration.version}: {each.revert.path}" for each in planned)
