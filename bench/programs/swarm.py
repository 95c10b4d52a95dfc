"""Replicas by the hundred in one process: each is a run of pgready's own code, without a process around it.

`swarm.py DIR COUNT [SETTING=VALUE …]` starts COUNT of them at once, waits for all, and prints as JSON what
became of each and when each tried to connect.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter

import pgready
from pgready.core.events import Connected, ConnectFailed, Event

BEGAN = time.time()


async def replica(folder: str, settings: dict[str, object], attempts: list[float]) -> tuple[str, float]:
    def note(event: Event) -> None:
        if isinstance(event, Connected | ConnectFailed):
            attempts.append(time.time())

    try:
        await pgready.migrate(os.environ["DATABASE_URL"], dir=folder, on_event=note, **settings)
    except pgready.PgreadyError as error:
        return f"exit {error.exit_code:d}", time.time()
    return "ready", time.time()


async def main() -> None:
    folder, count, *pairs = sys.argv[1:]
    settings: dict[str, object] = dict(pair.split("=") for pair in pairs)
    attempts: list[float] = []
    ended = await asyncio.gather(*(replica(folder, settings, attempts) for _ in range(int(count))))
    outcomes = Counter(outcome for outcome, _ in ended)
    print(
        json.dumps(
            {"outcomes": outcomes, "ended": [at for _, at in ended], "attempts": attempts, "began": BEGAN}
        )
    )


asyncio.run(main())
