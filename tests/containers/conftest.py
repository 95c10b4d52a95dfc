"""Fixtures for what runs in containers. Where there is no engine the tests fail; they never skip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .compose import CHECKOUT, Project, compose_command, docker

# Variables, because an engine without a registry has stand-ins only.
POSTGRES_IMAGE = os.environ.get("PGREADY_TEST_POSTGRES_IMAGE", "postgres:15")
BASE_IMAGE = os.environ.get("PGREADY_TEST_BASE_IMAGE", "python:3.11-slim")


@pytest.fixture(scope="session")
def image() -> str:
    """The image, built from this checkout."""
    compose_command()
    docker("build", "-q", "-t", "pgready-test", "--build-arg", f"BASE={BASE_IMAGE}", ".")
    return "pgready-test"


@pytest.fixture
def project(image: str) -> Iterator[Callable[..., Project]]:
    """Call it with the name of a file in compose/; with other migrations or an override."""
    projects: list[Project] = []

    def make(name: str, migrations: Path | None = None, override: Path | None = None) -> Project:
        files = [CHECKOUT / "compose" / f"{name}.yaml", *([override] if override else [])]
        environment = {
            "PGREADY_IMAGE": image,
            "POSTGRES_IMAGE": POSTGRES_IMAGE,
            "APP_IMAGE": POSTGRES_IMAGE,
            "PGREADY_PUBLISH": "127.0.0.1:0",
            **({"MIGRATIONS": str(migrations)} if migrations else {}),
        }
        projects.append(Project(files, environment))
        return projects[-1]

    try:
        yield make
    finally:
        for each in projects:
            each.remove()
