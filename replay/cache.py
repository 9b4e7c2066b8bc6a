"""Masses kept, in memory and on disk, so that a recording is read and reduced once.

Rebuildable and never authoritative. A file of the cache is used only if it is exactly the
wanted one: the key stands for the recorded bytes (by the checksums that the run's marker
vouches for), the very token ranges of the units, the configuration, and the code that computes
masses. The cache is the user's own and never part of a run: a run from a stranger cannot bring
numbers that its recording does not give. Knows no trace.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import google_crc32c
import numpy as np

from omnitrace import attention
from omnitrace.arrays import Float32
from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError
from omnitrace.units import Units
from replay import mass, prior, reduce, rows, tokens
from replay.config import MassStage, ScoreStage

FOLDER = "OMNITRACE_CACHE"
"""Environment variable: another folder for the cache; empty: none on disk."""
MEMORY = 2**28
DISK = 2**32
"""Bytes kept, of the masses used last."""
_MAGIC = b"omnimass"


def default_folder() -> Path | None:
    """Where masses are kept on disk; None where the user wants none."""
    chosen = os.environ.get(FOLDER)
    if chosen is not None:
        return Path(chosen).absolute() if chosen else None
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "omnitrace" / "masses"


def mass_id(
    recording: str, units: Units, scores: ScoreStage, masses: MassStage, taken: str = ""
) -> bytes:
    """32 bytes that stand for one mass matrix and no other.

    `recording` stands for the recorded bytes (`Run.vouched`); the others are the arguments of
    `replay.mass.mass_of`, the units as the token ranges that they are; `taken`: what is taken off
    the rows, as text.
    """
    cut = hashlib.sha256(
        units.offset.tobytes() + units.ranges.tobytes() + units.unnamed.tobytes()
    ).hexdigest()
    parts = [code_id(), recording, cut, repr(scores), repr(masses), taken]
    return hashlib.sha256("\n".join(parts).encode()).digest()


class MassCache:
    """Masses by id: those used last in memory, all in `folder` if there is one.

    Usable from several threads and processes at once.
    """

    def __init__(self, folder: Path | None = None, memory: int = MEMORY) -> None:
        self._folder = folder
        self._limit = memory
        self._lock = threading.Lock()
        self._held: OrderedDict[bytes, Float32] = OrderedDict()
        self._bytes = 0

    def get(self, id: bytes, shape: tuple[int, int], make: Callable[[], Float32]) -> Float32:
        """The mass of that id, float32 of that shape, read-only; made and kept if it is not there.

        A file that is damaged, or cannot be read or written, counts as absent.
        """
        found = self._remembered(id)
        if found is None:
            found = self._read(id, shape)
        if found is None:
            found = make()
            self._write(id, found)
        self._remember(id, found)
        return found

    def prune(self, limit: int = DISK) -> None:
        """Remove the files used longest ago, until no more than `limit` bytes are left."""
        files = [] if self._folder is None else [*self._folder.glob("??/*")]
        known = []
        for file in files:
            with suppress(OSError):  # another process may prune too
                state = file.stat()
                known.append((state.st_mtime, state.st_size, file))
        left = sum(size for _, size, _ in known)
        for _, size, file in sorted(known):
            if left <= limit:
                break
            left -= size
            with suppress(OSError):
                file.unlink()

    def __reduce__(self) -> tuple[type[MassCache], tuple[Path | None, int]]:
        return MassCache, (self._folder, self._limit)

    def _remembered(self, id: bytes) -> Float32 | None:
        with self._lock:
            if id in self._held:
                self._held.move_to_end(id)
            return self._held.get(id)

    def _remember(self, id: bytes, found: Float32) -> None:
        found.flags.writeable = False
        with self._lock:
            if id in self._held or found.nbytes > self._limit:
                return
            self._held[id] = found
            self._bytes += found.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._held.popitem(last=False)[1].nbytes

    def _path(self, folder: Path, id: bytes) -> Path:
        return folder / id.hex()[:2] / id.hex()

    def _read(self, id: bytes, shape: tuple[int, int]) -> Float32 | None:
        if self._folder is None:
            return None
        path = self._path(self._folder, id)
        with suppress(OSError):
            data = path.read_bytes()
            os.utime(path)
            return _parse(data, id, shape)
        return None

    def _write(self, id: bytes, found: Float32) -> None:
        if self._folder is None:
            return
        path = self._path(self._folder, id)
        with suppress(OSError, CommandError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(_sealed(id, found))


def _sealed(id: bytes, found: Float32) -> bytes:
    """Magic, crc32c of the rest, id, shape, values: all little-endian."""
    shape = np.array(found.shape, "<i8").tobytes()
    body = id + shape + np.ascontiguousarray(found, "<f4").tobytes()
    return _MAGIC + _checksum(body) + body


def _parse(data: bytes, id: bytes, shape: tuple[int, int]) -> Float32 | None:
    """The mass in a file; None unless it is complete and exactly the wanted one."""
    head = len(_MAGIC) + 4 + len(id) + 16
    wanted = id + np.array(shape, "<i8").tobytes()
    if len(data) != head + 4 * shape[0] * shape[1] or data[12:head] != wanted:
        return None
    if _MAGIC + _checksum(data[12:]) != data[:12]:
        return None
    return np.frombuffer(data, "<f4", offset=head).reshape(shape).astype(np.float32)


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(4, "little")


@cache
def code_id() -> str:
    """What computes masses: its source and numpy's version, so that no other code's are used."""
    sources = [
        Path(module.__file__ or "") for module in (mass, tokens, prior, reduce, rows, attention)
    ]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources))
    return f"{digest.hexdigest()} numpy {np.__version__}"
