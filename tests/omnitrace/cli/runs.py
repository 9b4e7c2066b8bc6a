"""The runs that commands are tried on, and how one is harmed."""

from __future__ import annotations

from pathlib import Path

from omnitrace.store.writer import RunWriter
from tests.build import make_trace

IDENTITY = {"model": "tiny", "signals": ["attmean", "rawatt"]}


def write_kitchen(folder: Path, count: int) -> Path:
    """The run `kitchen` in a folder: `count` samples, each in a segment of its own."""
    path = folder / "kitchen"
    with RunWriter.open(path, IDENTITY) as writer:
        for seed in range(count):
            writer.add(make_trace(f"sample-{seed}", seed), f"key-{seed}")
            writer.commit()
    return path


def damage_a_segment(run: Path) -> None:
    """Flip a byte in every data file of one segment."""
    segment = sorted((run / "segments").iterdir())[0]
    for file in segment.rglob("*"):
        if file.is_file() and file.name != "zarr.json":
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
