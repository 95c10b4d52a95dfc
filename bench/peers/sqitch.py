"""Sqitch, from Debian; it runs psql for each change."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.peers.peer import Ran, Step, Tool

_PLAN = "%syntax-version=1.0.0\n%project=bench\n\n"
_LINE = "{name} 2026-01-01T00:00:00Z Bench <bench@example.org> # one\n"


class Sqitch(Tool):
    def install(self) -> Path:
        found = shutil.which("sqitch")
        if found is None:
            pytest.fail("apt-get install sqitch libdbd-pg-perl postgresql-client")
        return Path(found)

    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        (folder / "deploy").mkdir(parents=True, exist_ok=True)
        (folder / "sqitch.conf").write_text("[core]\n\tengine = pg\n")
        (folder / "sqitch.plan").write_text(_PLAN + "".join(_LINE.format(name=step.name) for step in steps))
        for step in steps:
            (folder / "deploy" / f"{step.name}.sql").write_text(f"BEGIN;\n{step.up}COMMIT;\n")

    def up(self, folder: Path, url: str) -> Ran:
        who = {"SQITCH_FULLNAME": "Bench", "SQITCH_EMAIL": "bench@example.org"}
        return self.run("deploy", f"db:{url.replace('postgresql://', 'pg://')}", env=who, cwd=folder)
