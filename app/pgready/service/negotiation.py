"""What a request asks for: media type, durations, names from a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pgready.service.problems import BadRequest
from pgready.settings.values import duration


def media_type(accept: str, offers: Sequence[str]) -> str:
    """The one of *offers* that *accept* likes best; of equals, and where none fits, the first.

    Never 406: RFC 9110, 15.5.7 allows it, and a probe with an odd Accept wants an answer.
    """
    wishes = [_wish(part) for part in accept.split(",") if part.strip()]
    qualities = [_quality(offer, wishes) for offer in offers]
    best = max(qualities)
    return offers[qualities.index(best)] if best > 0 else offers[0]


def _wish(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    return name, _number(quality)


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text, re.ASCII) else 0.0


def _quality(offer: str, wishes: Sequence[tuple[str, float]]) -> float:
    """The quality that the most specific of *wishes* gives to *offer*."""
    by_name = dict(wishes)
    for name in (offer, offer.partition("/")[0] + "/*", "*/*"):
        if name in by_name:
            return by_name[name]
    return 0.0


def seconds(text: str, most: float) -> float:
    """*text* (`30s`, `500ms`, `1m`, seconds) in seconds, at most *most*. Raises BadRequest."""
    try:
        return min(duration(text), most)
    except ValueError as error:
        raise BadRequest(f"wait {error}") from None


def chosen(parameter: str, values: Iterable[str], valid: Sequence[str]) -> frozenset[str]:
    """*values*, which must be among *valid* (`partly-applied` is `partly applied`). Raises BadRequest."""
    names = frozenset(re.sub("[-_]", " ", value.strip().lower()) for value in values)
    if not names <= set(valid):
        raise BadRequest(f"unknown {parameter}", tuple(valid))
    return names
