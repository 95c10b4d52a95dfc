"""One Compose project of a test: brought up from a file of compose/, looked into, and removed."""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness import server

CHECKOUT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120
MISSING = (
    "no container engine answers: start Docker and its compose, and set DOCKER_HOST if it is not the default"
)

_numbers = itertools.count(1)


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is text, its exit code the caller's to judge."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=CHECKOUT, env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL, timeout=900,
    )  # fmt: skip


def docker(*arguments: str) -> str:
    """The standard output of a docker command that must succeed."""
    result = run("docker", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@functools.cache
def compose_command() -> list[str]:
    """The locked Compose of `make install-containers`, else `docker compose`; fails the test without."""
    locked = Path(sys.executable).with_name("docker-compose")
    command = [str(locked)] if locked.exists() else ["docker", "compose"]
    try:
        if run(*command, "version").returncode == 0 and run("docker", "version").returncode == 0:
            return command
    except FileNotFoundError:
        pass
    pytest.fail(MISSING)


@functools.cache
def engine_has_start_interval() -> bool:
    """Docker Engine 25 brought it, with version 1.44 of its API."""
    version = docker("version", "-f", "{{.Server.APIVersion}}").strip()
    return tuple(map(int, version.split("."))) >= (1, 44)


def inspect(container: str) -> Any:
    """Everything that the engine knows of a container."""
    return json.loads(docker("inspect", container))[0]


def wait_until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return once *holds* answers true; an engine is asked five times a second."""
    server.wait_until(holds, what, seconds, every_seconds=0.2)


class Project:
    """A project with a name of its own, so that nothing of anybody else's is touched."""

    def __init__(self, files: Sequence[Path], environment: Mapping[str, str]) -> None:
        self.name = f"pgready-test-{os.getpid()}-{next(_numbers)}"
        self._environment = environment
        self._command = [*compose_command(), "-p", self.name]
        for file in files:
            self._command += ["-f", str(file)]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a compose command on this project."""
        return run(*self._command, *arguments, env=self._environment)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, of those that never started too; init containers are others."""
        labels = {"project": self.name, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        lines = docker("ps", "-a", "--format", "{{.ID}} {{.Names}}", *filters).splitlines()
        return [line.split()[0] for line in lines if "-pre_start-" not in line]

    def container(self, service: str) -> str:
        """The id of a service's only container; empty where it has none."""
        (container,) = self.containers(service) or [""]
        return container

    def state(self, service: str) -> dict[str, Any]:
        """What the engine says of it: Status, ExitCode, StartedAt, FinishedAt, Health."""
        state: dict[str, Any] = inspect(self.container(service))["State"]
        return state

    def moment(self, service: str, key: str) -> datetime:
        """StartedAt or FinishedAt."""
        return datetime.fromisoformat(self.state(service)[key])

    def has_started(self, service: str) -> bool:
        return bool(self.container(service)) and self.moment(service, "StartedAt").year > 1

    def log(self, service: str) -> str:
        """What it wrote to standard output and standard error, all its containers together."""
        results = [run("docker", "logs", container) for container in self.containers(service)]
        return "".join(result.stdout + result.stderr for result in results)

    def events(self, service: str, name: str) -> list[dict[str, Any]]:
        """The lines of pgready's log that are the event *name*."""
        lines = [line for line in self.log(service).splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event.get("event") == name]

    def query(self, sql: str, user: str = "notes") -> str:
        """What psql answers inside the database's container; empty while the server is not up."""
        command = ["psql", "-U", user, "-d", "notes", "-h", "/var/run/postgresql", "-Atc", sql]
        return run("docker", "exec", self.container("postgres"), *command).stdout.strip()

    def remove(self) -> None:
        """Containers, network and volumes."""
        self("down", "-v", "-t", "1")
