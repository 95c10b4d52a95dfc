"""What is said of a migration that stands otherwise than planned, and its cure: a message and a hint."""

from __future__ import annotations

from collections.abc import Callable

from pgready.core.blanks import was_blank
from pgready.core.errors import typed
from pgready.core.planning import Entry, Flag


def flagged(entry: Entry, flag: Flag) -> tuple[str, str]:
    """What *flag* says of *entry*."""
    message, hint = _WORDING[flag](entry)
    return f"{_label(entry)}: {message}", hint


def failed(entry: Entry) -> tuple[str, str]:
    if entry.applied is not None and entry.applied.undo:
        return (
            f"{_label(entry)}: the history says that undoing it failed",
            f"undo it by hand, or restore what the undo took, then: pgready repair {typed(entry.version)} "
            "--done | --not-done; after --done the next up applies it again",
        )
    return (
        f"{_label(entry)}: the history says that it failed",
        f"undo or complete it by hand, then: pgready repair {typed(entry.version)} --done | --not-done",
    )


def _label(entry: Entry) -> str:
    if entry.migration is not None:
        return entry.migration.script.path
    return f"{entry.version} ({entry.name})" if entry.name else entry.version


def _changed(entry: Entry) -> tuple[str, str]:
    if entry.applied is not None and was_blank(entry.applied):
        repair = f"pgready repair {typed(entry.version)}"
        return (
            "changed after it was applied: it was recorded without a statement, and nothing of it has run",
            f"have the next up run it: {repair} --not-done; or empty it again and write a new migration; "
            f"where somebody has run it by hand: {repair}",
        )
    recorded, found = _short(
        (entry.applied and entry.applied.checksum) or "", entry.migration.checksum if entry.migration else ""
    )
    return (
        f"changed after it was applied (recorded {recorded}, found {found})",
        "restore the file and put the change in a new migration, or accept it: "
        f"pgready repair {typed(entry.version)}",
    )


def _short(recorded: str, found: str) -> tuple[str, str]:
    """Both checksums, cut where they are known to differ."""
    same = next((i for i, pair in enumerate(zip(recorded, found, strict=False)) if pair[0] != pair[1]), 0)
    width = max(4, same + 1)
    return _cut(recorded, width), _cut(found, width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[:width]}…"


def _cosmetic(entry: Entry) -> tuple[str, str]:
    return (
        "comments or white space changed after it was applied",
        f"accept the new text: pgready repair {typed(entry.version)}",
    )


def _out_of_order(entry: Entry) -> tuple[str, str]:
    return (
        "pending out of order: a later migration is applied already",
        "give it a version after the newest one, or allow it: --out-of-order allow",
    )


def _ahead(entry: Entry) -> tuple[str, str]:
    return (
        "applied, and newer than every file of this folder",
        "use the folder of the release that has it, or allow it: --ahead allow; "
        f"where it is gone for good: pgready repair {typed(entry.version)} --gone",
    )


def _missing(entry: Entry) -> tuple[str, str]:
    return (
        "applied, but the folder has no such file",
        f"restore the file, or accept that it is gone: pgready repair {typed(entry.version)}",
    )


_WORDING: dict[Flag, Callable[[Entry], tuple[str, str]]] = {
    Flag.OUT_OF_ORDER: _out_of_order,
    Flag.MISSING: _missing,
    Flag.AHEAD: _ahead,
    Flag.CHANGED: _changed,
    Flag.COSMETIC: _cosmetic,
}
