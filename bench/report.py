"""Rows of the table: kept in results/DATE.json as each case ends, and written from there as DATE.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from measure import Measurement


class Row(Struct, frozen=True):
    """One line of the table. *value*, *low* and *high* are in *unit*: `s`, `MiB` or a count's name."""

    case: str
    name: str
    value: float | None = None
    unit: str = "s"
    low: float | None = None
    high: float | None = None
    peak_mib: float | None = None
    ratio: float | None = None
    wanted: str = ""
    note: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        spread = (
            ""
            if self.low is None or self.high is None
            else f"{self._shown(self.low)} to {self._shown(self.high)}"
        )
        peak = "" if self.peak_mib is None else f"{self.peak_mib:.0f} MiB"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        value = "failed" if self.value is None else self._shown(self.value)
        return self.name, value, spread, peak, ratio, self.wanted, self.note

    def _shown(self, value: float) -> str:
        if self.unit == "s":
            return f"{1000 * value:.0f} ms" if value < 10 else f"{value:.1f} s"
        return (
            f"{value:.0f} {self.unit}" if value >= 10 or value == int(value) else f"{value:.1f} {self.unit}"
        )


class Results(Struct):
    """All that was measured. *setting* says how, for each case as it was measured last; *peers* are their
    versions."""

    rows: list[Row] = []
    setting: dict[str, str] = {}
    peers: dict[str, str] = {}

    def replace(self, rows: Sequence[Row], setting: str) -> None:
        """Put *rows* in the place of those of the same cases."""
        cases = {row.case for row in rows}
        self.rows = [row for row in self.rows if row.case not in cases] + list(rows)
        self.setting |= dict.fromkeys(cases, setting)


def compared(
    case: str,
    found: Iterable[Measurement],
    of: str,
    limits: Mapping[str, str],
    others: str = "",
    notes: Mapping[str, str] | None = None,
) -> list[Row]:
    """A row for each measurement, with the ratio of *of* to it; *others* is wanted of all but *limits*."""
    found = list(found)
    mine = next(each for each in found if each.name == of).median_seconds
    return [
        Row(
            case,
            each.name,
            each.median_seconds,
            low=each.seconds[0],
            high=each.seconds[-1],
            peak_mib=each.peak_mib,
            ratio=mine / each.median_seconds,
            wanted="" if each.name == of else limits.get(each.name, others),
            note=(notes or {}).get(each.name, ""),
        )
        for each in found
    ]


HEAD = ("what", "median", "spread", "peak", "pgready ÷ it", "wanted", "")


def table(results: Results, title: str, preface: str) -> str:
    """The whole report in Markdown."""
    lines = [f"# {title}", "", preface]
    for case in dict.fromkeys(row.case for row in results.rows):
        lines += ["", f"## {case}", "", results.setting[case], "", _line(HEAD), _line(["---"] * len(HEAD))]
        lines += [_line(row.cells) for row in results.rows if row.case == case]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def load(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else Results()


def save(results: Results, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
