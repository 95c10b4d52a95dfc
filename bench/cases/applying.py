"""Applying: what starts on an empty database and ends when all is applied."""

from __future__ import annotations

import folders
from measure import once, side_by_side
from peers import ALL, APART
from report import Row, compared
from rig import FLOOR, PGREADY, Rig

_RULES = {ALL: "all in one transaction", APART: "records apart from the script"}


def apply(rig: Rig, count: int) -> list[Row]:
    """*count* migrations of three statements; of very many, fewer rounds, and none to warm up."""
    commands = rig.applying(f"apply_{count}", folders.steps(count), floors=[FLOOR])
    many = count >= 10_000
    found = side_by_side(commands, max(1, rig.rounds // 3) if many else rig.rounds, warm_up=not many)
    unlike = rules(rig)
    limits = {FLOOR: "≤ 1.2", **dict.fromkeys(unlike, "")}
    case = f"Apply {count:,} of three statements"
    return compared(case, found, PGREADY, limits, others="< 1", notes=unlike)


def rules(rig: Rig) -> dict[str, str]:
    """The peers that do not commit each migration together with its record, and what they do."""
    return {entry.name: _RULES[entry.transactions] for entry, _ in rig.peers if entry.transactions in _RULES}


def memory(rig: Rig) -> list[Row]:
    """pgready's peak over 10,000 small migrations; the peers' peaks stand beside what they apply."""
    command = rig.applying("memory", folders.steps(10_000, small=True), peers=False)[0]
    peak = once(command).peak_mib
    return [Row("Peak memory, 10,000 small migrations", PGREADY, peak, "MiB", wanted="< 80 MiB")]
