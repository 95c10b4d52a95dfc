"""Times, durations and numbers as people read them on the page."""

from __future__ import annotations

from datetime import UTC, datetime

_AGES = (
    (60, 1, "s"),
    (3600, 60, "min"),
    (86400, 3600, "h"),
    (30 * 86400, 86400, "day"),
    (365 * 86400, 30 * 86400, "month"),
)
_YEAR_SECONDS = 365 * 86400


def clock(seconds: float) -> str:
    """Time that has passed: `0:42`, `12:05`, `2:03:09`, `3 d 4 h`. `page.js` counts on in the same form."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def ago(then: datetime, now: datetime) -> str:
    """How long before *now*: `just now`, `12 s ago`, `3 days ago`."""
    seconds = (now - then).total_seconds()
    if seconds < 1:
        return "just now"
    for limit, divisor, unit in _AGES:
        if seconds < limit:
            return _ago(int(seconds // divisor), unit)
    return _ago(int(seconds // _YEAR_SECONDS), "year")


def _ago(count: int, unit: str) -> str:
    plural = "s" if count > 1 and unit in ("day", "month", "year") else ""
    return f"{count} {unit}{plural} ago"


def took(duration_ms: int) -> str:
    """`23 ms`, `1.4 s`, `2 min 5 s`, `1 h 3 min`."""
    if duration_ms < 1000:
        return f"{duration_ms} ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:.1f} s"
    seconds = duration_ms // 1000
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds // 60 % 60} min"


def number(value: int) -> str:
    return f"{value:,}"


def count(value: int, noun: str) -> str:
    """`1 migration`, `10,000 migrations`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
