"""Runs to take care of: some of everything that a run may hold, and all that readers see of it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np

from omnitrace.store.adder import Adder
from omnitrace.store.files import Files
from omnitrace.store.kinds import SEGMENTATION, TAGS
from omnitrace.store.run import Run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Segmentation, Segments
from omnitrace.trace import Tagging, Trace
from tests.build import make_trace
from tests.omnitrace.store.stores import describe

IDENTITY = {"model": "m", "options": {"seed": 1}}


def sample(number: int) -> Trace:
    """A trace; every third has arrays of a finer level."""
    trace = make_trace(f"s{number}", number)
    if number % 3:
        return trace
    arrays = {"queries": np.arange(12, dtype=np.float16).reshape(2, 6) + number}
    return replace(trace, arrays=arrays)


def fill(files: Files, numbers: range, identity: dict[str, Any] = IDENTITY) -> Run:
    """Record samples, two a segment."""
    with RunWriter(files, identity) as writer:
        for place, number in enumerate(numbers):
            writer.add(sample(number), f"key {number}")
            if place % 2:
                writer.commit()
    return Run(files)


def add_both(run: Run) -> None:
    """Words and other tags of every sample, in files of two."""
    for kind, name in ((SEGMENTATION, "words"), (TAGS, "other")):
        with Adder(run, kind, name, {"by": "hand"}, 2) as adder:
            for id in run:
                adder.add(run[id], words(id) if kind == SEGMENTATION else tags(run[id]))


def words(id: str) -> Segmentation:
    stretches = Segments.of([(0.1, 0.7, id), (1.5, 2.5, "tone")])
    return Segmentation("words", {1: stretches})


def tags(trace: Trace) -> Tagging:
    none = np.zeros((0, 2), np.int32)
    return Tagging("other", ("X",) * trace.T, none, none)


def all_of(run: Run) -> dict[str, Any]:
    """Everything that a reader sees of a run, comparable: equal if bit-equal."""
    return {
        "identity": run.identity,
        "uuid": run.store_uuid,
        "keys": list(run.sample_keys.items()),
        "samples": {id: sample_of(run, id) for id in run},
    }


def sample_of(run: Run, id: str) -> Any:
    trace = run[id]
    added = dict(trace.segmentations), dict(trace.taggings)
    return describe(trace), pickle.dumps(added)
