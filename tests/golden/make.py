"""Writes the golden store of the present format: `python -m tests.golden.make`.

Once for a format, never again: the store is what every later reader must open, and
`expected.json` what it must find there. Refuses to touch one that exists.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnitrace.commit import FORMAT
from omnitrace.timeline import Timeline
from omnitrace.trace import SignalRows, Trace
from omnitrace.writer import RunWriter
from tests.build import make_rows, make_trace
from tests.omnitrace.stores import as_read, describe

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


def main() -> None:
    folder = GOLDEN / f"format-{FORMAT}"
    folder.mkdir()
    with RunWriter.open(folder / "store", IDENTITY) as writer:
        for number, trace in enumerate(golden_traces()):
            writer.add(trace, f"key-{number}")
    expected = {trace.id: describe(as_read(trace)) for trace in golden_traces()}
    text = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "expected.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
