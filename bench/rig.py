"""The rig: a private durable server, fresh databases, and every contender as a command to measure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import folders
import tools
from harness.peers.peer import Invocation, Ran, Step, Tool
from harness.server import Server
from measure import Command
from network import Network, network
from peers import Entry

PROGRAMS = Path(__file__).parent / "programs"
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "100"}
REALTIME_PRIORITY = 20
PGREADY, FLOOR, DRIVER_ALONE, SAME_IMPORTS = "pgready", "floor", "driver_alone", "same_imports"


class Rig:
    """*rounds* is how often each contender runs; a case may take more of what is short."""

    def __init__(self, server: Server, work: Path, rounds: int, peers: Sequence[Entry]) -> None:
        self.server = server
        self.work = work
        self.rounds = rounds
        self.bin = tools.pgready()
        self.peers = [(entry, tool) for entry in peers if (tool := tools.installed(entry)) is not None]
        self._invocation: Invocation | None = None
        for _, tool in self.peers:
            tool._runner = self._remember
        self._port = server.port

    def fresh(self, database: str) -> None:
        """Make *database* anew."""
        self.server.psql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.server.psql(f"CREATE DATABASE {database}")
        self.server.psql("CHECKPOINT")

    def url(self, database: str) -> str:
        return self.server.url(database).replace(f":{self.server.port}/", f":{self._port}/")

    @contextmanager
    def over_network(self, one_way_seconds: float) -> Iterator[Network]:
        """Meanwhile all commands that are made reach the server through a delay."""
        with network(self.server.port, one_way_seconds) as between:
            self._port = between.port
            try:
                yield between
            finally:
                self._port = self.server.port

    # Commands, each on a database of its own that is made anew before every run

    def pgready(self, verb: str, folder: Path, database: str) -> Command:
        return self._command(PGREADY, [self.bin / "pgready", verb, "--dir", folder], database)

    def program(self, name: str, folder: Path, database: str) -> Command:
        return self._command(name, [self.bin / "python", PROGRAMS / f"{name}.py", folder], database)

    def _command(self, name: str, arguments: Sequence[str | Path], database: str) -> Command:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.work), "DATABASE_URL": self.url(database)}
        return Command(name, arguments, environ)

    def peer(self, entry: Entry, tool: Tool, folder: Path, database: str) -> Command:
        """*entry*'s command to apply *folder*, which has been written."""
        tool.up(folder, self.url(database))
        assert self._invocation is not None, "its runner remembers it"
        return Command(
            entry.name, self._invocation.arguments, self._invocation.env, self._invocation.cwd or folder
        )

    def _remember(self, invocation: Invocation) -> Ran:
        self._invocation = invocation
        return Ran(True, "")

    def applying(
        self, case: str, steps: Sequence[Step], *, floors: Sequence[str] = (), peers: bool = True
    ) -> list[Command]:
        """pgready, *floors* and the peers, each applying *steps* to a database that is made for it."""
        native = folders.native(self.work / case / "native", steps)
        commands = [self.pgready("up", native, f"{case}_pgready")]
        commands += [self.program(name, native, f"{case}_{name}") for name in floors]
        prepares = [self._prepared(f"{case}_{command.name}") for command in commands]
        for entry, tool in self.peers if peers else ():
            if len(steps) <= entry.most:
                database = f"{case}_{entry.name.replace('-', '_')}"
                folder = self.work / case / entry.name
                if not folder.exists():
                    tool.write(folder, steps)
                commands.append(self.peer(entry, tool, folder, database))
                prepares.append(self._prepared(database))
        return [
            command._replace(prepare=prepare) for command, prepare in zip(commands, prepares, strict=True)
        ]

    def _prepared(self, database: str) -> Callable[[], None]:
        return lambda: self.fresh(database)


def take_realtime_priority() -> None:
    """For this process and all that it starts from now on: the server, the network and what is measured."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
