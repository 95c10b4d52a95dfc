"""Reads a migration folder from disk: the one place that knows editors, ConfigMaps and symbolic links."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from pgready.core.errors import FolderError
from pgready.core.model import FileMark, SourceFile

_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})

# What a dialect reads. Anything else (snapshots, images, archives) is named, but its bytes are not wanted.
_READ_SUFFIXES = (".sql", ".conf", ".toml", ".sum", ".ini", ".plan", "_journal.json")

# Kubernetes publishes a new version of a ConfigMap by renaming this link.
_PUBLISHED = "..data"

_SWITCHES_AT_MOST = 5
_SHOWN_CHARACTERS = 200
_FILES_AT_MOST = 100_000

_AGAIN_AT_MOST = 1000
"""How often links may lead to folders that were met before. A shared folder is read under each of its names;
n folders that link to one another have n! of them."""

_Identity = tuple[int, int]  # device and inode
_Refused = Callable[[str, str], None]  # given a path, and why


def read_folder(directory: str) -> tuple[SourceFile, ...]:
    """Every file below *directory*, sorted by path; `data` is empty for what no dialect reads.

    Hidden files, editors' droppings and node_modules are left out, symbolic links are followed, and a
    ConfigMap that is republished meanwhile is read again, so that no two versions of it are mixed. Raises
    FolderError where there is no such folder or where something in it cannot be read, with all of it.
    """
    root = Path(directory)
    try:
        found = "" if root.is_dir() else "not a folder" if root.exists() else "no such folder"
    except OSError as error:  # a name that is too long, a folder on the way that is closed to us
        found = error.strerror or "cannot be read"
    if found:
        raise FolderError((f"{_shown(directory)}: {found}",), hint="set PGREADY_DIR, or --dir")
    for _ in range(_SWITCHES_AT_MOST):
        version = _published(root)
        problems: list[str] = []
        files = sorted(_read_each(directory, problems), key=attrgetter("path"))
        if _published(root) == version:
            break
    if problems:
        raise FolderError(tuple(sorted(problems)))
    return tuple(files)


def _read_each(directory: str, problems: list[str]) -> Iterator[SourceFile]:
    for path, entry in _walk(directory, lambda path, why: problems.append(f"{path}: {why}")):
        try:
            yield SourceFile(path, _read(entry.path) if _is_wanted(entry.name) else b"")
        except OSError as error:
            problems.append(f"{path}: {_unreadable(error)}")


def marks(directory: str) -> tuple[FileMark, ...]:
    """What tells that one of the files of `read_folder` changed, without reading one, sorted by path.

    This only says when to read again, and reading what is wrong: what cannot be looked at has a mark, too.
    """
    found: list[FileMark] = []
    with contextlib.suppress(OSError, FolderError):
        for path, entry in _walk(directory, lambda path, why: found.append(FileMark(path, 0, 0, 0))):
            with contextlib.suppress(OSError):  # it went while we looked
                if _is_wanted(entry.name):
                    found.append(_mark(path, entry))
    return tuple(sorted(found, key=attrgetter("path")))


def _mark(path: str, entry: os.DirEntry[str]) -> FileMark:
    try:
        status = entry.stat()
    except OSError:  # a link that leads nowhere is what reading refuses
        status = entry.stat(follow_symlinks=False)
    return FileMark(path, status.st_size, status.st_mtime_ns, status.st_ino)


def _walk(directory: str, refused: _Refused) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file below *directory*, with its path there; of what cannot be looked at *refused* is told.

    Raises FolderError where there is more than anybody would call migrations, OSError without *directory*.
    """
    files = again = 0
    top = _identity(Path(directory).stat())
    met = {top}
    waiting: list[tuple[str, str, tuple[_Identity, ...]]] = [(directory, "", (top,))]
    while waiting:  # no recursion: folders may be nested deeper than calls
        folder, prefix, above = waiting.pop()
        for path, entry, identity in _entries(folder, prefix, refused):
            if identity is None:
                files += 1
                yield path, entry
            elif identity not in above:  # a link may lead to a folder above itself
                again += identity in met
                met.add(identity)
                waiting.append((entry.path, f"{path}/", (*above, identity)))
            if files > _FILES_AT_MOST:
                raise _too_much(directory, f"more than {_FILES_AT_MOST} files")
            if again > _AGAIN_AT_MOST:
                raise _too_much(directory, f"links lead to folders in it more than {_AGAIN_AT_MOST} times")


def _entries(
    folder: str, prefix: str, refused: _Refused
) -> Iterator[tuple[str, os.DirEntry[str], _Identity | None]]:
    """What is in *folder*, with its path; that which is a folder itself with its identity."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        refused(prefix.rstrip("/") or folder, _unreadable(error))
        return
    for entry in entries:
        if _is_dropping(entry.name):
            continue
        path = prefix + entry.name
        if not path.isprintable() and _is_undecodable(path):
            refused(repr(os.fsencode(path)), "its name is not UTF-8")
            continue
        try:
            if not entry.is_dir():
                yield path, entry, None
            elif entry.name not in _SKIPPED_FOLDERS:
                yield path, entry, _identity(entry.stat())
        except OSError as error:
            refused(path, _unreadable(error))


def _too_much(directory: str, what: str) -> FolderError:
    return FolderError((f"{_shown(directory)}: {what}: is it the right one?",))


def _shown(directory: str) -> str:
    return directory if len(directory) <= _SHOWN_CHARACTERS else f"{directory[:_SHOWN_CHARACTERS]}…"


def _published(root: Path) -> Path | None:
    try:
        return (root / _PUBLISHED).readlink()
    except OSError:
        return None


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _is_dropping(name: str) -> bool:
    return name.startswith((".", "#")) or name.endswith("~")


def _is_undecodable(path: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in path)


def _is_wanted(name: str) -> bool:
    return name.endswith(_READ_SUFFIXES) or name.lower().endswith(".sql")


def _read(path: str) -> bytes:
    # Without the layers of open(): half the time for a small file. O_NONBLOCK: a pipe must not hang us.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is neither a file nor a folder")
        return _read_all(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, size_bytes: int) -> bytes:
    # One byte more than there should be, so that the end shows in the first read.
    data = os.read(descriptor, size_bytes + 1)
    if len(data) == size_bytes:
        return data
    chunks = [data]
    while chunk := os.read(descriptor, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"


def write_folder(directory: Path, files: Sequence[SourceFile]) -> None:
    """Write *files* into *directory*, whole or not at all, and durably.

    Nothing is overwritten: one that holds the same files already is left as it is, any other is refused with
    a FolderError. An empty one is replaced.
    """
    if holds_folder(directory, files):
        return
    with _told_as_folder(directory):
        target = directory.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_new(target, files)


def holds_folder(directory: Path, files: Sequence[SourceFile]) -> bool:
    """Whether `write_folder` has nothing to write. Raises the FolderError of what it refuses beforehand."""
    with _told_as_folder(directory):
        if directory.exists() and any(directory.iterdir()):
            _refuse_others(directory, files)
            return True
        _refuse_irreplaceable(directory, directory.resolve())
        return False


@contextlib.contextmanager
def _told_as_folder(directory: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter: links in a circle
        raise FolderError(
            (f"{_shown(str(directory))}: cannot be written: {getattr(error, 'strerror', None) or error}",),
            hint="name a folder that does not exist yet, where files may be made",
        ) from error


def _refuse_others(directory: Path, files: Sequence[SourceFile]) -> None:
    there = {file.path: file.data for file in read_folder(str(directory))}
    if there != {file.path: file.data for file in files}:
        raise FolderError((f"{directory}: is not empty",), hint="name a folder that does not exist yet")


def _refuse_irreplaceable(directory: Path, target: Path) -> None:
    """An empty folder is replaced by the one that was written, which not every folder can be."""
    below = f"name a folder that does not exist yet, such as {directory / 'sql'}"
    if directory.is_symlink():
        raise FolderError((f"{directory}: is a link",), hint=f"name the folder that it leads to: {target}")
    if target.is_mount():
        raise FolderError((f"{directory}: is a mount point, and cannot be replaced",), hint=below)
    if target == Path.cwd():
        raise FolderError((f"{directory}: is the folder that we are in, and would be replaced",), hint=below)


def _write_new(target: Path, files: Sequence[SourceFile]) -> None:
    """Write into a folder beside *target*, and then give it that name."""
    import shutil  # these two take 3 ms of a start, and only adopt writes
    import tempfile

    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        written = beside / target.name  # mkdtemp's own is closed to everybody else, and this one is not
        written.mkdir()
        for file in files:
            path = written / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as opened:
                opened.write(file.data)
                opened.flush()
                os.fsync(opened.fileno())
        for folder in (*(each for each in written.rglob("*") if each.is_dir()), written):
            _flush_folder(folder)
        written.replace(target)
        _flush_folder(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
