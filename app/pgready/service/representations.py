"""Status → bytes. Rendered once for each sequence of the feed, however often it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Set

import msgspec

from pgready.core.renderings import headline, narrowed, summary_json, text_table, to_json
from pgready.core.status import MigrationStatus, Status
from pgready.service.feed import Feed
from pgready.service.problems import JSON, TEXT


class Representations:
    """The faces of *feed*'s status, kept until the status changes."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._sequence = -1
        self._kept: dict[tuple[str, str], bytes] = {}

    def readiness(self, media_type: str) -> bytes:
        """The status without its list of migrations; as text its headline."""
        return self._once("readiness", media_type, lambda: _readiness(self.feed.status, media_type))

    def migrations(
        self, media_type: str, states: Set[str] = frozenset(), flags: Set[str] = frozenset()
    ) -> bytes:
        """The whole status; with *states* or *flags* only the migrations that have one of them."""
        if states or flags:
            return _migrations(_only(self.feed.status, states, flags), media_type)
        return self._once("migrations", media_type, lambda: _migrations(self.feed.status, media_type))

    def migration(self, media_type: str, version: str) -> bytes | None:
        """The one migration *version*, or None where there is none."""
        found = tuple(m for m in self.feed.status.migrations if m.version == version)
        if not found:
            return None
        return _migration(self.feed.status, found, media_type)

    def _once(self, what: str, media_type: str, render: Callable[[], bytes]) -> bytes:
        if self._sequence != self.feed.sequence:
            self._kept.clear()
            self._sequence = self.feed.sequence
        key = what, media_type
        if key not in self._kept:
            self._kept[key] = render()
        return self._kept[key]


def _readiness(status: Status, media_type: str) -> bytes:
    if media_type == TEXT:
        return f"{headline(status)}\n".encode()
    return summary_json(status) + b"\n"


def _migrations(status: Status, media_type: str) -> bytes:
    return (
        f"{text_table(status).rstrip()}\n".encode() if media_type == TEXT else to_json(status).strip() + b"\n"
    )


def _migration(status: Status, found: tuple[MigrationStatus, ...], media_type: str) -> bytes:
    if media_type == TEXT:
        return _migrations(narrowed(status, found), TEXT)
    return _line({"schema": status.schema, **msgspec.structs.asdict(found[0])})


def _only(status: Status, states: Set[str], flags: Set[str]) -> Status:
    return narrowed(status, (each for each in status.migrations if fits(each, states, flags)))


def fits(migration: MigrationStatus, states: Set[str], flags: Set[str]) -> bool:
    """Whether *migration* is in one of *states* and has one of *flags*; an empty set asks for nothing."""
    return (not states or migration.state in states) and (not flags or not flags.isdisjoint(migration.flags))


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


MEDIA_TYPES = (JSON, TEXT)
"""What is offered everywhere, the default first."""
