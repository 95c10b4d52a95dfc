"""A replica of a schedule: its process, its way to the server, and what it may end with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from anyio.abc import TaskGroup
from msgspec import Struct
from msgspec.structs import replace

from harness.server import PASSWORD

from .faults import Victim
from .life import Life
from .network import Address, Link
from .place import Place
from .schedule import Replica
from .verdict import Finding

# What an exit code may be, by what befell the replica. -15: before Python has run a line of ours.
_CODES = {"kill": {-9}, "terminate": {143, -15}}
_END_OF_A_DAEMON = {0, 143}
_REFUSED_POOLER = {2}


class Setting(Struct, frozen=True):
    """What all replicas of a schedule share."""

    place: Place
    folder: Path
    dialect: str
    database: str
    route: str
    home: Path

    def by(self, route: str) -> Setting:
        """The same, reached by another *route*."""
        return replace(self, route=route)

    def upstream(self) -> Address:
        """Where the network leads to, now."""
        return self.place.address(self.route)


class Actor:
    """One replica; what it tells goes to *tell*, with its number."""

    def __init__(
        self,
        setting: Setting,
        number: int,
        replica: Replica,
        tell: Callable[[str, int], None],
        group: TaskGroup,
    ) -> None:
        self.number = number
        self.name = f"replica-{number + 1}"
        self.replica = replica
        self.settled = False
        self.befallen: set[str] = set()
        self.link = Link(setting.upstream, lambda event: tell(event, number), group)
        self.life = Life(self._hear)
        self._setting = setting
        self._tell = tell

    async def begin(self) -> None:
        """Start the process."""
        await self.link.open()
        home = self._setting.home / self.name
        arguments = [self.replica.command, "--dir", str(self._setting.folder)]
        if self.replica.command == "serve":
            arguments += ["--port", "0", "--poll-interval", "200ms"]
        zygote = None if self.replica.executed else self._setting.place.zygote
        self.life.begin(zygote, arguments, self._environment(home), home)

    def _environment(self, home: Path) -> dict[str, str]:
        setting = self._setting
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "POD_NAME": self.name,
            "PGREADY_DATABASE_URL": setting.place.server.url(setting.database, port=self.link.port),
            "PGREADY_LOG_LEVEL": "debug",
            "PGREADY_DIALECT": setting.dialect,
        }
        if setting.route == "session":
            environment["PGREADY_POOLER"] = "session"
        return environment

    @property
    def at_work(self) -> bool:
        return self.life.running and not self.settled

    @property
    def victim(self) -> Victim:
        return Victim(self.life, self.link, f"pgready {self.name}", self._setting.database)

    def _hear(self, event: str) -> None:
        if event == "run.ready" and self.replica.command == "serve":
            event = "replica.settled"
        if event == "replica.settled":
            if self.settled:
                return
            self.settled = True
        self._tell(event, self.number)

    def end(self) -> Finding | None:
        """What is wrong with how it ended, and with what it told, if anything."""
        code, told = self.life.exit_code, self.life.told
        if code is None:  # never started: its moment did not come
            return None
        if code not in self._codes():
            return Finding("wrong", f"{self.name} ended with {code}")
        if "Traceback" in told:
            return Finding("wrong", f"{self.name} printed a traceback")
        if PASSWORD in told or PASSWORD[:9] in told:
            return Finding("wrong", f"{self.name} told the password")
        return None

    def _codes(self) -> set[int]:
        codes = {0}.union(*(_CODES.get(kind, set()) for kind in self.befallen))
        if self.replica.command == "serve":
            codes |= _END_OF_A_DAEMON
        if self._setting.route == "transaction":
            codes |= _REFUSED_POOLER
        return codes
