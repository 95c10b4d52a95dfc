"""What a route is, and what every route asks of its request. `web` holds the table of them.

A module with routes of its own (the page, metrics, …) imports this, never `web`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from pgready.service import negotiation
from pgready.service.feed import Feed
from pgready.service.representations import MEDIA_TYPES, Representations

Endpoint = Callable[[Request], Awaitable[Response]]


class Resource(Struct, frozen=True):
    """What is served under a path and its aliases. GET brings HEAD with it."""

    paths: tuple[str, ...]
    endpoint: Endpoint
    method: str = "GET"

    @property
    def shown(self) -> tuple[str, ...]:
        """The paths as the documents and the 404 write them."""
        return tuple(path.replace(":path}", "}") for path in self.paths)


def representations(request: Request) -> Representations:
    """The rendered faces of the status."""
    found: Representations = request.app.state.representations
    return found


def feed(request: Request) -> Feed:
    """The status, and a way to wait for the next one."""
    return representations(request).feed


def media_type(request: Request, offers: tuple[str, ...] = MEDIA_TYPES) -> str:
    """The one of *offers* that the request's Accept likes best."""
    return negotiation.media_type(",".join(request.headers.getlist("accept")), offers)
