"""The route that Prometheus scrapes."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from pgready.service import problems, resources
from pgready.service.exposition import OPENMETRICS, TEXT, Picture, exposition

_OFFERS = {"text/plain": TEXT, "application/openmetrics-text": OPENMETRICS}


async def metrics(request: Request) -> Response:
    """Prometheus' text format, or OpenMetrics where that is liked better."""
    media_type = _OFFERS[resources.media_type(request, tuple(_OFFERS))]
    feed = resources.feed(request)
    picture = Picture(feed.status, feed.tally, datetime.now(UTC))
    return problems.answer(exposition(picture, media_type, with_process=True), media_type)
