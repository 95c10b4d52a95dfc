"""A thousand replicas at once on a server that has a hundred connections: what it sees, and who gets in.

A thousand processes need some 40 GB. So the replicas are a thousand runs of pgready's own code in a few
processes, with its own waits and looks; what a process costs beside that is left out. They start within the
same second, which is more than a rolling deployment asks for.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

import folders
from harness.peers.peer import Step
from report import Row
from rig import PROGRAMS, Rig

_REPLICAS, _SWARMS = 1000, 4
_ROLE = "bench_replica"
_LOOK_SECONDS = 0.5
_SEEN = """SELECT count(*) FILTER (WHERE usename = 'bench_replica'),
  (SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database) FROM pg_stat_activity"""


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
    """A first start with 20 s of work, and one with none."""
    rig.server.psql(f"DROP ROLE IF EXISTS {_ROLE}; CREATE ROLE {_ROLE} LOGIN PASSWORD '{_ROLE}'")
    work = folders.sleeping(20, 1.0)
    return [
        *_stormed(rig, "a first start with 20 s of work", work, anew=True),
        *_stormed(rig, "a start with nothing to do", work, anew=False),
    ]


def _stormed(rig: Rig, what: str, steps: Sequence[Step], *, anew: bool) -> list[Row]:
    folder = folders.native(rig.work / "storm", steps)
    if anew:
        _database(rig)
    swarms, looks = _run(rig, folder)
    return _rows(f"{_REPLICAS:,} replicas at once, {what}", rig, swarms, looks)


def _database(rig: Rig) -> None:
    rig.fresh("storm")
    rig.server.psql(
        f"ALTER DATABASE storm OWNER TO {_ROLE}; GRANT ALL ON SCHEMA public TO {_ROLE}", database="storm"
    )


def _run(rig: Rig, folder: Path) -> tuple[list[Swarm], list[Look]]:
    url = rig.server.url("storm", _ROLE, _ROLE)
    program: list[str | Path] = [rig.bin / "python", PROGRAMS / "swarm.py", folder, str(_REPLICAS // _SWARMS)]
    processes = [
        subprocess.Popen(program, env={"DATABASE_URL": url, "PATH": ""}, stdout=subprocess.PIPE, cwd="/")
        for _ in range(_SWARMS)
    ]
    looks = []
    while any(process.poll() is None for process in processes):
        looks.append(_look(rig))
        time.sleep(_LOOK_SECONDS)
    return [_said(process) for process in processes], looks


def _said(process: subprocess.Popen[bytes]) -> Swarm:
    assert process.stdout is not None
    with process.stdout as said:
        return msgspec.json.decode(said.read(), type=Swarm)


def _look(rig: Rig) -> Look:
    """Through one of the connections that the server keeps for superusers."""
    sessions, transactions = rig.server.psql(_SEEN).strip().split("|")
    return Look(time.time(), int(sessions), int(transactions))


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
        Row(case, "half of them ready after", ended[len(ended) // 2]),
        Row(case, "all of them after", ended[-1]),
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
