"""Fixtures for what runs in containers. Where there is no engine the tests fail; they never skip."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .compose import CHECKOUT, Project, compose_command, docker, engine_has_start_interval

# Variables, because an engine without a registry has stand-ins only.
POSTGRES_IMAGE = os.environ.get("PGREADY_TEST_POSTGRES_IMAGE", "postgres:15")
BASE_IMAGE = os.environ.get("PGREADY_TEST_BASE_IMAGE", "python:3.11-slim")

NO_START_INTERVAL = "services: {pgready: {healthcheck: {start_interval: !reset null}}}\n"
PGBOUNCER = (
    "FROM {image}\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends pgbouncer\n"
)


@pytest.fixture(scope="session")
def image() -> str:
    """The image, built from this checkout."""
    compose_command()
    return build("pgready-test", "VERSION=0.1.2-test", "REVISION=0123456789abcdef")


@pytest.fixture(scope="session")
def debug_image(image: str) -> str:
    """The image with a shell."""
    return build(f"{image}:debug", target="debug")


@pytest.fixture(scope="session")
def pgbouncer_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with PgBouncer in it, made from the database's own."""
    context = tmp_path_factory.mktemp("pgbouncer")
    (context / "Dockerfile").write_text(PGBOUNCER.format(image=POSTGRES_IMAGE))
    docker("build", "-q", "-t", "pgready-test-pgbouncer", str(context))
    return "pgready-test-pgbouncer"


def build(tag: str, *arguments: str, target: str = "", base: str = BASE_IMAGE) -> str:
    """Build the checkout's Dockerfile; what is built already comes from the engine's cache."""
    options = [word for argument in (f"BASE={base}", *arguments) for word in ("--build-arg", argument)]
    docker("build", "-q", "-t", tag, *options, *(["--target", target] if target else []), ".")
    return tag


@pytest.fixture
def project(image: str, tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Call it with the name of a file in compose/; with other migrations, overriding YAML or variables."""
    projects: list[Project] = []
    numbers = itertools.count(1)

    def make(name: str, migrations: Path | None = None, override: str = "", **variables: str) -> Project:
        files = [CHECKOUT / "compose" / f"{name}.yaml"]
        missing = "start_interval" in files[0].read_text() and not engine_has_start_interval()
        for text in (override, NO_START_INTERVAL if missing else ""):
            if text:
                files.append(tmp_path / f"override-{next(numbers)}.yaml")
                files[-1].write_text(text)
        environment = {
            "PGREADY_IMAGE": image,
            "POSTGRES_IMAGE": POSTGRES_IMAGE,
            "APP_IMAGE": POSTGRES_IMAGE,
            "PGREADY_PUBLISH": "127.0.0.1:0",
            "POSTGRES_PUBLISH": "127.0.0.1:0",
            "BROWSER_PUBLISH": "127.0.0.1:0",
            **({"MIGRATIONS": str(migrations)} if migrations else {}),
            **variables,
        }
        projects.append(Project(files, environment))
        return projects[-1]

    try:
        yield make
    finally:
        for each in projects:
            each.remove()
