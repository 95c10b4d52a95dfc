"""What is measured, by name; `QUICK` is what `make bench` runs, in about ten minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from report import Row
from rig import Rig

from . import applying, large, over_network, replicas, scale, serving, starting, storm

Case = Callable[[Rig], list[Row]]

CASES: Mapping[str, Case] = {
    "no-op": lambda rig: starting.no_op(rig, 50),
    "no-op-1000": lambda rig: starting.no_op(rig, 1000),
    "health": starting.health_check,
    "apply-50": lambda rig: applying.apply(rig, 50),
    "apply-1000": lambda rig: applying.apply(rig, 1000),
    "apply-10000": lambda rig: applying.apply(rig, 10_000),
    "memory": applying.memory,
    "replicas": replicas.busy,
    "replicas-waiting": replicas.waiting,
    "round-trips": over_network.round_trips,
    "network-1": lambda rig: over_network.timed(rig, 1),
    "network-20": lambda rig: over_network.timed(rig, 20),
    "inserts": large.inserts,
    "copy": large.copied,
    "probes": serving.probes,
    "listeners": serving.listeners,
    "scale": scale.scale,
    "storm": storm.storm,
}

QUICK = ("no-op", "health", "apply-50", "apply-1000", "memory", "replicas", "round-trips", "network-20")
