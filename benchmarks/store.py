"""Is the store quick? Writing and reading beside raw `.npy` files and a Zarr group a sample.

The same traces, in turn, several rounds: large ones, whose scores are megabytes, and many small
ones. `.npy` files hold the scores alone, synced as ours are; groups hold every array of a trace, in
our chunks, codecs and checksums, not synced. Read is every score of every sample, from warm pages.
Also: how long it takes to open a run of 100,000 samples, in a process of its own.

    python -m benchmarks.store [--quick] [--json]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from benchmarks.browser import make_trace, write_many
from benchmarks.common import Claim, print_claims, save
from omnitrace import Trace, open_run
from omnitrace.store.writer import RunWriter

SIGNAL = "attmean"
CHUNK = 2**20
MIB = 2**20
MANY = 100_000
SMALL_SEGMENT = 100
"""Samples of a segment where segments are small; otherwise they are as large as they get."""

_OPEN = """
import sys, time
from omnitrace import open_run
began = time.perf_counter()
run = open_run(sys.argv[1])
count = len(run)
print(time.perf_counter() - began)
run.summary()
print(time.perf_counter() - began)
from benchmarks.common import peak_bytes
print(peak_bytes() / 2**20)
print(count)
"""


@dataclass(frozen=True)
class Peer:
    """A way to keep traces: `write` them into a folder, `read` the bytes of all their scores."""

    write: Callable[[Path, Sequence[Trace]], None]
    read: Callable[[Path, Sequence[Trace]], int]


def write_run(folder: Path, traces: Sequence[Trace]) -> None:
    with RunWriter.open(folder, {"model": "benchmark"}) as writer:
        for i, trace in enumerate(traces):
            writer.add(trace, f"{i:064x}")


def read_run(folder: Path, traces: Sequence[Trace]) -> int:
    run = open_run(folder)
    return sum(run[trace.id].signals[SIGNAL].values.nbytes for trace in traces)


def write_npy(folder: Path, traces: Sequence[Trace]) -> None:
    folder.mkdir()
    for trace in traces:
        with (folder / f"{trace.id}.npy").open("wb") as file:
            np.save(file, trace.signals[SIGNAL].values)
            file.flush()
            os.fsync(file.fileno())


def read_npy(folder: Path, traces: Sequence[Trace]) -> int:
    return sum(np.load(folder / f"{trace.id}.npy").nbytes for trace in traces)


def write_groups(folder: Path, traces: Sequence[Trace]) -> None:
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    for trace in traces:
        group = root.create_group(trace.id)
        group.attrs.update(prompt=trace.prompt_text, response=trace.response)
        for name, values in arrays_of(trace).items():
            group.create_array(
                name,
                data=values,
                chunks=(min(CHUNK, max(1, len(values))), *values.shape[1:]),
                compressors=[
                    BloscCodec(cname="lz4", clevel=5, shuffle=BloscShuffle.bitshuffle),
                    Crc32cCodec(),
                ],
            )


def read_groups(folder: Path, traces: Sequence[Trace]) -> int:
    root = zarr.open_group(folder, mode="r", zarr_format=3)
    return sum(np.asarray(root[f"{trace.id}/{SIGNAL}"]).nbytes for trace in traces)


def arrays_of(trace: Trace) -> dict[str, npt.NDArray[Any]]:
    """Every array of a trace by name."""
    kept = {SIGNAL: trace.signals[SIGNAL].values}
    for owner in (trace, trace.timeline):
        named = {field.name: getattr(owner, field.name) for field in fields(owner)}
        kept |= {name: value for name, value in named.items() if isinstance(value, np.ndarray)}
    return kept


PEERS = {
    "run": Peer(write_run, read_run),
    "npy": Peer(write_npy, read_npy),
    "zarr groups": Peer(write_groups, read_groups),
}


def measure(traces: Sequence[Trace], rounds: int) -> dict[str, Any]:
    """Median seconds to write and to read with every peer, files, and how many times ours."""
    scores = sum(trace.signals[SIGNAL].values.nbytes for trace in traces)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    files: dict[str, int] = {}
    for _ in range(rounds):
        for name, peer in PEERS.items():
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place, "kept")
                took = timed(peer.write, folder, traces), timed(peer.read, folder, traces)
                taken[name].append(took)
                files[name] = sum(path.is_file() for path in folder.rglob("*"))
                assert peer.read(folder, traces) == scores
    found: dict[str, Any] = {"samples": len(traces), "MiB of scores": scores / MIB}
    for name in PEERS:
        write, read = (statistics.median(column) for column in zip(*taken[name], strict=True))
        found[name] = {"write, s": write, "read, s": read, "files": files[name]}
        for at, what in enumerate(("write", "read")):
            ours = zip(taken[name], taken["run"], strict=True)
            found[name][f"{what}, times ours"] = statistics.median(a[at] / b[at] for a, b in ours)
    return found


def timed(act: Callable[[Path, Sequence[Trace]], object], *arguments: Any) -> float:
    began = time.perf_counter()
    act(*arguments)
    return time.perf_counter() - began


def copies(traces: Sequence[Trace], count: int) -> list[Trace]:
    """`count` samples, the traces over and over under other names."""
    return [replace(traces[i % len(traces)], id=f"sample-{i}") for i in range(count)]


def measure_opening(count: int, segment: int | None, rounds: int) -> dict[str, float]:
    """Median seconds until all ids are known, and until all is listed; peak memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "run")
        write_many(folder, count, segment)
        segments, seen = len(os.listdir(folder / "commits")), []
        for _ in range(rounds):
            child = [sys.executable, "-c", _OPEN, str(folder)]
            done = subprocess.run(child, capture_output=True, text=True, check=True)
            *values, opened = map(float, done.stdout.split())
            assert opened == count
            seen.append(values)
    open_s, listed_s, peak = (statistics.median(column) for column in zip(*seen, strict=True))
    return {"segments": segments, "open, s": open_s, "listed, s": listed_s, "peak, MiB": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small case, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    options = parser.parse_args()
    rounds, many = (1, MANY // 50) if options.quick else (5, MANY)
    few = 16 if options.quick else 64
    large = copies([make_trace("", 4_000, 200, seed=k) for k in range(4)], few)
    small = copies([make_trace("", 60, 20, seed=k) for k in range(8)], 50 if options.quick else 500)
    found: dict[str, Any] = {}
    for name, traces in (("large samples", large), ("small samples", small)):
        found[name] = measure(traces, rounds)
        print(name, found[name], flush=True)
    found[f"opening {many} samples"] = opening = {
        "full segments": measure_opening(many, None, rounds),
        f"segments of {SMALL_SEGMENT}": measure_opening(many, SMALL_SEGMENT, rounds),
    }
    print(opening)
    if not options.quick:
        save("store", found)
    if options.json:
        slowest = max(row["open, s"] for row in opening.values())
        print_claims([Claim(f"opening {many} samples, s", slowest, 1.0, "lower")])


if __name__ == "__main__":
    main()
