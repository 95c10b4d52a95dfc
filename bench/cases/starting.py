"""Starts that have nothing to do."""

from __future__ import annotations

import os
import subprocess

import folders
from harness.server import free_port
from measure import Command, once, side_by_side
from report import Row, compared
from rig import DRIVER_ALONE, PGREADY, SAME_IMPORTS, Rig

LIMITS = {DRIVER_ALONE: "≤ 1.45", SAME_IMPORTS: "≤ 1.25"}


def no_op(rig: Rig, count: int) -> list[Row]:
    """Each on what it has applied itself; the two programs on what pgready has."""
    case = f"noop_{count}"
    commands = rig.applying(case, folders.steps(count))
    for command in commands:
        once(command)
    native = rig.work / case / "native"
    floors = [rig.program(name, native, f"{case}_pgready") for name in (DRIVER_ALONE, SAME_IMPORTS)]
    again = [command._replace(prepare=None) for command in commands]
    found = side_by_side([again[0], *floors, *again[1:]], 3 * rig.rounds)
    return compared(f"No-op start, {count:,} applied", found, PGREADY, LIMITS)


def health_check(rig: Rig) -> list[Row]:
    folder = folders.native(rig.work / "health", folders.steps(3))
    rig.fresh("health")
    port = str(free_port())
    serve = rig.pgready("serve", folder, "health")
    daemon = subprocess.Popen(
        [*map(str, serve.arguments), "--port", port],
        env=dict(serve.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    environ = {"PATH": os.environ["PATH"], "PGREADY_PORT": port}
    check = Command("pgready healthcheck", [rig.bin / "pgready", "healthcheck"], environ)
    bare = Command("python -c pass", [rig.bin / "python", "-c", "pass"], environ)
    try:
        assert daemon.stdout is not None
        while b"stop with" not in daemon.stdout.readline():
            pass
        found = side_by_side([check, bare], max(25, rig.rounds * 8))
    finally:
        daemon.terminate()
        daemon.wait()
    return compared("Health check", found, check.name, {bare.name: "≤ 2"})
