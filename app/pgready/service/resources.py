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
from pgready.service.problems import HTML, JSON, TEXT
from pgready.service.representations import MEDIA_TYPES, Representations

FORMATS = {"json": JSON, "text": TEXT, "html": HTML}
"""What `format=` takes, where there is a page as well."""

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


def face(request: Request) -> str:
    """JSON, text or a page: by `format=`, for links and address bars, else by Accept."""
    asked = negotiation.chosen("format", request.query_params.getlist("format"), tuple(FORMATS))
    return FORMATS[min(asked)] if asked else media_type(request, tuple(FORMATS.values()))


def to_root(request: Request) -> str:
    """What leads from the address to the root (`./`, `../`), as the browser has it: the address may end in a
    slash, and begin with a prefix that a proxy takes away."""
    path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    depth = path.removeprefix(request.scope.get("root_path", "").encode()).count(b"/") - 1
    return "../" * depth or "./"
