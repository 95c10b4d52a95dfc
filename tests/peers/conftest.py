"""The real tools of others, installed from their registries into .cache/peers."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from harness.database import Database
from harness.drizzle_kit import GENERATIONS, DrizzleKit, schema
from harness.server import Server

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "peers"


@pytest.fixture(scope="session")
def drizzle_kit() -> DrizzleKit:
    """drizzle-kit from npm, installed once."""
    if shutil.which("npm") is None:
        pytest.fail("install Node.js with npm: these tests run the real drizzle-kit")
    wanted = (Path(__file__).parent / "package.json").read_text()
    home = CACHE / f"drizzle-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not (home / "node_modules" / ".bin" / "drizzle-kit").exists():
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text(wanted)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=home, check=True)
    return DrizzleKit(home)


@pytest.fixture(scope="session")
def generated(drizzle_kit: DrizzleKit) -> Path:
    """A project folder whose `drizzle/` holds GENERATIONS migrations that drizzle-kit generated."""
    home = drizzle_kit.home / f"project-{GENERATIONS}"
    out = home / "drizzle"
    done = home / "complete"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        for generation in range(1, GENERATIONS + 1):
            drizzle_kit.generate(schema(generation), out, f"step{generation}")
        done.touch()
    return home


@pytest.fixture
def project(generated: Path, tmp_path: Path, drizzle_kit: DrizzleKit) -> Callable[[], Path]:
    """Copies of the generated `drizzle/` folder, each in a project of its own."""
    count = 0

    def copy() -> Path:
        nonlocal count
        count += 1
        target = tmp_path / f"project{count}" / "drizzle"
        shutil.copytree(generated / "drizzle", target)
        return target

    return copy


@pytest.fixture
async def other(anyio_backend: str, server: Server) -> AsyncIterator[Database]:
    """A second database, for the peer."""
    async with Database.fresh(server) as fresh:
        yield fresh
