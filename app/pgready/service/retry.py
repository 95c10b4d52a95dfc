"""`POST /retry`: the one request that changes anything. Off unless a token is configured.

The token is read from its file for every request that brings one, so that it can be rotated.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from pgready.core.errors import SettingsError
from pgready.service import resources
from pgready.service.problems import answer, problem

LEAST_CHARACTERS = 16

_MOST_BYTES = 4096
_CREDENTIALS = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/-]+=*)", re.ASCII)  # RFC 6750, 2.1


class Retrying(Struct, frozen=True):
    """Who may ask for another try, and what is called when somebody does.

    *request_retry* must not wait: it asks for a try, which whoever runs the migrations makes.
    """

    token_file: str
    request_retry: Callable[[], None]


def read_token(path: str) -> bytes:
    """The token in *path*, without the white space around it.

    Raises SettingsError where there is none that would keep a stranger out. Neither the token nor the path
    is told: people put the secret itself there by mistake.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(_MOST_BYTES).strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no path"
        raise SettingsError((f"PGREADY_TOKEN_FILE names a file that cannot be read ({why})",)) from None
    if len(token) < LEAST_CHARACTERS or not _CREDENTIALS.fullmatch("Bearer " + token.decode("latin-1")):
        raise SettingsError(
            (f"the file of PGREADY_TOKEN_FILE must hold one token of {LEAST_CHARACTERS} characters or more",),
            hint="make one: openssl rand -hex 32",
        )
    return token


async def retry(request: Request) -> Response:
    """202 where another try was asked for, 401 without the token."""
    retrying: Retrying = request.app.state.retrying
    given = _CREDENTIALS.fullmatch(request.headers.get("authorization", ""))
    if given is None:
        return _unauthorized("a bearer token is needed", "")
    try:
        token = await anyio.to_thread.run_sync(
            read_token, retrying.token_file, limiter=request.app.state.token_readers
        )
    except SettingsError:
        return problem(503, "the token's file cannot be used; the daemon's settings name it")
    if not hmac.compare_digest(given[1].encode(), token):
        return _unauthorized("the token is another one", ', error="invalid_token"')
    if resources.feed(request).draining:
        return problem(503, "the daemon is stopping")
    retrying.request_retry()
    return answer(b'{"accepted":true}\n', status=202)


def _unauthorized(detail: str, error: str) -> Response:
    return problem(401, detail, headers={"WWW-Authenticate": f'Bearer realm="pgready"{error}'})
