"""Where the measured programs come from: a clean pgready, and peers by exact versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.peers.peer import CACHE as PEERS
from harness.peers.peer import Tool
from peers import Entry

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench"


def pgready() -> Path:
    """The `bin` of a venv that holds this checkout's pgready and what it needs at run time, no more:
    the development venv has rich, which structlog imports wherever it finds it."""
    venv = CACHE / "pgready"
    requirements = ROOT / "requirements" / "runtime.txt"
    installed = venv / "requirements.txt"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        _run(sys.executable, "-m", "venv", "--clear", venv)
        _run(venv / "bin/pip", "install", "-q", "--require-hashes", "-r", requirements)
        shutil.copy(requirements, installed)
    _run(venv / "bin/pip", "install", "-q", "--no-deps", "--force-reinstall", ROOT)
    return venv / "bin"


def installed(entry: Entry) -> Tool | None:
    """The tool of *entry*; None, and said so, where this machine cannot have it."""
    try:
        return entry.tool()
    except pytest.fail.Exception as missing:
        print(f"left out: {entry.name}: {missing}", flush=True)
        return None


def version(tool: Tool) -> str:
    """As it is written in the name of the folder that holds it; a program of the system is asked."""
    home: Path = getattr(tool, "home", tool.program)
    found = re.search(
        r"[-/@]v?(\d+\.\d+(\.\d+)*)", str(home.relative_to(PEERS)) if home.is_relative_to(PEERS) else ""
    )
    if found:
        return found[1]
    said = subprocess.run([tool.program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+(\.\d+)*", said)
    return found[0] if found else "of unknown version"


def _run(*arguments: str | Path) -> None:
    subprocess.run([str(argument) for argument in arguments], check=True)
