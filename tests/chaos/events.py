"""What happens in a schedule, heard in one place: whoever waits for the nth time of something is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

Teller = int
"""The number of the replica that tells, from 0."""

Listener = Callable[[Teller], None]


class Events:
    """Counts events. A listener is called within `tell`, before what told it goes on."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._listeners: dict[tuple[str, int], list[Listener]] = {}

    def on(self, event: str, nth: int, listener: Listener) -> None:
        """Call *listener* once, the *nth* time that *event* is told from the beginning on."""
        self._listeners.setdefault((event, nth), []).append(listener)

    def tell(self, event: str, teller: Teller) -> None:
        self.counts[event] += 1
        for listener in self._listeners.pop((event, self.counts[event]), ()):
            listener(teller)

    def silence(self) -> None:
        """Call nobody any more."""
        self._listeners.clear()
