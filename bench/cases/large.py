"""One script of 100 MB. The floor is psql, which runs it as it reads it, in one transaction."""

from __future__ import annotations

import os
from pathlib import Path

import folders
from harness.peers.peer import Step
from measure import Command, side_by_side
from report import Row, compared
from rig import PGREADY, Rig

_SIZE_BYTES = 100_000_000
_ROWS_EACH = 100
_PSQL = "psql -1"


def inserts(rig: Rig) -> list[Row]:
    case = f"100 MB of INSERTs of {_ROWS_EACH} rows"
    able = ("dbmate", "goose", "golang-migrate", "tern", "sqlx-cli", "refinery", "sqitch", "node-pg-migrate")
    return _large(rig, "inserts", case, folders.inserts(_SIZE_BYTES, _ROWS_EACH), able)


def copied(rig: Rig) -> list[Row]:
    """Only what runs psql, or reads its files as psql does, can copy."""
    return _large(rig, "copied", "100 MB of COPY data", folders.copied(_SIZE_BYTES), ("sqitch", "flyway"))


def _large(rig: Rig, name: str, case: str, step: Step, able: tuple[str, ...]) -> list[Row]:
    commands = [each for each in rig.applying(name, [step]) if each.name in (PGREADY, *able)]
    floor = _psql(rig, name)
    found = side_by_side([commands[0], floor, *commands[1:]], max(1, rig.rounds // 2), warm_up=False)
    return compared(case, found, PGREADY, {})


def _psql(rig: Rig, name: str) -> Command:
    script = next((rig.work / name / "native").glob("*.sql"))
    database = f"{name}_psql"
    arguments: list[str | Path] = ["psql", "-XqA1", "-v", "ON_ERROR_STOP=1", "-f", script, rig.url(database)]
    return Command(_PSQL, arguments, {"PATH": os.environ["PATH"]}, prepare=lambda: rig.fresh(database))
