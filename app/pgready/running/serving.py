"""Keeps trying until the target is ready, for the daemon: what a restart would cure is tried again."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from pgready.core.errors import ExitCode, PgreadyError
from pgready.running import assemble
from pgready.running.assemble import Emit
from pgready.settings import Settings

_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)

_CURED_FROM_OUTSIDE = frozenset({ExitCode.UNREACHABLE, ExitCode.LOCKED, ExitCode.DENIED})
"""A server comes back, another replica ends, a password is rotated. A broken script needs a person."""


async def until_ready(
    reload: Callable[[], Settings], emit: Emit, failed: Callable[[PgreadyError, float | None], None]
) -> bool:
    """Run until ready; False where it failed for good. Each failure is told to *failed* with the pause
    before the next try (None: there is none). Settings, secrets and files are read anew for every try."""
    tries = 0
    while True:
        try:
            run = await assemble.prepare(reload(), emit)
            await run.to_end()
        except PgreadyError as error:
            if error.exit_code not in _CURED_FROM_OUTSIDE:
                failed(error, None)
                return False
            pause = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
            failed(error, pause)
            tries += 1
            await anyio.sleep(pause)
        else:
            return True
