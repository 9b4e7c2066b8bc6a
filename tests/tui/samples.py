"""Samples for the browser: an answer whose sentences have planted causes, and hostile text."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from textual.pilot import Pilot
from textual.worker import WorkerCancelled

from omnitrace import Run, SignalRows, Trace, open_run
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import ABLATIONS
from omnitrace.store.writer import RunWriter
from omnitrace.trace import pack_rows
from replay import ReplayConfig
from tests.build import make_rows, make_trace
from tests.replay.faithfulness.made import every_mask, needing

# A sentence a line: pieces as a byte-pair tokenizer cuts them, tags, the tokens that caused it.
PLANTED: list[tuple[str, str, range]] = [
    ("The| parcel| weighs| seven| kil|os|.", "DET NOUN VERB NUM NOUN NOUN PUNCT", range(1, 6)),
    (" A| red| circle| is| shown|.", "DET ADJ NOUN AUX VERB PUNCT", range(10, 14)),
    (
        " A| low| tone| sounds| at| second| two|.",
        "DET ADJ NOUN VERB ADP NOUN NUM PUNCT",
        range(18, 20),
    ),
    (" Then| a| square| moves| left|.", "ADV DET NOUN VERB ADV PUNCT", range(20, 26)),
]
STRENGTH = {"NOUN": 0.8, "NUM": 0.9, "VERB": 0.7, "ADJ": 0.75, "ADV": 0.5}

PLAIN = ReplayConfig(signal="attmean", reduce="max")  # looks and places hold if our advice changes

HOSTILE = (
    "\x1b[31mred\x1b]52;c;aGk=\x07",
    "\x9b31m\x85",
    "‮evil⁦",
    "​‍﻿\U000e0041",
    "e\u0301" + "\u0316" * 50,
    "漢字かな🙂👨‍👩‍👧",
    "[bold]markup[/bold] [@click=app.quit]x[/]",
    "\r\n\t\x00\x7f",
)


def planted_trace(id: str = "kitchen-1", seed: int = 0) -> Trace:
    """An answer of four sentences: caused by a fact, an image, a second of audio, a video."""
    rng = np.random.default_rng(seed)
    steps = [
        (piece, tag, causes)
        for pieces, tags, causes in PLANTED
        for piece, tag in zip(pieces.split("|"), tags.split(), strict=True)
    ]
    pieces = [piece for piece, _, _ in steps]
    n = len(make_trace().prompt_ids)
    dense = np.zeros((len(steps), n + len(steps)), np.float32)
    for t, (_, tag, causes) in enumerate(steps):
        share = STRENGTH.get(tag, 0.2) * rng.uniform(0.8, 1.0)
        dense[t, : n + t] = rng.dirichlet(np.full(n + t, 0.3)) * (1 - share)
        dense[t, causes.start : causes.stop] += share / len(causes)
    rows = SignalRows(pack_rows(dense, n), first_row=dense[0, :n])
    return with_response(pieces, id, pos=tuple(tag for _, tag, _ in steps), attmean=rows)


def with_response(pieces: list[str], id: str = "sample", **over: Any) -> Trace:
    """A trace whose steps wrote `pieces`, one sentence after each full stop; rows are random."""
    steps = len(pieces)
    ends = np.cumsum([len(piece) for piece in pieces]).astype(np.int32)
    chars = np.stack([ends - [len(piece) for piece in pieces], ends], axis=1).astype(np.int32)
    stops = [t for t, piece in enumerate(pieces) if piece == "." or t == steps - 1]
    starts = [0, *(int(ends[t]) for t in stops[:-1])]
    rng = np.random.default_rng(0)
    rows = over.pop("attmean", None) or make_rows(rng, len(make_trace().prompt_ids), steps)
    fields: dict[str, Any] = {
        "response": "".join(pieces),
        "response_ids": np.arange(steps, dtype=np.int32),
        "chars": chars,
        "logprob": -rng.random(steps, dtype=np.float32),
        "entropy": rng.random(steps, dtype=np.float32),
        "pos": ("NOUN",) * steps,
        "sentences": np.array(
            [(start, ends[stop]) for start, stop in zip(starts, stops, strict=False)], np.int32
        ).reshape(-1, 2),
        "signals": {"attmean": rows},
    }
    return make_trace(id, **(fields | over))


def write_run(folder: Path, *traces: Trace) -> Run:
    """A run on disk that holds `traces`."""
    with RunWriter.open(folder, {"model": "tests"}) as writer:
        for trace in traces:
            writer.add(trace, hashlib.sha256(trace.id.encode("utf-8", "replace")).hexdigest())
    return open_run(folder)


def write_ablated(folder: Path, id: str = "kitchen-1") -> Run:
    """A run of the planted sample with ablations, under which all of it needs its second unit."""
    write_run(folder, planted_trace(id))
    with Adder.open(folder, ABLATIONS, "mask", {}) as adder:
        trace = adder.run[id]
        owner = trace.units(PLAIN.units).owner_of_tokens(trace.n)
        adder.add(trace, every_mask(trace, owner, needing(1)))
    return open_run(folder)


def damage(folder: Path, run: Run, id: str) -> None:
    """Overwrite the middle of every file of the sample's segment."""
    segment = run.segment_of(id)
    files = [f for f in folder.rglob("*") if f.is_file() and segment in str(f.parent)]
    assert files
    for file in files:
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2] + b"damage" + data[len(data) // 2 + 6 :])


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until the screen shows the result of the last key."""
    await done(pilot)
    await pilot.pause()


async def done(pilot: Pilot[Any]) -> None:
    """Wait until the result of the last key is computed, if not drawn."""
    for _ in range(3):
        await pilot.pause(0)
        with suppress(WorkerCancelled):  # another one has taken its place
            await pilot.app.workers.wait_for_complete()
