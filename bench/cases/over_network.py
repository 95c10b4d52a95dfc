"""Over a network: how often each tool waits for the server, and what that costs."""

from __future__ import annotations

import folders
from measure import Command, Failed, once, side_by_side
from network import Network
from report import Row, compared
from rig import PGREADY, Rig

from .applying import rules

_FEW, _MORE = 10, 20


def round_trips(rig: Rig) -> list[Row]:
    """Counted, not timed: the same every time."""
    rows: list[Row] = []
    with rig.over_network(0) as between:
        few = rig.applying("few", folders.steps(_FEW))
        more = rig.applying("more", folders.steps(_MORE))
        for command, longer in zip(few, more, strict=True):
            try:
                rows += _counted(between, command, longer)
            except Failed as failure:
                print(f"left out: {failure}", flush=True)
    return sorted(rows, key=lambda row: row.case)


def _counted(between: Network, few: Command, more: Command) -> list[Row]:
    first, again = _count(between, few), _count(between, few._replace(prepare=None))
    each = (_count(between, more) - first) / (_MORE - _FEW)
    return [
        Row("Round trips of a no-op start", few.name, again, ""),
        Row("Round trips of each migration", few.name, each, "", wanted="1" if few.name == PGREADY else ""),
    ]


def _count(between: Network, command: Command) -> int:
    if command.prepare:
        command.prepare()
    between.forget()
    once(command._replace(prepare=None))
    return between.round_trips


def timed(rig: Rig, round_trip_ms: int) -> list[Row]:
    """A no-op start, and 50 migrations, over a network whose round trip takes so long."""
    with rig.over_network(round_trip_ms / 2000):
        commands = rig.applying(f"far_{round_trip_ms}", folders.steps(50))
        rounds = max(1, rig.rounds // 2)
        applied = side_by_side(commands, rounds, warm_up=False)
        well = {each.name for each in applied}
        again = [command._replace(prepare=None) for command in commands if command.name in well]
        started = side_by_side(again, rounds + 1, warm_up=False)
    where = f"over {round_trip_ms} ms"
    unlike = rules(rig)
    return [
        *compared(f"No-op start {where}", started, PGREADY, {}),
        *compared(f"Apply 50 {where}", applied, PGREADY, {}, others="≤ 0.5", notes=unlike),
    ]
