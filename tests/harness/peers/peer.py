"""What tests/peers/test_conformance.py asks of another migration tool, and how its program is had."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from msgspec import Struct

CACHE = Path(__file__).parents[3] / ".cache" / "peers"


class Step(Struct, frozen=True):
    """One migration, whatever the tool writes it as. *transactional* is False where it asks for none."""

    version: int
    name: str
    up: str
    down: str
    transactional: bool = True


class Ran(Struct, frozen=True):
    """How a run of the tool ended and all that it wrote."""

    ok: bool
    output: str


class Peer(ABC):
    """A migration tool. The class attributes say what it does; what it cannot do is not asked of it."""

    dialect: ClassVar[str]
    """Its name in pgready."""

    rows: ClassVar[str]
    """A query for its history without times and surrogate numbers, in order."""

    named: ClassVar[bool] = False
    """Whether its folder must be named with --dialect, because nothing in it proves whose it is."""

    locks: ClassVar[bool] = True
    """Whether its program takes a lock, so that it may start at the moment when pgready does."""

    sees_merged: ClassVar[bool] = True
    """Whether its history can tell a file that was merged below the newest applied one."""

    leaves_failed_row: ClassVar[bool] = False
    """Whether a migration that fails in a transaction leaves a row that says so."""

    waiting: ClassVar[str] = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    """A query for how many of its runs wait for its lock."""

    reverts: ClassVar[bool] = True
    """Whether its program can revert."""

    merges: ClassVar[bool] = True
    """Whether a file can be merged below the newest one: a chain of hashes, or of numbers, forbids it."""

    runs_concurrently: ClassVar[bool] = True
    """Whether it can run CREATE INDEX CONCURRENTLY."""

    transactional_option: ClassVar[bool] = True
    """Whether a file can ask for no transaction."""

    def __init__(self) -> None:
        self.program = self.install()

    @abstractmethod
    def install(self) -> Path:
        """The program, installed once into the checkout's .cache; fails the test where it cannot be had."""

    @abstractmethod
    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        """Write *steps* into *folder* as the tool lays them out; what is there stays."""

    @abstractmethod
    def path(self, folder: Path, step: Step) -> Path:
        """The file that holds what applies *step*."""

    def version(self, step: Step) -> str:
        """What pgready calls *step*."""
        return self.path(Path(), step).name.partition("_")[0]

    @abstractmethod
    def up(self, folder: Path, url: str) -> Ran:
        """Apply all that is pending. Nothing to do is no failure."""

    def down(self, folder: Path, url: str) -> Ran:
        """Revert the newest; asked of those that revert."""
        raise AssertionError(f"{type(self).__name__} reverts nothing")

    def run(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ran:
        """Run the program to its end."""
        done = subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, check=False, timeout=120,
            env={"PATH": os.environ["PATH"], "HOME": str(CACHE), **(env or {})},
        )  # fmt: skip
        return Ran(done.returncode == 0, done.stdout + done.stderr)


@contextmanager
def once(home: Path) -> Iterator[bool]:
    """Whether *home* is still to be filled; other test processes wait meanwhile."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = home / "complete"
        yield not done.exists()
        done.touch()


def go_install(module: str, program: str, *flags: str) -> Path:
    """The *program* of a Go *module* at its version, built from the module proxy once."""
    home = CACHE / module.rpartition("/")[2].replace("@", "-") / program
    with once(home) as missing:
        if missing:
            _run("go", "install", *flags, module, env={"GOBIN": str(home)}, needs="install Go")
    return home / program


def go_build(source: Path, program: str, *modules: str) -> Path:
    """A *program* of ours that embeds a tool of the Go *modules*, built once."""
    wanted = source.read_bytes() + " ".join(modules).encode()
    home = CACHE / f"{program}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    with once(home) as missing:
        if missing:
            (home / "main.go").write_bytes(source.read_bytes())
            (home / "go.mod").write_text(f"module {program}\n")
            for arguments in (("get", *modules), ("mod", "tidy"), ("build", "-o", program)):
                _run("go", *arguments, needs="install Go", cwd=home)
    return home / program


def cargo_build(source: Path, program: str, manifest: str) -> Path:
    """A *program* of ours that embeds a tool of the crates in *manifest*, built once; takes minutes."""
    digest = hashlib.sha256(source.read_bytes() + manifest.encode()).hexdigest()
    home = CACHE / f"{program}-{digest[:12]}"
    with once(home) as missing:
        if missing:
            (home / "src").mkdir(exist_ok=True)
            (home / "src" / "main.rs").write_bytes(source.read_bytes())
            (home / "Cargo.toml").write_text(manifest)
            _run("cargo", "build", needs="install Rust with cargo", cwd=home)
    return home / "target" / "debug" / program


def npm_install(package: str, program: str, *beside: str) -> Path:
    """The *program* of an npm *package* at its version, installed once with what it needs *beside* it."""
    home = CACHE / package.replace("@", "-").replace("/", "-")
    with once(home) as missing:
        if missing:
            command = ("install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home))
            _run("npm", *command, package, *beside, needs="install Node.js with npm")
    return home / "node_modules" / ".bin" / program


def cargo_install(crate: str, version: str, program: str, *flags: str) -> Path:
    """The *program* of a Rust *crate*, built from crates.io once; takes minutes."""
    home = CACHE / f"{crate}-{version}"
    with once(home) as missing:
        if missing:
            command = ("install", crate, "--version", version, "--locked", "--root", str(home), *flags)
            _run("cargo", *command, needs="install Rust with cargo")
    return home / "bin" / program


def _run(
    program: str,
    *arguments: str,
    needs: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    if shutil.which(program) is None:
        pytest.fail(f"{needs}: these tests run the real tool, `{program} {' '.join(arguments)}`")
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    if done.returncode:
        pytest.fail(f"`{program} {' '.join(arguments)}` failed:\n{done.stdout}{done.stderr}")
