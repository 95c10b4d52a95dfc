"""`pgready wait --url`: until a daemon says that it is ready."""

from __future__ import annotations

import random

import anyio
import anyio.to_thread

from pgready.commands import healthcheck
from pgready.core.backoff import Backoff
from pgready.core.errors import NotReady, SettingsError, Unreachable

_POLLS = Backoff(base_seconds=0.1, cap_seconds=1.0)


async def wait_for_url(url: str, patience_seconds: float) -> str:
    """Ask *url* until it answers 2xx; what it said then, in one line. No redirect is followed.

    Raises SettingsError for a URL that is not http://, and when *patience_seconds* have passed
    NotReady (7) where it answered, Unreachable (3) where it never did.
    """
    try:
        target = healthcheck.target(url, {})
    except healthcheck.Misused as error:
        raise SettingsError((str(error),)) from None
    last = healthcheck.Unwell("no answer in time")
    with anyio.move_on_after(patience_seconds):
        attempt = 0
        while True:
            try:
                return await anyio.to_thread.run_sync(healthcheck.ask, *target, abandon_on_cancel=True)
            except healthcheck.Unwell as unwell:
                last = unwell
            await anyio.sleep(_POLLS.delay_seconds(attempt, random.random()))
            attempt += 1
    kind = NotReady if last.answered else Unreachable
    raise kind(f"not ready after {patience_seconds:g} s: {last}")
