"""A schedule: which replicas run on which folder, and what befalls whom at which moment.

It is a pure function of its seed, so a failure is replayed by its seed alone; what the machine does between
two moments stays its own affair. Moments are counted in what the replicas tell, not on the clock, so that
a fault falls into the middle of the work however fast the machine is.
"""

from __future__ import annotations

import random

import msgspec
from msgspec import Struct

FOLDERS = ("native", "drizzle", "golang-migrate")


class Moment(Struct, frozen=True, omit_defaults=True):
    """*delay_ms* after the *nth* time that anybody told *event*.

    Beside the events of pgready's log there are `wire.commit` and `wire.committed`, told by the network just
    before it passes a COMMIT on to the server and its answer back, and `replica.settled`: one has ended or,
    if it serves, is ready.
    """

    event: str
    nth: int = 1
    delay_ms: int = 0

    def __str__(self) -> str:
        late = f" + {self.delay_ms} ms" if self.delay_ms else ""
        return f"{self.event} #{self.nth}{late}"


class Fault(Struct, frozen=True, omit_defaults=True):
    """What befalls whoever told the moment or, if *other*, somebody else who is running.

    *for_ms* is how long it lasts, *limit_bytes* how much the network still passes on.
    """

    kind: str
    moment: Moment
    other: bool = False
    for_ms: int = 0
    limit_bytes: int = 0

    def __str__(self) -> str:
        whom = "" if self.kind in SERVER_FAULTS else " another" if self.other else " the teller"
        lasting = f" for {self.for_ms} ms" if self.for_ms else ""
        limit = f" after {self.limit_bytes} bytes" if self.limit_bytes else ""
        return f"at {self.moment}: {self.kind}{whom}{lasting}{limit}"


class Replica(Struct, frozen=True, omit_defaults=True):
    """One process; it starts at once or at *start*. An *executed* one is started as people start it."""

    command: str = "up"
    start: Moment | None = None
    executed: bool = False

    def __str__(self) -> str:
        when = "at once" if self.start is None else f"at {self.start}"
        return f"{self.command} {when}{', executed' if self.executed else ''}"


class Schedule(Struct, frozen=True, omit_defaults=True):
    """All that is to happen. *route* is how replicas reach the server: direct, session or transaction
    (the last two through PgBouncer). The database may be *missing* at first."""

    seed: int
    replicas: tuple[Replica, ...]
    faults: tuple[Fault, ...] = ()
    folder: str = "native"
    route: str = "direct"
    missing: bool = False

    def __str__(self) -> str:
        database = "missing" if self.missing else "empty"
        lines = [f"seed {self.seed}: folder {self.folder}, route {self.route}, database {database}"]
        lines += [f"  replica {number}: {each}" for number, each in enumerate(self.replicas, 1)]
        return "\n".join([*lines, *(f"  {each}" for each in self.faults)])


def to_json(schedule: Schedule) -> str:
    return msgspec.json.encode(schedule).decode()


def from_json(text: str) -> Schedule:
    """Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=Schedule)


# The faults: how often each is drawn, and what else it needs.

DEADLY = frozenset({"kill", "terminate"})
SERVER_FAULTS = frozenset({"restart", "crash", "promote"})

_FAULTS: dict[str, int] = {
    "kill": 26,
    "terminate": 8,
    "pause": 6,  # SIGSTOP, then SIGCONT
    "freeze": 8,  # the same, and meanwhile its connections are reset
    "cut": 6,  # both sides see the end of the connection
    "reset": 6,
    "orphan": 4,  # the client's side is reset, the server's stays open for a while
    "mute up": 4,  # half-open: what is sent in one direction gets lost, then both are reset
    "mute down": 4,
    "delay": 4,
    "limit up": 5,  # so many bytes more in one direction, then a reset
    "limit down": 5,
    "refuse": 4,  # cut, and nobody is let in for a while
    "backend": 6,  # pg_terminate_backend
    "restart": 1,
    "crash": 1,
}
_LASTING = {
    "pause": (20, 400), "freeze": (50, 900), "orphan": (50, 800), "mute up": (50, 600),
    "mute down": (50, 600), "delay": (100, 500), "refuse": (50, 800),
}  # fmt: skip
_PROMOTIONS = 0.015

# Where to count from, how often it happens in a run, and how often it is drawn.
_MOMENTS: tuple[tuple[str, int, int], ...] = (
    ("migration.started", 26, 10),
    ("migration.applied", 14, 4),
    ("wire.commit", 24, 8),
    ("wire.committed", 24, 6),
    ("lock.taken", 1, 2),
    ("target.located", 2, 1),
    ("connect.succeeded", 2, 1),
    ("phase.entered", 8, 3),
    ("bootstrap.changed", 1, 1),
    ("lock.waited", 1, 1),
    ("lock.released", 1, 1),
)
_DELAYS_MS = (0, 0, 0, 1, 2, 5, 10, 30)


def draw(seed: int) -> Schedule:
    """The schedule of *seed*."""
    chance = random.Random(seed)
    promoted = chance.random() < _PROMOTIONS
    folder = chance.choices(FOLDERS, (8, 1, 1))[0]
    route = "direct" if promoted else chance.choices(("direct", "session", "transaction"), (88, 9, 3))[0]
    faults = tuple(_fault(chance) for _ in range(chance.choices((1, 2, 3, 4), (4, 4, 2, 1))[0]))
    if promoted:
        faults = (*faults[:1], Fault("promote", _moment(chance)))
    deaths = sum(fault.kind in DEADLY for fault in faults)
    replicas = _replicas(chance, max(deaths + 1, chance.choice((1, 2, 2, 3))), daemons=route != "transaction")
    missing = route == "direct" and chance.random() < 0.15
    return Schedule(seed, replicas, faults, folder, route, missing)


def _fault(chance: random.Random) -> Fault:
    kind = chance.choices(list(_FAULTS), list(_FAULTS.values()))[0]
    for_ms = chance.randint(*_LASTING[kind]) if kind in _LASTING else 0
    limit = int(3000 * chance.random() ** 2) + 1 if kind.startswith("limit") else 0
    return Fault(kind, _moment(chance), chance.random() < 0.1, for_ms, limit)


def _moment(chance: random.Random) -> Moment:
    event, times, _ = chance.choices(_MOMENTS, [weight for *_, weight in _MOMENTS])[0]
    return Moment(event, 1 + int(times * chance.random()), chance.choice(_DELAYS_MS))


def _replicas(chance: random.Random, count: int, *, daemons: bool) -> tuple[Replica, ...]:
    """All at once, or each when so many have settled. A pooler that is refused is no end for a daemon."""
    in_turn = chance.random() < 0.5
    return tuple(
        Replica(
            "serve" if daemons and chance.random() < 0.15 else "up",
            Moment("replica.settled", number) if in_turn and number else None,
            chance.random() < 0.02,
        )
        for number in range(count)
    )
