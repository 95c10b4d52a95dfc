"""Where pgready's own time goes: what a no-op start imports, and what applying computes.

`bench/costs.py` prints the largest shares of both. The profiler makes Python's own work look some three
times as long as it is, and what C does as long as it is: the shares are for finding, not for quoting.
"""

from __future__ import annotations

import pstats
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]

import folders
from harness.server import Server
from measure import once
from rig import DURABLE, Rig

_COUNT = 1000
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")
_PROFILED = (
    "import cProfile, sys; from pgready.commands.main import run; profile = cProfile.Profile();"
    " profile.runcall(run, sys.argv[2:]); profile.dump_stats(sys.argv[1])"
)
_AREAS = {
    "reading scripts (libpg_query, segments)": r"postgast|/core/(sql|tokens|statements|compile|kinds)",
    "telling (structlog, the log's writes)": r"structlog|/logs\.py|eventlog|console|TextIOWrapper|renderings",
    "waiting for the server": r"select\.epoll",
    "the driver and the event loop": r"asyncpg|asyncio|anyio|selectors|socket|/wire\.py",
    "our run (decisions, statements, events)": r"/pgready/",
    "imports": r"importlib|marshal|builtins\.exec|build_class",
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pgready-bench-") as work:
        server = Server(settings=DURABLE)
        server.start()
        try:
            rig = Rig(server, Path(work), 1, [])
            command = rig.applying("profile", folders.steps(_COUNT), peers=False)[0]
            stats = Path(work) / "stats"
            python = rig.bin / "python"
            assert command.prepare is not None
            command.prepare()
            arguments = [python, "-c", _PROFILED, stats, *command.arguments[1:]]
            once(command._replace(arguments=arguments, prepare=None))
            _print(f"applying {_COUNT:,}", _by_area(stats))
            arguments = [python, "-X", "importtime", *command.arguments]
            said = subprocess.run(
                [str(argument) for argument in arguments], env=dict(command.environ), capture_output=True,
                text=True, check=True, cwd=work,
            ).stderr  # fmt: skip
            _print("imports of a no-op start", _by_package(said))
        finally:
            server.remove()


def _by_area(stats: Path) -> dict[str, float]:
    """Milliseconds of each of _AREAS: what its functions spent themselves."""
    spent = defaultdict[str, float](float)
    for (file, _, name), (_, _, own_seconds, _, _) in pstats.Stats(str(stats)).stats.items():  # type: ignore[attr-defined]
        place = f"{file}:{name}"
        area = next((area for area, pattern in _AREAS.items() if re.search(pattern, place)), "the rest")
        spent[area] += 1000 * own_seconds
    return spent


def _by_package(said: str) -> dict[str, float]:
    spent = defaultdict[str, float](float)
    for microseconds, module in _IMPORT.findall(said):
        spent[module.partition(".")[0]] += int(microseconds) / 1000
    return spent


def _print(title: str, spent: Mapping[str, float]) -> None:
    print(f"{title}: {sum(spent.values()):.0f} ms")
    for what, milliseconds in sorted(spent.items(), key=lambda item: -item[1])[:8]:
        print(f"  {milliseconds:7.0f} ms  {what}")


if __name__ == "__main__":
    main()
