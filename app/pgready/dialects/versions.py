"""The version that a new migration gets: behind the newest one, and written as that is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(1970, 9999)
_CALENDAR = "%Y%m%d%H%M%S%f"
_CALENDAR_DIGITS = 20

# The step of a moment that is written in so many digits.
_DATES: Mapping[int, timedelta] = {
    8: timedelta(days=1),
    12: timedelta(minutes=1),
    14: timedelta(seconds=1),
    17: timedelta(milliseconds=1),
}
_SINCE_1970: Mapping[int, timedelta] = {10: timedelta(seconds=1), 13: timedelta(milliseconds=1)}

SECONDS = 14
"""Digits of a date with its time, as most tools write one: `20261124093000`."""

EPOCH_MS = 13
"""Digits of a moment in milliseconds since 1970."""


def following(newest: str, now: datetime) -> str:
    """The version behind *newest*: *now* where that is a moment (and never before it), else the next number.

    As many digits, at least; of `1_3` the last number counts.
    """
    head = newest.rstrip("0123456789")
    digits = newest[len(head) :]
    moment = _moment(digits)
    if moment is None:
        return f"{head}{int(digits) + 1:0{len(digits)}}"
    step = _DATES.get(len(digits)) or _SINCE_1970[len(digits)]
    return head + written(max(now, moment + step), len(digits))


def written(moment: datetime, digits: int) -> str:
    """*moment* (UTC) in one of the forms in which versions are written, by its length."""
    if digits in _DATES:
        return moment.strftime(_CALENDAR)[:digits]
    return str((moment - _EPOCH) // _SINCE_1970[digits])


def _moment(digits: str) -> datetime | None:
    """What *digits* say, where they are the form of a moment; a number with noughts in front is none."""
    if len(digits) in _SINCE_1970 and not digits.startswith("0"):
        return _EPOCH + int(digits) * _SINCE_1970[len(digits)]
    if len(digits) not in _DATES:
        return None
    try:
        moment = datetime.strptime(digits.ljust(_CALENDAR_DIGITS, "0"), _CALENDAR).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment if moment.year in _YEARS else None
