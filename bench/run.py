"""`make bench`: pgready beside its floor and its peers, in one run, as ratios."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]

import crowds
import folders
import tools
from measure import Command, Measurement, once, side_by_side

from harness.server import Server, free_port

PROGRAMS = Path(__file__).parent / "programs"
RESULTS = Path(__file__).parent / "results"
_CASES = ("no-op", "apply", "memory", "health", "probes", "listeners")
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class Row(NamedTuple):
    """One line of the table; *limit* is what issue and design ask for, *against* what it is compared with."""

    case: str
    name: str
    median: str
    spread: str
    ratio: str
    limit: str = ""


class Bench:
    def __init__(self, server: Server, work: Path, rounds: int) -> None:
        self.server = server
        self.work = work
        self.rounds = rounds
        self.bin = tools.pgready()
        self.rows: list[Row] = []

    def fresh(self, database: str) -> Callable[[], None]:
        """A function that makes *database* anew, outside the measurement."""

        def prepare() -> None:
            self.server.psql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            self.server.psql(f"CREATE DATABASE {database}")
            self.server.psql("CHECKPOINT")

        return prepare

    def pgready(self, command: str, folder: Path, database: str, name: str = "pgready") -> Command:
        url = self.server.url(database)
        return Command(name, [self.bin / "pgready", command, "--dir", folder], {"DATABASE_URL": url})

    def program(self, name: str, folder: Path, database: str) -> Command:
        arguments = [self.bin / "python", PROGRAMS / f"{name}.py", folder]
        return Command(name, arguments, {"DATABASE_URL": self.server.url(database)})

    def compare(
        self, case: str, found: dict[str, Measurement], of: str, limits: dict[str, str], least: str = ""
    ) -> None:
        """A row for each measurement, with the ratio of *of* to it."""
        mine = found[of].median_seconds
        for name, each in found.items():
            ratio = f"{mine / each.median_seconds:.2f}"
            self.rows.append(Row(case, name, each.median, each.spread, ratio, limits.get(name, least)))

    # The cases

    def no_op(self, count: int) -> None:
        database = f"noop_{count}"
        folder = folders.native(self.work / database, count)
        self.fresh(database)()
        up = self.pgready("up", folder, database)
        once(up)
        commands = [
            up,
            self.program("driver_alone", folder, database),
            self.program("same_imports", folder, database),
        ]
        found = side_by_side(commands, max(15, self.rounds * 5))
        self.compare(
            f"no-op, {count} applied", found, "pgready", {"driver_alone": "≤ 1.45", "same_imports": "≤ 1.25"}
        )

    def apply(self, count: int) -> None:
        native = folders.native(self.work / "native", count)
        commands = [
            self.pgready("up", native, "apply_pgready")._replace(prepare=self.fresh("apply_pgready")),
            self.program("floor", native, "apply_floor")._replace(prepare=self.fresh("apply_floor")),
            *self._peers(count),
        ]
        found = side_by_side(commands, self.rounds)
        self.compare(f"apply {count} of three statements", found, "pgready", {"floor": "≤ 1.2"}, least="< 1")

    def _peers(self, count: int) -> Sequence[Command]:
        url = self.server.url
        peers: list[Command] = []
        node = tools.node()
        if node is not None:
            folder = folders.dbmate(self.work / "dbmate", count)
            arguments = [
                node / "node_modules/.bin/dbmate",
                "--no-dump-schema",
                "--migrations-dir",
                folder,
                "up",
            ]
            peers.append(
                Command("dbmate", arguments, {"DATABASE_URL": f"{url('apply_dbmate')}?sslmode=disable"})
            )
            peers.append(self._drizzle_kit(node, count))
            folder = folders.node_pg_migrate(self.work / "node_pg_migrate", count)
            script = node / "node_modules/.bin/node-pg-migrate"
            peers.append(
                Command(
                    "node-pg-migrate",
                    [script, "up", "-m", folder, "--no-single-transaction"],
                    {"DATABASE_URL": url("apply_node_pg_migrate")},
                    node,
                )
            )
        bin_ = tools.python()
        sqlalchemy = url("apply_alembic").replace("postgresql://", "postgresql+psycopg://")
        folder = folders.alembic(self.work / "alembic", count, sqlalchemy)
        peers.append(Command("alembic", [bin_ / "alembic", "-c", folder / "alembic.ini", "upgrade", "head"]))
        folder = folders.yoyo(self.work / "yoyo", count)
        database = url("apply_yoyo").replace("postgresql://", "postgresql+psycopg://")
        arguments = [bin_ / "yoyo", "apply", "--batch", "--no-config-file", "--database", database, folder]
        peers.append(Command("yoyo", arguments))
        return [peer._replace(prepare=self.fresh(f"apply_{peer.name.replace('-', '_')}")) for peer in peers]

    def _drizzle_kit(self, node: Path, count: int) -> Command:
        folder = folders.drizzle(self.work / "drizzle", count)
        config = node / "drizzle.config.json"
        config.write_text(
            json.dumps(
                {
                    "dialect": "postgresql",
                    "out": os.path.relpath(folder, node),
                    "dbCredentials": {"url": self.server.url("apply_drizzle_kit")},
                }
            )
        )
        return Command("drizzle-kit", [node / "node_modules/.bin/drizzle-kit", "migrate"], {}, node)

    def memory(self, count: int) -> None:
        folder = folders.native(self.work / f"small_{count}", count, small=True)
        run = once(self.pgready("up", folder, "memory")._replace(prepare=self.fresh("memory")))
        peak = f"{run.peak_mib:.0f} MiB"
        self.rows.append(Row(f"peak memory, {count} small", "pgready", peak, "", "", "< 80 MiB"))

    def health_check(self) -> None:
        folder = folders.native(self.work / "health", 3)
        self.fresh("health")()
        port = str(free_port())
        serve = self.pgready("serve", folder, "health")
        daemon = subprocess.Popen(
            [*map(str, serve.arguments), "--port", port],
            env={**os.environ, **serve.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert daemon.stdout is not None
            while b"stop with" not in daemon.stdout.readline():
                pass
            check = Command("pgready", [self.bin / "pgready", "healthcheck"], {"PGREADY_PORT": port})
            bare = Command("python -c pass", [self.bin / "python", "-c", "pass"])
            found = side_by_side([check, bare], max(25, self.rounds * 8))
        finally:
            daemon.terminate()
            daemon.wait()
        self.compare("health check", found, "pgready", {"python -c pass": "≤ 2"})

    def probes(self, seconds: int, rate: int) -> None:
        """Probes through a migration, of which none may fail."""
        folder = folders.sleeping(self.work / "probes", seconds)
        self.fresh("probes")()
        probed, peak = self._probed(folder, rate)
        self.rows.append(
            Row(
                f"/ready, {rate} probes a second for {seconds} s",
                "pgready",
                f"{probed.percentile(50):.1f} ms",
                f"p99 {probed.percentile(99):.1f} ms, most {max(probed.ready_ms):.0f} ms",
                f"{probed.failed} of {probed.total} failed, {probed.late} sent late",
                "none fails, p99 < 50 ms",
            )
        )
        self.rows.append(Row("peak memory meanwhile", "pgready", f"{peak:.0f} MiB", "", ""))

    def _probed(self, folder: Path, rate: int) -> tuple[crowds.Probed, float]:
        serve, port, done = self.pgready("serve", folder, "probes"), free_port(), threading.Event()
        with (
            crowds.daemon(serve.arguments, serve.environ, port) as daemon,
            ThreadPoolExecutor(1) as pool,
        ):
            probing = pool.submit(crowds.probe, port, rate, done)
            try:
                crowds.until_ready(port)
            finally:
                done.set()
            return probing.result(), crowds.peak_mib(daemon)

    def listeners(self, count: int, each: int) -> None:
        """A run of *count* small migrations alone, and before as many deaf listeners as reading ones."""
        folder = folders.native(self.work / "listened", count, small=True)
        folders.pause(folder, 5)
        found: dict[int, list[tuple[float, float]]] = {0: [], each: []}
        for number in range(max(3, self.rounds)):
            for listening in found if number % 2 else reversed(found):
                found[listening].append(asyncio.run(self._listened(folder, listening)))
        alone = statistics.median(seconds for seconds, _ in found[0])
        for listening, runs in found.items():
            seconds = sorted(seconds for seconds, _ in runs)
            self.rows.append(
                Row(
                    f"apply {count} before {2 * listening} listeners",
                    f"pgready, peak {max(peak for _, peak in runs):.0f} MiB",
                    f"{1000 * statistics.median(seconds):.0f} ms",
                    f"{1000 * seconds[0]:.0f} ms to {1000 * seconds[-1]:.0f} ms",
                    f"{statistics.median(seconds) / alone:.2f} of alone",
                    "≤ 1.1, + 64 MiB" if listening else "",
                )
            )

    async def _listened(self, folder: Path, listening: int) -> tuple[float, float]:
        """How long the run took after its first pause, and the daemon's peak of memory."""
        self.fresh("listened")()
        serve, port = self.pgready("serve", folder, "listened"), free_port()
        with crowds.daemon(serve.arguments, serve.environ, port) as daemon:
            async with crowds.listeners(port, listening, listening):
                await asyncio.to_thread(crowds.until_ready, port)
                peak = crowds.peak_mib(daemon)
        took = "SELECT extract(epoch FROM max(applied_at) - min(applied_at)) FROM pgready.history"
        return float(self.server.psql(took, database="listened")), peak


def table(rows: Sequence[Row]) -> str:
    head = ("case", "what", "median", "spread", "pgready ÷ it", "wanted")
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def heading(server: Server, rounds: int) -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return (
        f"# {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n\n"
        f"{os.cpu_count()} x {model}; Python {platform.python_version()}; PostgreSQL {server.version}, "
        f"durable; {rounds} rounds, interleaved, order alternating. Peers: "
        f"{', '.join(f'{name} {number}' for name, number in tools.NODE_PACKAGES.items())}, "
        f"{', '.join(tools.PYTHON_PACKAGES)}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=_CASES, action="append")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pgready-bench-") as work:
        server = Server(settings=DURABLE)
        server.start()
        try:
            bench = Bench(server, Path(work), chosen.rounds)
            cases: dict[str, Callable[[], None]] = {
                "no-op": lambda: (bench.no_op(50), bench.no_op(1000))[0],
                "apply": lambda: bench.apply(1000),
                "memory": lambda: bench.memory(10_000),
                "health": bench.health_check,
                "probes": lambda: bench.probes(60, 1000),
                "listeners": lambda: bench.listeners(2000, 100),
            }
            for name, case in cases.items():
                if not chosen.only or name in chosen.only:
                    case()
            text = f"{heading(server, chosen.rounds)}\n{table(bench.rows)}\n"
        finally:
            server.stop()
    print(text)
    if not chosen.only:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
