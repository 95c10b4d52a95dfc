"""The commands on a target with 10,000 applied migrations, each of which has made a table."""

from __future__ import annotations

import folders
from measure import Measurement, once, side_by_side
from report import Row
from rig import PGREADY, Rig

_COUNT = 10_000
_READING = ("status", "plan", "wait", "schema")


def scale(rig: Rig) -> list[Row]:
    command = rig.applying("scale", folders.steps(_COUNT), peers=False)[0]
    applied = Measurement("up, all pending", (once(command),))
    native, database = rig.work / "scale" / "native", f"scale_{PGREADY}"
    commands = [command._replace(name="up, nothing to do", prepare=None)]
    commands += [rig.pgready(verb, native, database)._replace(name=verb) for verb in _READING]
    return [_row(each) for each in (applied, *side_by_side(commands, rig.rounds))]


def _row(found: Measurement) -> Row:
    return Row(
        f"{_COUNT:,} migrations and {_COUNT:,} tables",
        found.name,
        found.median_seconds,
        low=found.seconds[0],
        high=found.seconds[-1],
        peak_mib=found.peak_mib,
    )
