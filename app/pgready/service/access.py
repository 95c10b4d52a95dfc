"""One log line a request, of those that somebody made: a probe that comes every second says nothing new.

The query is left out: it may hold what a person would not write into a log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROBES = frozenset({"/live", "/livez", "/healthz", "/ready", "/readyz", "/startup", "/startupz"})
"""Never logged, whatever they answer: the events of the run say why a target is not ready."""

_SCRAPES = "/metrics"
_PATH_CHARACTERS = 200


class AccessLog:
    """Middleware that logs each answer of *app* when it has ended; *log* gives the logger."""

    def __init__(self, app: ASGIApp, log: Callable[[], Any]) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") in PROBES:
            await self._app(scope, receive, send)
            return
        began = anyio.current_time()
        status = 500  # what the server answers for an application that answered nothing

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._tell(scope, status, anyio.current_time() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        log, path = self._log(), scope["path"][:_PATH_CHARACTERS]
        values = {"method": scope["method"], "path": path, "status": status}
        values["duration_ms"] = round(1000 * seconds, 1)
        if path.rstrip("/") == _SCRAPES:
            log.debug("http.answered", **values)
        else:
            log.info("http.answered", **values)
