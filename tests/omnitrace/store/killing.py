"""Killing writers: several processes record into one run and are killed, and nothing may be lost.

Each writer logs a sample after its commit returned. However the writers are killed, every logged
sample must be there, every sample that is there must be bit-equal to what was recorded, the rest
must be recorded on resuming, and what the killed left must be collected.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from omnitrace.maintenance.gc import collect
from omnitrace.maintenance.verify import verify
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.trace import Trace
from tests.build import make_trace
from tests.omnitrace.store.stores import describe

WRITERS = 4
LOOK = 10
"""Kills between two looks at all that is there."""
NUMBERS = 1_000_000
IDENTITY = {"model": "m"}
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "numcodecs.blosc"])


def sample(number: int) -> Trace:
    return make_trace(f"s{number}", number)


def write(path: Path, log: Path, first: int, segment_bytes: int) -> None:
    """What a recorder does, some samples, and then it says so; it ends with who started it."""
    parent = multiprocessing.parent_process()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with RunWriter.open(path, IDENTITY, segment_bytes=segment_bytes) as writer:
        waiting: list[int] = []
        for number in range(first, NUMBERS, WRITERS - 1):  # so that writers meet
            if parent and not parent.is_alive():
                break
            if f"s{number}" in writer.done:
                continue
            writer.add(sample(number), f"key {number}")
            waiting.append(number)
            time.sleep(0.01)  # a model takes longer; without, most of the time is spent comparing
            if f"s{number}" in writer.done:
                os.write(descriptor, "".join(f"s{n}\n" for n in waiting).encode())
                waiting = []


def start(path: Path, log: Path, slot: int, rng: random.Random) -> BaseProcess:
    segment_bytes = rng.choice([1, 20_000, 60_000])
    process = PROCESSES.Process(target=write, args=(path, log, slot, segment_bytes))
    process.start()
    return process


def checksum(trace: Trace) -> str:
    """A digest of everything that was recorded of a sample."""
    return hashlib.sha256(json.dumps(describe(trace)).encode()).hexdigest()


class Watch:
    """What was ever seen wrong."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path, self.log = path, log
        self.seen: set[str] = set()
        self.lost: set[str] = set()
        self.wrong: set[str] = set()
        self.half: list[str] = []

    def look(self) -> None:
        """Every logged sample must be there; every new one is read and compared."""
        logged = set(self.log.read_text().split()) if self.log.exists() else set()
        if not (self.path / "zarr.json").exists():
            self.lost |= logged
            return
        run = open_run(self.path)
        self.half += run.damage
        self.lost |= (logged | self.seen) - set(run)
        for id in sorted(set(run) - self.seen):
            if checksum(run[id]) != checksum(sample(int(id[1:]))):
                self.wrong.add(id)
        self.seen |= set(run)


def wait_for_a_commit(path: Path, writers: list[BaseProcess]) -> None:
    """A loaded machine may have killed every writer before its first commit."""
    while not any(path.glob("commits/*.json")) and all(one.is_alive() for one in writers):
        time.sleep(0.005)


def kill_writers(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill writers at random moments; then resume, collect, and look at everything again."""
    path, log, rng = folder / "run", folder / "log", random.Random(seed)
    watch = Watch(path, log)
    writers = [start(path, log, slot, rng) for slot in range(WRITERS)]
    try:
        for number in range(kills):
            time.sleep(rng.expovariate(1 / 0.04))
            slot = rng.randrange(WRITERS)
            writers[slot].kill()
            writers[slot].join()
            assert writers[slot].exitcode == -signal.SIGKILL
            writers[slot] = start(path, log, slot, rng)
            if number % LOOK == LOOK - 1:
                watch.look()
        wait_for_a_commit(path, writers)
    finally:
        for process in writers:
            process.kill()
            process.join()
    watch.look()
    return {"kills": kills} | recover(watch)


def recover(watch: Watch) -> dict[str, int]:
    """After the last kill: collect what is left, record what is missing, read all again."""
    files, before = LocalFiles(watch.path), set(watch.seen)
    orphans = sum(left.old for left in collect(files, -1, dry_run=False))
    harm = [found.sentence for found in verify(files, deep=True)]
    wanted = max((int(id[1:]) for id in before), default=0) + 5
    with RunWriter(files, IDENTITY) as writer:
        missing = [n for n in range(wanted) if f"s{n}" not in writer.done]
        for number in missing:
            writer.add(sample(number), f"key {number}")
    watch.look()
    return {
        "samples committed under fire": len(before),
        "segments": len(Run(files).segments),
        "committed samples lost": len(watch.lost),
        "half samples visible": len(watch.half) + len(harm),
        "wrong values": len(watch.wrong),
        "orphans collected": orphans,
        "orphans left": len(list(collect(files, -1, dry_run=True))),
        "recorded on resuming": len(missing),
        "missing after resuming": wanted - len(watch.seen),
    }
