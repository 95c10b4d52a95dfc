"""dbmate as in tests/harness, but its program itself: npm's way to it starts Node first."""

from __future__ import annotations

from pathlib import Path

from harness.peers import dbmate


class Dbmate(dbmate.Dbmate):
    def install(self) -> Path:
        beside = super().install().parents[1]
        return next(beside.glob("@dbmate/*/bin/dbmate"))
