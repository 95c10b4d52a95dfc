"""A thousand replicas at once on a server that has a hundred connections: what it sees, and who gets in.

A thousand processes need some 40 GB. So the replicas are a thousand runs of pgready's own code in a few
processes, with its own waits and looks; what a process costs beside that is left out. They start within the
same second, which is more than a rolling deployment asks for.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

import folders
from harness.database import connected
from report import Row
from rig import PROGRAMS, Rig

_REPLICAS, _SWARMS = 1000, 4
_ROLE = "bench_replica"
_LOOK_SECONDS = 0.5
_SEEN = """
SELECT count(*) FILTER (WHERE usename = 'bench_replica'),
       (SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database)
FROM pg_stat_activity
"""


class Swarm(Struct, frozen=True):
    """What one process says of its replicas. Times are seconds since 1970."""

    outcomes: dict[str, int]
    ended: list[float]
    attempts: list[float]
    began: float


class Look(Struct, frozen=True):
    at: float
    sessions: int
    transactions: int


def storm(rig: Rig) -> list[Row]:
    """A first start with 20 s of work, with the default patience and with one that suffices; and a start with
    nothing to do."""
    rig.server.psql(f"DROP ROLE IF EXISTS {_ROLE}; CREATE ROLE {_ROLE} LOGIN PASSWORD '{_ROLE}'")
    folder = folders.native(rig.work / "storm", folders.sleeping(20, 1.0))
    rows: list[Row] = []
    for what, settings, anew in (
        ("20 s of work", (), True),
        ("20 s of work, PGREADY_CONNECT_TIMEOUT=5m", ("connect_timeout=5m",), True),
        ("nothing to do", (), False),
    ):
        if anew:
            _database(rig)
        swarms, looks = asyncio.run(_run(rig, folder, settings))
        rows += _rows(f"{_REPLICAS:,} replicas at once, {what}", rig, swarms, looks)
    return rows


def _database(rig: Rig) -> None:
    rig.fresh("storm")
    rig.server.psql(
        f"ALTER DATABASE storm OWNER TO {_ROLE}; GRANT ALL ON SCHEMA public TO {_ROLE}", database="storm"
    )


async def _run(rig: Rig, folder: Path, settings: Sequence[str]) -> tuple[list[Swarm], list[Look]]:
    url = rig.server.url("storm", _ROLE, _ROLE)
    count = str(_REPLICAS // _SWARMS)
    program: list[str | Path] = [rig.bin / "python", PROGRAMS / "swarm.py", folder, count, *settings]
    said = [rig.work / f"swarm_{number}.json" for number in range(_SWARMS)]
    looks: list[Look] = []
    # Connected before: in the storm not even a superuser gets in, whatever is kept for him.
    async with connected(rig.server, "postgres") as connection:
        processes = [_started(program, url, path) for path in said]
        while any(process.poll() is None for process in processes):
            looks += [Look(time.time(), *row) for row in await connection.fetch(_SEEN)]
            await asyncio.sleep(_LOOK_SECONDS)
    return [msgspec.json.decode(path.read_bytes(), type=Swarm) for path in said], looks


def _started(program: Sequence[str | Path], url: str, said: Path) -> subprocess.Popen[bytes]:
    with said.open("wb") as stdout:
        return subprocess.Popen(program, env={"DATABASE_URL": url}, stdout=stdout, cwd="/")


def _rows(case: str, rig: Rig, swarms: Sequence[Swarm], looks: Sequence[Look]) -> list[Row]:
    outcomes = sum((Counter(swarm.outcomes) for swarm in swarms), Counter[str]())
    began = min(swarm.began for swarm in swarms)
    ended = sorted(at - began for swarm in swarms for at in swarm.ended)
    attempts = Counter(int(at - began) for swarm in swarms for at in swarm.attempts)
    rates = [
        (later.transactions - look.transactions) / (later.at - look.at)
        for look, later in itertools.pairwise(looks)
    ]
    others = "; ".join(f"{number} x {what}" for what, number in outcomes.items() if what != "ready")
    return [
        Row(case, "ready", outcomes["ready"], "", wanted=f"{_REPLICAS:,}", note=others),
        Row(case, "half of them had ended after", ended[len(ended) // 2]),
        Row(case, "the last ended after", ended[-1]),
        Row(case, "attempts to connect", attempts.total(), ""),
        Row(case, "attempts in the busiest second", max(attempts.values()), ""),
        Row(
            case,
            "attempts a second after the first five",
            _mean([attempts[n] for n in range(5, int(ended[-1]))]),
            "",
        ),
        Row(case, "sessions, most", max(look.sessions for look in looks), "", note=_room(rig)),
        Row(case, "transactions a second, mean", _mean(rates), ""),
    ]


def _room(rig: Rig) -> str:
    return f"max_connections {rig.server.psql('SHOW max_connections').strip()}"


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
