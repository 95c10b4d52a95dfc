"""Many started at once, as a deployment does, against one alone: the time until the last has ended well.

All of them share the cores of this machine, which replicas in a cluster do not. So there are two cases:
migrations that keep the processor busy, where fifty starts cost what fifty starts cost, and migrations that
wait in the server, as a backfill or an index does, where the coordination shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import folders
from harness.peers.peer import Step
from measure import Command, Failed, Measurement, at_once, once
from report import Row
from rig import PGREADY, Rig

_COPIES = 50


def busy(rig: Rig) -> list[Row]:
    return _compared(rig, "1,000 migrations", "replicas", folders.steps(1000))


def waiting(rig: Rig) -> list[Row]:
    return _compared(rig, "10 migrations of 1 s", "waiting", folders.sleeping(10, 1.0))


def _compared(rig: Rig, what: str, case: str, steps: Sequence[Step]) -> list[Row]:
    """pgready, and the peers that have a lock of their own and so are safe to start at once."""
    safe = {PGREADY, *(entry.name for entry, _ in rig.peers if entry.at_once)}
    title = f"{_COPIES} replicas at once, {what}"
    commands = [each for each in rig.applying(case, steps) if each.name in safe]
    return [_row(rig, title, command) for command in commands]


def _row(rig: Rig, title: str, command: Command) -> Row:
    try:
        pairs = [(once(command), at_once(command, _COPIES)) for _ in range(max(1, rig.rounds // 3))]
    except Failed as failure:
        return Row(title, command.name, note=" ".join(str(failure).split())[:160])
    alone, together = (Measurement(command.name, runs) for runs in zip(*pairs, strict=True))
    ratio = together.median_seconds / alone.median_seconds
    return Row(
        title,
        command.name,
        together.median_seconds,
        low=together.seconds[0],
        high=together.seconds[-1],
        peak_mib=alone.peak_mib,
        wanted="≤ 1.5 of alone" if command.name == PGREADY else "",
        note=f"{ratio:.2f} of alone ({alone.median_seconds:.1f} s)",
    )
