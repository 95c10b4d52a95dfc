"""The real tools of others, installed from their registries into .cache/peers."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from harness.database import Database
from harness.drizzle_kit import GENERATIONS, DrizzleKit, schema
from harness.peers.peer import once
from harness.server import Server

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "peers"


@pytest.fixture(scope="session")
def drizzle_kit() -> DrizzleKit:
    """drizzle-kit 0.x from npm, installed once."""
    return installed("package.json")


@pytest.fixture(scope="session")
def drizzle_kit_1() -> DrizzleKit:
    """drizzle-kit 1.0 from npm, installed once."""
    return installed("package-1.json")


def installed(versions: str) -> DrizzleKit:
    """The drizzle-kit that the file *versions* names."""
    if shutil.which("npm") is None:
        pytest.fail("install Node.js with npm: these tests run the real drizzle-kit")
    wanted = (Path(__file__).parent / versions).read_text()
    home = CACHE / f"drizzle-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    with once(home) as missing:
        if missing:
            (home / "package.json").write_text(wanted)
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=home, check=True)
    return DrizzleKit(home)


@pytest.fixture(scope="session")
def generated(drizzle_kit: DrizzleKit) -> Path:
    """A project folder whose `drizzle/` holds GENERATIONS migrations that drizzle-kit 0.x generated."""
    return generate(drizzle_kit)


@pytest.fixture(scope="session")
def generated_1(drizzle_kit_1: DrizzleKit) -> Path:
    """The same by drizzle-kit 1.0; takes some minutes once."""
    return generate(drizzle_kit_1)


def generate(kit: DrizzleKit) -> Path:
    """A project with GENERATIONS migrations, made once."""
    home = kit.home / f"project-{GENERATIONS}"
    with once(home) as missing:
        if missing:
            shutil.rmtree(home / "drizzle", ignore_errors=True)
            for generation in range(1, GENERATIONS + 1):
                kit.generate(schema(generation), home / "drizzle", f"step{generation}")
    return home


@pytest.fixture
def project(generated: Path, tmp_path: Path) -> Callable[[], Path]:
    """Copies of the 0.x `drizzle/` folder, each in a project of its own."""
    return copies(generated, tmp_path / "0")


@pytest.fixture
def project_1(generated_1: Path, tmp_path: Path) -> Callable[[], Path]:
    """Copies of the 1.0 `drizzle/` folder, each in a project of its own."""
    return copies(generated_1, tmp_path / "1")


def copies(generated: Path, places: Path) -> Callable[[], Path]:
    numbers = itertools.count(1)

    def copy() -> Path:
        target = places / f"project{next(numbers)}" / "drizzle"
        shutil.copytree(generated / "drizzle", target)
        return target

    return copy


@pytest.fixture
async def other(anyio_backend: str, server: Server) -> AsyncIterator[Database]:
    """A second database, for the peer."""
    async with Database.fresh(server) as fresh:
        yield fresh
