"""`make bench`: pgready beside its floor and its peers, in one run, as ratios."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]

import charts
import report
import tools
from cases import CASES, QUICK
from harness.server import Server
from peers import NOT_HAD, PEERS, QUICK_PEERS, Entry
from rig import DURABLE, Rig, take_realtime_priority

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parent.parent / "docs" / "images"


def parsed() -> argparse.Namespace:
    names = {entry.name for entry in PEERS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs")
    parser.add_argument(
        "--only", choices=CASES, action="append", metavar="CASE", help=f"of {', '.join(CASES)}"
    )
    parser.add_argument(
        "--peers", default=",".join(QUICK_PEERS), help=f"all, none, or of {', '.join(sorted(names))}"
    )
    parser.add_argument("--all", action="store_true", help="all cases and all peers")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="measure with real-time priority, on a machine that others use too (as root)",
    )
    parser.add_argument(
        "--record", action="store_true", help="keep the rows in bench/results, and draw the charts"
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.peers.split(",")) - names - {"all", "none"}:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    return chosen


def chosen_peers(chosen: argparse.Namespace) -> Sequence[Entry]:
    if chosen.all or chosen.peers == "all":
        return PEERS
    return [entry for entry in PEERS if entry.name in chosen.peers.split(",")]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the server goes, too
    chosen = parsed()
    cases = chosen.only or (CASES if chosen.all else QUICK)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    results = report.load(path) if chosen.record else report.Results()
    with tempfile.TemporaryDirectory(prefix="pgready-bench-") as work:
        # The network and the server inherit the priority; what is installed before does not.
        server = Server(settings=DURABLE)
        rig = Rig(server, Path(work), chosen.rounds, chosen_peers(chosen))
        results.peers |= {entry.name: tools.version(tool) for entry, tool in rig.peers}
        if chosen.realtime:
            take_realtime_priority()
        server.start()
        try:
            for case in cases:
                print(f"--- {case}", flush=True)
                results.replace(CASES[case](rig), setting(chosen))
                if chosen.record:
                    report.save(results, path)
            text = report.table(results, f"{datetime.now(UTC):%Y-%m-%d}", preface(server, results))
        finally:
            server.remove()
    print(text)
    if chosen.record:
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        charts.draw(results, IMAGES)


def setting(chosen: argparse.Namespace) -> str:
    """How the cases of this run were measured."""
    priority = "with real-time priority" if chosen.realtime else "with no priority"
    load = os.getloadavg()[0]
    return f"{datetime.now(UTC):%H:%M} UTC, --rounds {chosen.rounds}, {priority}, load {load:.0f}."


def preface(on: Server, results: report.Results) -> str:
    """The machine and the versions."""
    peers = ", ".join(f"{name} {version}" for name, version in results.peers.items())
    missing = " ".join(f"Not measured: {name} ({why})." for name, why in NOT_HAD.items())
    server = f"PostgreSQL {on.version}, durable (fsync, synchronous_commit, full_page_writes)"
    return (
        f"{os.cpu_count()} x {processor()}; Python {platform.python_version()}; {server}, "
        "on the same machine. All contenders of a case run interleaved, each round in another order; "
        "medians, the lowest and the highest.\n\n"
        f"Peers: {peers}. {missing}"
    )


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return models[0] if models else platform.machine()


if __name__ == "__main__":
    main()
