"""Writes the golden stores of the present format: `python -m tests.golden.make`.

Once for a format, never again: the stores are what every later reader must open, and
`expected.json` what it must find there. `format-…` has samples alone, `levels-…` the finer levels
and all that can be added afterwards. Leaves alone those that exist.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace.ablations import Ablations, Row
from omnitrace.store.adder import Adder
from omnitrace.store.commit import FORMAT
from omnitrace.store.run import open_run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Segmentation, Segments, Timeline
from omnitrace.trace import SignalRows, Tagging, Trace
from tests.build import make_rows, make_trace
from tests.omnitrace.store.stores import array_data, as_read, describe

GOLDEN = Path(__file__).parent
IDENTITY = {"model": "golden", "revision": "1", "options": {"seed": 7, "greedy": True}}


def golden_traces() -> list[Trace]:
    """An ordinary sample; one by layers, with odd floats and odd text; one without steps."""
    rng = np.random.default_rng(7)
    ordinary = make_trace("ordinary", 7)
    ordinary = replace(ordinary, signals={"attmean": ordinary.signals["attmean"]})
    layered = short_trace("../日本語\x1b", steps=2)
    odd = make_rows(rng, layered.n, 2, layers=2)
    odd.values[:4] = np.array([np.nan, -0.0, np.inf, 1e-45], np.float32)
    layered = replace(
        layered,
        signals={"attgrads": SignalRows(odd.values, (3, 1), odd.first_row)},
        response="🎬\x1b",
        chars=np.array([[0, 1], [1, 2]], np.int32),
        meta={"seed": 7, "nested": {"list": [1, 2.5, None, True, "é"]}},
    )
    return [ordinary, layered, short_trace("silent", steps=0)]


def short_trace(id: str, steps: int) -> Trace:
    """A prompt of three special tokens, without parts or media."""
    rng = np.random.default_rng(steps)
    empty = np.zeros((0, 2), np.int32)
    return Trace(
        id=id,
        prompt_text="",
        response="",
        prompt_ids=np.arange(3, dtype=np.int32),
        response_ids=np.arange(steps, dtype=np.int32),
        chars=np.zeros((steps, 2), np.int32),
        logprob=-rng.random(steps, dtype=np.float32),
        entropy=rng.random(steps, dtype=np.float32),
        pos=("X",) * steps,
        sentences=empty,
        prompt_sentences=empty,
        timeline=Timeline.blank(3),
        parts=(),
        media=(),
        signals={},
    )


def levelled_trace() -> Trace:
    """A sample by layers, with heads pooled to units, and queries and keys (these in bfloat16)."""
    rng = np.random.default_rng(8)
    trace = make_trace("levelled", 8, layers=2)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "heads": rng.random((2, 4, trace.T, 3), dtype=np.float32),
        "heads_unit": (np.arange(trace.n) % 4 - 1).astype(np.int32),
        "queries": rng.standard_normal((2, 4, trace.T, 2), dtype=np.float32),
        "keys": rng.integers(0x3F00, 0x3F80, (2, 2, trace.n + trace.T - 1, 2)).astype(np.uint16),
        "scaling": np.full(2, 0.5),
        "windows": np.array([0, 8], np.int32),
    }
    return replace(trace, signals={"attmean": trace.signals["attmean"]}, arrays=arrays)


def additions_to(trace: Trace) -> dict[str, Segmentation | Tagging | Ablations]:
    """Kind → one addition of that kind."""
    rng = np.random.default_rng(9)
    return {
        "segmentation": Segmentation(
            "halves", {1: Segments.of([(0, 1.5, "a tone"), (1.5, 3, "")])}
        ),
        "tags": Tagging("others", ("X",) * trace.T, trace.sentences[:1], trace.prompt_sentences),
        "ablations": Ablations(
            name="mask",
            mode="mask",
            unit_of=(np.arange(trace.n) * 3 // trace.n - 1).astype(np.int32),
            request=np.array([False, True]),
            kept=np.array([[True, True], [False, True], [False, False]]),
            why=np.array([Row.FULL, Row.DRAWN, Row.EMPTY], np.uint8),
            held_out=np.array([False, True, False]),
            log_odds=rng.standard_normal((3, trace.T), dtype=np.float32),
        ),
    }


def describe_added(trace: Trace) -> dict[str, Any]:
    """What was added to a trace as JSON data, arrays by their very bytes."""
    return {
        "segmentations": {
            name: {str(medium): _plain(found) for medium, found in segmentation.media.items()}
            for name, segmentation in trace.segmentations.items()
        },
        "taggings": {name: _plain(found) for name, found in trace.taggings.items()},
        "ablations": {name: _plain(found) for name, found in trace.ablations.items()},
    }


def _plain(data: Segments | Tagging | Ablations) -> dict[str, Any]:
    values = {f.name: getattr(data, f.name) for f in fields(data)}
    return {
        name: array_data(value)
        if isinstance(value, np.ndarray)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }


def write_samples(folder: Path) -> dict[str, Any]:
    """The ordinary store, and what is to be found there."""
    with RunWriter.open(folder / "store", IDENTITY) as writer:
        for number, trace in enumerate(golden_traces()):
            writer.add(trace, f"key-{number}")
    return {trace.id: describe(as_read(trace)) for trace in golden_traces()}


def write_levels(folder: Path) -> dict[str, Any]:
    """The store of finer levels and additions, and what is to be found there."""
    trace = levelled_trace()
    with RunWriter.open(folder / "store", IDENTITY) as writer:
        writer.add(trace, "key-0")
    added = additions_to(trace)
    for kind, addition in added.items():
        with Adder(open_run(folder / "store"), kind, addition.name, {"made": "by hand"}) as adder:
            adder.add(trace, addition)
    names = {"segmentation": "segmentations", "tags": "taggings", "ablations": "ablations"}
    over: dict[str, Any] = {names[kind]: {a.name: a} for kind, a in added.items()}
    return describe(as_read(trace)) | describe_added(replace(trace, **over))


def main() -> None:
    for name, write in (("format", write_samples), ("levels", write_levels)):
        folder = GOLDEN / f"{name}-{FORMAT}"
        if folder.exists():
            continue
        folder.mkdir()
        text = json.dumps(write(folder), indent=1, sort_keys=True, ensure_ascii=False)
        (folder / "expected.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
