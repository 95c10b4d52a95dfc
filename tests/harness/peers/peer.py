"""What tests/peers/test_conformance.py asks of another migration tool, and how its program is had."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Invocation(Struct, frozen=True):
    """A program to run, its whole environment, and where."""

    arguments: tuple[str | Path, ...]
    env: Mapping[str, str]
    cwd: Path | None = None


def run_to_end(invocation: Invocation) -> Ran:
    done = subprocess.run(
        invocation.arguments, capture_output=True, text=True, check=False, timeout=120, env=invocation.env,
        cwd=invocation.cwd,
    )  # fmt: skip
    return Ran(done.returncode == 0, done.stdout + done.stderr)


class Tool(ABC):
    """A migration tool: how its program is had, how its folder is written, and how it is told to apply it."""

    def __init__(self, runner: Callable[[Invocation], Ran] = run_to_end) -> None:
        """*runner* is what runs the program; one that only measures wants to do so itself."""
        self.program = self.install()
        self._runner = runner

    @abstractmethod
    def install(self) -> Path:
        """The program, installed once into the checkout's .cache; fails the test where it cannot be had."""

    @abstractmethod
    def write(self, folder: Path, steps: Sequence[Step]) -> None:
        """Write *steps* into *folder* as the tool lays them out; what is there stays."""

    @abstractmethod
    def up(self, folder: Path, url: str) -> Ran:
        """Apply all that is pending. Nothing to do is no failure."""

    def run(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Ran:
        """Run the program to its end."""
        whole = {"PATH": os.environ["PATH"], "HOME": str(CACHE), **(env or {})}
        return self._runner(Invocation((self.program, *arguments), whole, cwd))


class Peer(Tool):
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

    @abstractmethod
    def path(self, folder: Path, step: Step) -> Path:
        """The file that holds what applies *step*."""

    def version(self, step: Step) -> str:
        """What pgready calls *step*."""
        return self.path(Path(), step).name.partition("_")[0]

    def down(self, folder: Path, url: str) -> Ran:
        """Revert the newest; asked of those that revert."""
        raise AssertionError(f"{type(self).__name__} reverts nothing")


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


def pip_install(name: str, program: str, *packages: str) -> Path:
    """The *program* of PyPI's *packages* at their versions, in a venv of its own."""
    home = CACHE / name
    with once(home) as missing:
        if missing:
            _run(sys.executable, "-m", "venv", str(home), needs="install Python's venv")
            _run(str(home / "bin" / "pip"), "install", "--quiet", *packages, needs="install pip")
    return home / "bin" / program


def maven_install(name: str, main: Path, *jars: str) -> Path:
    """A folder with *jars*, `group:artifact:version` each, what they need, and the compiled *main*."""
    home = CACHE / name
    with once(home) as missing:
        if missing:
            dependencies = "".join(_DEPENDENCY.format(*jar.split(":")) for jar in jars)
            (home / "pom.xml").write_text(_PROJECT.format(dependencies))
            copy = ("dependency:copy-dependencies", "-DoutputDirectory=.")
            _run("mvn", "-q", "-B", "-f", str(home), *copy, needs="install a JDK and Maven")
            _run("javac", "-cp", f"{home}/*", "-d", str(home), str(main), needs="install a JDK")
    return home


_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_PROJECT = """<project><modelVersion>4.0.0</modelVersion>
<groupId>peers</groupId><artifactId>peers</artifactId><version>1</version>
<dependencies>{}</dependencies></project>
"""


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
