"""Where the measured programs come from: a clean pgready, and peers by exact versions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench"

NODE_PACKAGES = {
    "dbmate": "2.36.0",
    "drizzle-kit": "0.31.11",
    "drizzle-orm": "0.45.4",
    "pg": "8.23.1",
    "node-pg-migrate": "9.0.0",
}
PYTHON_PACKAGES = ("alembic==1.20.1", "yoyo-migrations==9.0.0", "psycopg[binary]==3.3.9", "SQLAlchemy==2.1.9")


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


def node() -> Path | None:
    """node_modules with the peers of npm; None where there is no npm."""
    if shutil.which("npm") is None:
        return None
    folder = CACHE / "node"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = json.dumps({"private": True, "dependencies": NODE_PACKAGES})
    if not (folder / "package.json").exists() or (folder / "package.json").read_text() != manifest:
        (folder / "package.json").write_text(manifest)
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder)
    return folder


def python() -> Path:
    """The `bin` of a venv with the peers of PyPI."""
    venv = CACHE / "python"
    if not (venv / "bin" / "alembic").exists():
        _run(sys.executable, "-m", "venv", venv)
        _run(venv / "bin/pip", "install", "-q", *PYTHON_PACKAGES)
    return venv / "bin"


def _run(*arguments: str | Path) -> None:
    subprocess.run([str(argument) for argument in arguments], check=True)
