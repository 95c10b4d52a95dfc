"""Lay out the root of the final image: the interpreter, its library, what both link to, and nothing else.

    python3 deploy/image/collect.py /rootfs /opt/pgready

Runs in the build stage, on its interpreter and its Debian.

1. Every file keeps its place, and so does every symbolic link that leads to it: a virtual environment made
   on the base works on the result.
2. What is linked is asked of the dynamic linker, for the interpreter, its extension modules and those of the
   virtual environment. What a library opens by name at run time is named in OPENED_BY_NAME.
3. Of each Debian package of which a file is taken, the licence and the status come along (in status.d, where
   scanners of images without a package manager look).
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

LEFT_OUT = frozenset(
    {
        *("test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "turtle.py", "ensurepip"),
        *("pydoc_data", "unittest", "distutils", "sqlite3", "curses", "dbm", "__pycache__"),
        *("site-packages", "dist-packages", "sitecustomize.py", "LICENSE.txt", "EXTERNALLY-MANAGED"),
    }
)
"""Of the standard library: what needs a screen, a compiler or another database, and what tests it."""

LEFT_OUT_MODULES = (
    "_tkinter",
    "_sqlite3",
    "_curses",
    "_dbm",
    "_gdbm",
    "readline",
    "nis",
    "ossaudiodev",
    "xx",
)
"""The C halves of the same, by how their names begin; with them go the libraries that they link to."""

OPENED_BY_NAME = ("libgcc_s.so.1",)
"""By the C library, when a thread is cancelled: without it the process aborts."""

WRITTEN = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\npgready:x:65532:65532:pgready:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\npgready:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def main(root: Path, environment: Path) -> None:
    """Fill *root* with what the virtual environment *environment* needs beside itself."""
    root.mkdir(parents=True)
    library = Path(sysconfig.get_path("stdlib"))
    interpreter = environment / "bin" / "python3"
    bring_all(link_targets(interpreter), root)
    shutil.copytree(library, root / library.relative_to("/"), ignore=is_left_out)
    modules = [*(root / library.relative_to("/")).rglob("*.so"), *environment.rglob("*.so*")]
    libraries = linked([Path(sys.executable).resolve(), *modules])
    taken = [path for path in libraries if not path.is_relative_to(environment)]
    taken += [path for path in map(find_library, OPENED_BY_NAME) if path]
    bring_all(taken, root)
    bring_all(configuration(), root)
    for name, text in WRITTEN.items():
        write(root / name, text)
    (root / "tmp").mkdir(mode=0o1777)
    (root / "tmp").chmod(0o1777)
    subprocess.run(["ldconfig", "-r", root], check=True)
    for package in sorted(packages([*taken, *configuration(), Path(sys.executable), library / "os.py"])):
        bring_package(package, root)


def is_left_out(directory: str, names: list[str]) -> set[str]:
    """What `shutil.copytree` shall not copy; the compiler's `config-3.11-…` neither."""
    left_out = {name for name in names if name in LEFT_OUT or name.startswith("config-")}
    if Path(directory).name == "lib-dynload":
        left_out |= {name for name in names if name.startswith(LEFT_OUT_MODULES) or "_test" in name}
    return left_out


def link_targets(path: Path) -> Iterator[Path]:
    """What the symbolic link *path* leads to, one link at a time."""
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        if path.name.startswith("python"):
            yield path


def bring_all(paths: Iterable[Path], root: Path) -> None:
    for path in paths:
        bring(path, root)


def bring(path: Path, root: Path) -> None:
    """Copy the file *path* to its place below *root*, with each symbolic link on the way to it."""
    for part in reversed((path, *path.parents)):
        if part.is_symlink():
            copy = root / part.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.is_symlink():
                copy.symlink_to(part.readlink())
            target = os.path.normpath(part.parent / part.readlink())
            return bring(Path(target) / path.relative_to(part), root)
    copy = root / path.relative_to("/")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy)
    return None


def linked(files: Iterable[Path]) -> list[Path]:
    """The libraries that *files* are linked to, the dynamic linker among them."""
    told = subprocess.run(["ldd", *files], check=False, capture_output=True, text=True).stdout
    missing = [line.strip() for line in told.splitlines() if "not found" in line]
    if missing:
        raise SystemExit(f"libraries are missing: {missing}")
    words = (word for line in told.splitlines() if line.startswith("\t") for word in line.split())
    return sorted({Path(word) for word in words if word.startswith("/")})


def find_library(name: str) -> Path | None:
    """Where the dynamic linker finds *name*."""
    told = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True).stdout
    places = [line.split()[-1] for line in told.splitlines() if line.split()[:1] == [name]]
    return Path(places[0]) if places else None


def configuration() -> list[Path]:
    """OpenSSL's own and the authorities it trusts (`sslrootcert=system`), and the system's name."""
    trusted = ssl.get_default_verify_paths()
    names = [trusted.openssl_cafile, str(Path(trusted.openssl_cafile).with_name("openssl.cnf"))]
    wanted = [*names, "/etc/ssl/certs/ca-certificates.crt", "/etc/os-release", "/etc/ld.so.conf"]
    wanted += map(str, Path("/etc/ld.so.conf.d").glob("*.conf"))
    return [Path(name) for name in wanted if Path(name).exists()]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def packages(paths: Iterable[Path]) -> set[str]:
    """The Debian packages to which *paths* belong; what belongs to none (built from source) is left out."""
    names = {str(name) for path in paths for name in (path, path.resolve())}
    # Before /lib became a link to /usr/lib, packages said /lib: dpkg still knows their files as such.
    names |= {name.removeprefix("/usr") for name in names if name.startswith("/usr/lib")}
    told = subprocess.run(["dpkg", "-S", *names], check=False, capture_output=True, text=True).stdout
    lines = (line for line in told.splitlines() if not line.startswith("diversion"))
    return {name.strip() for line in lines for name in line.rpartition(": ")[0].split(",")}


def bring_package(package: str, root: Path) -> None:
    """The licence and the status of a Debian package."""
    name = package.partition(":")[0]
    status = subprocess.run(["dpkg", "-s", package], check=True, capture_output=True, text=True).stdout
    write(root / "var/lib/dpkg/status.d" / name, status)
    licence = Path("/usr/share/doc") / name / "copyright"
    if licence.exists():
        bring(licence, root)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
