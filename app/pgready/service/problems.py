"""Answers and errors with the headers that every one of them carries (RFC 9110, RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pgready.service.bodies import PIECE_BYTES, Bodies, pieces

JSON = "application/json"
TEXT = "text/plain"
HTML = "text/html"
PROBLEM = "application/problem+json"

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer; a page replaces the content policy with its own."""


class Problem(msgspec.Struct, frozen=True):
    """A problem document, which never repeats the request; *valid* lists what would have been accepted."""

    title: str
    status: int
    detail: str
    valid: tuple[str, ...] | None = None
    type: str = "about:blank"


class BadRequest(Exception):
    """A parameter that cannot be used. *valid* lists what can."""

    def __init__(self, detail: str, valid: tuple[str, ...] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.valid = valid


def answer(
    body: bytes,
    media_type: str = JSON,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    always: bool = False,
) -> Response:
    """A response with *body* and the headers of every answer.

    Of large ones there are only so many at once: unless it is to be sent *always*, 503 may take its place.
    """
    headers = {**HEADERS, **(headers or {})}
    if len(body) <= PIECE_BYTES:
        return Response(body, status, headers, media_type)
    return _LargeAnswer(body, status, headers, media_type, always=always)


class _LargeAnswer(Response):
    """Goes out as fast as it is read."""

    def __init__(self, *arguments: Any, always: bool) -> None:
        super().__init__(*arguments)
        self._always = always

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bodies: Bodies = scope["app"].state.bodies
        body = bytes(self.body)
        if not self._always and not bodies.room_for(body):
            refusal = problem(503, "too many large answers are under way", headers={"Retry-After": "5"})
            await refusal(scope, receive, send)
            return
        with bodies.under_way(body):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            for piece, more in pieces(body):
                await send({"type": "http.response.body", "body": piece, "more_body": more})


def problem(
    status: int,
    detail: str,
    *,
    valid: tuple[str, ...] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document whose title is the status's own phrase."""
    document = Problem(HTTPStatus(status).phrase, status, detail, valid)
    body = {key: value for key, value in msgspec.structs.asdict(document).items() if value is not None}
    return answer(msgspec.json.encode(body), PROBLEM, status, headers)


async def bad_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)
    return problem(400, error.detail, valid=error.valid)


async def refused(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, which it would send as text/plain."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return problem(404, "there is nothing at this path", valid=request.app.state.paths)
        case 405:
            allowed = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
            return problem(405, "this path takes another method", headers={"Allow": allowed})
        case status:
            return problem(status, error.detail, headers=error.headers)


async def broken(_: Request, __: Exception) -> Response:
    """A defect of ours. Starlette raises it again after this answer, so that it is logged once."""
    return problem(500, "pgready failed to answer; its log says why")
