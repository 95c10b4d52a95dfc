"""Bars as SVG, legible on light and on dark: a few lines of text, so no library is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from report import Results, Row

CHARTS = {
    "bench-no-op": "No-op start, 50 applied",
    "bench-apply": "Apply 1,000 of three statements",
    "bench-round-trips": "Round trips of each migration",
    "bench-no-op-20": "No-op start over 20 ms",
    "bench-apply-20": "Apply 50 over 20 ms",
    "bench-replicas": "50 replicas at once, 10 migrations of 1 s",
}
"""Files of docs/images, and the case that each shows."""

_FLOORS = {"floor", "driver_alone", "same_imports", "psql -1"}
_WIDTH, _LEFT, _RIGHT, _TOP, _STEP, _BAR = 720, 150, 90, 40, 26, 16
_MOST_OF_OWN = 12
"""Bars that are longer than so many times pgready's are cut, lest all others look alike."""

_STYLE = """\
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .value { fill: #57606a; font-variant-numeric: tabular-nums }
.own { fill: #2f6feb } .floor { fill: #b6bdc6 } .peer { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .value { fill: #9da7b3 } .floor { fill: #4a525c } .peer { fill: #768390 }
}
"""


def draw(results: Results, folder: Path) -> None:
    """Draw those of CHARTS of which there are results."""
    for name, case in CHARTS.items():
        rows = [row for row in results.rows if row.case == case and row.value is not None]
        if rows:
            (folder / f"{name}.svg").write_text(svg(case, rows), encoding="utf-8")


def svg(title: str, rows: Sequence[Row]) -> str:
    """A bar for each of *rows*, the shortest first; pgready's stands out, and floors stand back."""
    ordered = sorted(rows, key=_value)
    height = _TOP + _STEP * len(ordered) + 8
    own = max((_value(row) for row in ordered if row.name == "pgready"), default=0.0)
    longest = min(max(map(_value, ordered)), _MOST_OF_OWN * own) or 1.0
    bars = [_bar(row, _TOP + _STEP * index, longest) for index, row in enumerate(ordered)]
    said = escape(f"{title}: " + ", ".join(f"{row.name} {row.cells[1]}" for row in ordered))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{said}</title>",
            f"<style>\n{_STYLE}</style>",
            f'<text class="title" x="8" y="22">{escape(title)}</text>',
            *bars,
            "</svg>\n",
        ]
    )


def _bar(row: Row, top: int, longest: float) -> str:
    shown = f"… {row.cells[1]}" if _value(row) > longest else row.cells[1]
    width = max(1.0, (_WIDTH - _LEFT - _RIGHT) * min(1.0, _value(row) / longest))
    kind = "own" if row.name == "pgready" else "floor" if row.name in _FLOORS else "peer"
    middle = top + _BAR / 2 + 5
    return (
        f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(row.name)}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
        f'<text class="value" x="{_LEFT + width + 8:.1f}" y="{middle:.0f}">{escape(shown)}</text>'
    )


def _value(row: Row) -> float:
    return row.value or 0.0
