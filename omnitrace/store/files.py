"""Storage of a run: a few operations over names, and their implementation for the local disk.

Knows no format: names in, bytes out. Another medium (object storage) is another `Files`.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

TEMPORARY = ".tmp-"
LARGEST_DOCUMENT = 2**28


class Entry(NamedTuple):
    """One file of a walk: its bytes, and the time of its last change by the medium's clock."""

    name: str
    size: int
    modified: float


T = TypeVar("T")
R = TypeVar("R")


class Files(Protocol):
    """Write-once files under one root; names are relative and separated by `/`.

    Every method raises OSError when the medium refuses. There may be many writers, but each name is
    written by one of them: `put_if_absent` decides which, where two could write the same.
    """

    @property
    def readers(self) -> int:
        """How many concurrent reads are efficient."""
        ...

    def where(self, name: str) -> str:
        """The file's name in messages to users."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a new file; its bytes are durable on return, its name after `sync`."""
        ...

    def sync(self) -> None:
        """Make the names of everything put so far durable."""
        ...

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Write a complete file durably, or return False because it exists already."""
        ...

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `start` (all that follow where it is None)."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file; FileNotFoundError if there is none."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """The names directly in `folder`, sorted; temporary ones left out; [] if it is absent."""
        ...

    def walk(self, folder: str = "") -> Iterator[Entry]:
        """Every file at any depth in `folder`, temporary ones and links too, in no order."""
        ...

    def now(self) -> float:
        """Seconds since 1970 by the clock of `walk`."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...


def each(files: Files, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` of every item in order, as many at once as is efficient on this medium."""
    if files.readers == 1:
        yield from map(work, items)
    else:
        with ThreadPoolExecutor(files.readers) as pool:
            yield from pool.map(work, items)


def get_document(files: Files, name: str) -> bytes:
    """All bytes of a file that should be a JSON document; OSError if it is absurdly long."""
    data = files.get(name, 0, LARGEST_DOCUMENT)
    if len(data) == LARGEST_DOCUMENT:
        raise OSError(f"it is not shorter than {LARGEST_DOCUMENT} bytes")
    return data


class LocalFiles:
    """A folder on a local or shared POSIX disk. Symbolic links inside it are refused."""

    readers = 1

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._unsynced: set[Path] = set()

    def where(self, name: str) -> str:
        return str(self.root / name)

    def put(self, name: str, data: bytes) -> None:
        path = self._inside(name)
        self._make_folder(path.parent)
        _write_new(path, data)
        self._unsynced.add(path.parent)

    def sync(self) -> None:
        for folder in sorted(self._unsynced, reverse=True):  # children before their parents
            _sync_folder(folder)
            self._unsynced.remove(folder)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        path = self._inside(name)
        self._make_folder(path.parent)
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4()}")
        try:
            _write_new(temporary, data)
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._unsynced.add(path.parent)
        self.sync()
        return True

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self.size(name)  # opening a pipe would block
        with self._inside(name).open("rb") as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def size(self, name: str) -> int:
        found = self._inside(name).lstat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{self.where(name)} is not a regular file")
        return found.st_size

    def names(self, folder: str = "") -> list[str]:
        try:
            found = os.listdir(self._inside(folder))
        except FileNotFoundError:
            return []
        return sorted(name for name in found if not name.startswith(TEMPORARY))

    def walk(self, folder: str = "") -> Iterator[Entry]:
        try:
            found = list(os.scandir(self._inside(folder)))
        except FileNotFoundError:
            return
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self.walk(name)
                continue
            with suppress(FileNotFoundError):  # a temporary file may have been removed
                seen = entry.stat(follow_symlinks=False)
                yield Entry(name, seen.st_size, seen.st_mtime)

    def now(self) -> float:
        temporary = self.root / f"{TEMPORARY}{uuid.uuid4()}"
        try:
            _write_new(temporary, b"")
            return temporary.stat().st_mtime
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        path = self._inside(name)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder is removed with its last file
            for folder in path.parents[: name.count("/") - 1]:  # the first holds others' folders
                folder.rmdir()
                self._unsynced.discard(folder)

    def _inside(self, name: str) -> Path:
        path = str(self.root)
        for part in name.split("/"):
            path = f"{path}/{part}"
            if os.path.islink(path):
                raise OSError(f"{path} is a symbolic link, which a run must not contain")
        return Path(path)

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` and its missing parents; each new one's parent must be settled too."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir(exist_ok=True)
            self._unsynced.add(new.parent)


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
