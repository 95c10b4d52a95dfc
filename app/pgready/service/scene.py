"""What a status looks like at a glance: the word, colour and shape of its state, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.errors import Place, excerpt
from pgready.core.phases import Phase
from pgready.core.status import Status
from pgready.service import wording


class Look(Struct, frozen=True):
    """A state as it is shown: *tone* chooses the colour, *glyph* the shape, so that neither is alone."""

    word: str
    tone: str
    glyph: str


_LOOKS: Mapping[Phase, Look] = {
    Phase.CONNECTING: Look("Connecting", "busy", "turn"),
    Phase.WAITING: Look("Waiting for the lock", "warn", "clock"),
    Phase.BOOTSTRAPPING: Look("Bootstrapping", "busy", "turn"),
    Phase.PLANNING: Look("Planning", "busy", "turn"),
    Phase.MIGRATING: Look("Migrating", "busy", "turn"),
    Phase.CHECKING: Look("Checking", "busy", "turn"),
    Phase.READY: Look("Ready", "good", "check"),
    Phase.FAILED: Look("Failed", "bad", "cross"),
    Phase.DRAINING: Look("Shutting down", "still", "stop"),
}
_RETRYING = Look("Trying again", "warn", "clock")
_BLOCKED = Look("Waiting for a table lock", "warn", "clock")

_AWAY = Look("Ready, database away", "warn", "check")

_STEPS = (
    Phase.CONNECTING,
    Phase.WAITING,
    Phase.BOOTSTRAPPING,
    Phase.PLANNING,
    Phase.MIGRATING,
    Phase.CHECKING,
    Phase.READY,
)


def looks(status: Status) -> Look:
    """How *status* is shown at a glance."""
    look = _LOOKS[Phase(status.phase)]
    if status.phase == Phase.FAILED.value and status.failure and status.failure.retry_seconds is not None:
        return _RETRYING
    if status.progress is not None and status.progress.blockers:
        return _BLOCKED
    if status.ready and status.unreachable_since is not None:
        return _AWAY
    if status.ready and status.failure is not None:
        return replace(look, tone="warn")
    return look


def lede(status: Status) -> str:
    """One sentence below the state: what is going on, or what became of it."""
    match Phase(status.phase):
        case Phase.CONNECTING:
            tries = wording.count(status.attempts.count, "attempt")
            why = (status.attempts.last_reason or "").removeprefix(f"{status.target}: ")  # shown below it
            return f"{tries} so far. {_sentence(why)}" if why else "Reaching for the server."
        case Phase.WAITING:
            return "Another session holds it. One at a time migrates; the others wait here."
        case Phase.BOOTSTRAPPING:
            return "Creating what is declared and missing."
        case Phase.PLANNING:
            return _sentence(status.reason) if status.reason else "Comparing the folder with the history."
        case Phase.MIGRATING:
            return _migrating(status)
        case Phase.CHECKING:
            return "Asking whether the schema is as it must be."
        case Phase.READY:
            return _ready(status)
        case Phase.DRAINING:
            return "Finishing what is under way. Nothing new is begun."
        case _:
            return _sentence(status.reason or "") if status.failure is None else _failed(status)


def _migrating(status: Status) -> str:
    counts = status.counts
    left = counts.pending + counts.partly_applied
    if status.progress is None:
        return f"{wording.count(left, 'migration')} to apply."
    others = left - 1
    more = f"{wording.number(others)} more after it." if others > 0 else "It is the last one."
    return f"Applying {status.progress.version}. {more}"


def _ready(status: Status) -> str:
    if status.unreachable_since is not None:
        return f"It was, and counts as ready still, but {_plainly(status.reason or 'nobody answers')}."
    if status.failure is not None:
        return f"It was, and counts as ready still, but {_plainly(status.failure.message)}."
    all_of_them = f"All {wording.count(status.counts.applied, 'migration')} are applied"
    if status.counts.applied == 1:
        all_of_them = "The one migration is applied"
    if not status.counts.total:
        return "There is nothing to apply."
    if not status.applied_this_run:
        return f"{all_of_them}. Nothing was pending."
    took = f" in {wording.took(status.duration_ms)}" if status.duration_ms is not None else ""
    return f"{all_of_them}, {wording.number(status.applied_this_run)} of them by this run{took}."


def _failed(status: Status) -> str:
    failure = status.failure
    assert failure is not None
    if failure.retry_seconds is not None:
        return f"The next try begins {failure.retry_seconds:g} s after this one failed."
    return "It waits for a person, and tries again when the files change."


def _plainly(text: str) -> str:
    return (text.splitlines() or [""])[0].removesuffix(".")


def _sentence(text: str) -> str:
    first = (text.splitlines() or [""])[0]
    return f"{first[:1].upper()}{first[1:]}{'' if first.endswith('.') else '.'}"


def title(status: Status, look: Look) -> str:
    where = status.database or "pgready"
    if status.phase == Phase.MIGRATING.value and status.progress is not None:
        done, total = status.counts.applied, status.counts.total
        return f"{look.word} {done}/{total} · {where}"
    return f"{look.word} · {where}"


def steps(status: Status, working: Phase) -> list[tuple[str, str]]:
    """Each phase of a run with where it stands: done, now, failed, ahead."""
    phase = Phase(status.phase)
    if status.ready:
        return [(step.value, "done") for step in _STEPS]
    at = _STEPS.index(working if phase in (Phase.FAILED, Phase.DRAINING) else phase)
    present = "failed" if phase is Phase.FAILED else "now"
    return [
        (step.value, "done" if number < at else present if number == at else "ahead")
        for number, step in enumerate(_STEPS)
    ]


def failing_lines(place: Place | None) -> list[tuple[str, str]]:
    """The failing line and the one with the caret, each with its margin apart."""
    if place is None or place.excerpt is None:
        return []
    cut = ((margin, text) for margin, _, text in (line.partition("| ") for line in excerpt(place)))
    return list(cut)
