"""Helpers of the run store's tests: files in memory, files that fail, traces as comparable data."""

from __future__ import annotations

import base64
import errno
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from omnitrace.store.commit import Marker, file_entry, parse_marker, parse_root, seal
from omnitrace.store.files import Entry
from omnitrace.store.run import Run
from omnitrace.text import safe_text
from omnitrace.timeline import Medium, Part, Timeline
from omnitrace.trace import Trace


@dataclass
class MemoryFiles:
    """A run in a dictionary: a second medium, which the format must not notice."""

    content: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)
    readers: int = 1

    def where(self, name: str) -> str:
        return f"memory/{name}"

    def put(self, name: str, data: bytes) -> None:
        assert name not in self.content, f"{name} written twice"
        self.content[name] = data

    def sync(self) -> None:
        pass

    def put_if_absent(self, name: str, data: bytes) -> bool:
        return self.content.setdefault(name, data) is data

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        data = self._known(name)
        return data[start : None if length is None else start + length]

    def size(self, name: str) -> int:
        return len(self._known(name))

    def names(self, folder: str = "") -> list[str]:
        prefix = f"{folder}/" if folder else ""
        inside = (name.removeprefix(prefix) for name in self.content if name.startswith(prefix))
        return sorted({name.split("/")[0] for name in inside})

    def walk(self, folder: str = "") -> Iterator[Entry]:
        prefix = f"{folder}/" if folder else ""
        for name in [name for name in self.content if name.startswith(prefix)]:
            yield Entry(name, len(self.content[name]), self.written.get(name, 0.0))

    def now(self) -> float:
        return time.time()

    def remove(self, name: str) -> None:
        self.content.pop(name, None)

    def _known(self, name: str) -> bytes:
        if name not in self.content:
            raise FileNotFoundError(errno.ENOENT, "No such file", name)
        return self.content[name]


@dataclass
class FullDisk(MemoryFiles):
    """Memory whose k-th writing operation fails: half of the bytes are there, if any."""

    operations_left: int = 0

    def put(self, name: str, data: bytes) -> None:
        super().put(name, data[: len(data) // 2])
        self._spend()
        self.content[name] = data

    def sync(self) -> None:
        self._spend()

    def put_if_absent(self, name: str, data: bytes) -> bool:
        self._spend()
        return super().put_if_absent(name, data)

    def _spend(self) -> None:
        self.operations_left -= 1
        if self.operations_left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")


@dataclass
class SlowDisk(MemoryFiles):
    """Memory whose k-th operation, reading or writing, is so slow that `meanwhile` happens."""

    operations_left: int = 0
    meanwhile: Callable[[], None] = lambda: None

    def put(self, name: str, data: bytes) -> None:
        self._spend()
        super().put(name, data)

    def sync(self) -> None:
        self._spend()

    def put_if_absent(self, name: str, data: bytes) -> bool:
        self._spend()
        return super().put_if_absent(name, data)

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._spend()
        return super().get(name, start, length)

    def names(self, folder: str = "") -> list[str]:
        self._spend()
        return super().names(folder)

    def _spend(self) -> None:
        self.operations_left -= 1
        if self.operations_left == -1:
            self.meanwhile()


def describe(trace: Trace) -> dict[str, Any]:
    """What was recorded of a trace as JSON data, arrays by their very bytes: equal if bit-equal."""
    apart = {"signals", "segmentations", "taggings", "ablations"}
    found = {f.name: getattr(trace, f.name) for f in fields(Trace) if f.name not in apart}
    found["timeline"] = {
        f.name: array_data(getattr(trace.timeline, f.name)) for f in fields(Timeline)
    }
    found["signals"] = {
        name: {
            "values": array_data(rows.values),
            "layers": list(rows.layers),
            "first_row": None if rows.first_row is None else array_data(rows.first_row),
        }
        for name, rows in trace.signals.items()
    }
    found["arrays"] = {name: array_data(array) for name, array in trace.arrays.items()}
    if not found["arrays"]:
        del found["arrays"]  # the golden stores are older than these
    found["parts"] = [asdict(part) for part in trace.parts]
    found["media"] = [asdict(medium) for medium in trace.media]
    found["pos"] = list(trace.pos)
    return {k: array_data(v) if isinstance(v, np.ndarray) else v for k, v in found.items()}


def array_data(array: np.ndarray[Any, Any]) -> list[Any]:
    """dtype, shape and bytes of an array."""
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]


def as_read(trace: Trace) -> Trace:
    """What the store should give back for `trace`: the same, its text safe for a terminal."""
    return replace(
        trace,
        prompt_text=safe_text(trace.prompt_text),
        response=safe_text(trace.response),
        pos=tuple(safe_text(tag) for tag in trace.pos),
        parts=tuple(Part(**_safe(asdict(part))) for part in trace.parts),
        media=tuple(Medium(**_safe(asdict(medium))) for medium in trace.media),
        meta=_safe(dict(trace.meta)),
    )


def _safe(data: Any) -> Any:
    return json.loads(json.dumps(data, ensure_ascii=False), object_hook=_safe_values)


def _safe_values(data: dict[str, Any]) -> dict[str, Any]:
    def safe(value: Any) -> Any:
        if isinstance(value, list):
            return [safe(item) for item in value]
        return safe_text(value) if isinstance(value, str) else value

    return {safe_text(key): safe(value) for key, value in data.items()}


def read_all(run: Run) -> dict[str, dict[str, Any]]:
    """Every sample of a run, described."""
    return {id: describe(run[id]) for id in run}


def forge(root: Path, segment: str, name: str, data: bytes) -> None:
    """Replace a file of a segment as a cunning stranger would: with the marker made to agree."""
    (root / "segments" / segment / name).write_bytes(data)
    change_marker(root, segment, lambda marker: {"files": with_file(marker, name, data)})


def with_file(marker: Marker, name: str, data: bytes) -> msgspec.Raw:
    """The marker's files with one more, or another."""
    return msgspec.Raw(msgspec.json.encode(marker.parse_files() | {name: file_entry([data])}))


def change_marker(root: Path, segment: str, change: Callable[[Marker], dict[str, Any]]) -> None:
    """Replace fields of a marker, with a checksum that agrees."""
    path = root / "commits" / f"{segment}.json"
    uuid = parse_root((root / "zarr.json").read_bytes(), "").store_uuid
    marker = parse_marker(path.read_bytes(), segment, uuid)
    path.write_bytes(seal(msgspec.structs.replace(marker, **change(marker))))
