"""Scores of live peers on recorded samples of a released model, kept a line a sample.

A peer needs its model for minutes; what it says of a sample is kept and never asked again, so that
any number of tables can be made of it. Knows which peers there are and how each is loaded.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.real import WITHOUT_REQUEST, Case
from benchmarks.real_runs import REAL, Place
from omnitrace.errors import OmniTraceError
from replay.methods import AttributionTask

Float64 = npt.NDArray[np.float64]
BATCH = 2
"""ContextCite's ablations at a time: it keeps the logits of all tokens of a batch."""


@dataclass(frozen=True)
class Peer:
    """Scores (K, m) of a task, and the passes of the model that they took."""

    scores: Callable[[AttributionTask], Float64]
    calls: Callable[[AttributionTask], int]


class Scored(msgspec.Struct, frozen=True):
    """What a peer said of one sample: `units`: the digest of the units that it was asked about;
    `failed`: why it said nothing, in one sentence; `seconds`: of the processor."""

    id: str
    units: str
    scores: list[list[float]]
    passes: int
    seconds: float
    failed: str = ""

    def fits(self, task: AttributionTask) -> bool:
        """Whether it was asked about the units and spans of this task."""
        known = self.failed or len(self.scores) == len(task.spans)
        return bool(known) and self.units == digest_of(task)

    def of(self, task: AttributionTask) -> Float64:
        """(K, m) scores of a task that fits, all 0 if the peer failed."""
        if self.failed:
            return np.zeros((len(task.spans), len(task.units)))
        return np.array(self.scores, np.float64).reshape(len(task.spans), len(task.units))


def digest_of(task: AttributionTask) -> str:
    """Of the tokens of each unit: units are cut otherwise as the rules of cutting change."""
    units = task.units
    return sha256(units.ranges.tobytes() + units.offset.tobytes()).hexdigest()


def task_of(case: Case) -> AttributionTask:
    """What peers are asked: the units of the default preset without the request."""
    return AttributionTask(case.trace, WITHOUT_REQUEST)


def _attnlrp(model: str) -> Peer:
    peer = _module("attnlrp").AttnLRP(REAL / model)
    return Peer(peer.scores, peer.calls)


def _flash(kind: str) -> Callable[[str], Peer]:
    def load(model: str) -> Peer:
        peer = _module("flash").Flash.load(REAL / model, kind)
        return Peer(peer.scores, peer.calls)

    return load


def _inseq(method: str) -> Callable[[str], Peer]:
    def load(model: str) -> Peer:
        asked = _module("on_text").asked_by_inseq(REAL / model, method)
        return Peer(asked, lambda task: 1 if method == "attention" else task.trace.T)

    return load


def _context_cite(model: str) -> Peer:
    peers = _module("on_text")
    return Peer(peers.asked_by_context_cite(REAL / model, BATCH), lambda task: peers.ABLATIONS)


def _captum(method: str) -> Callable[[str], Peer]:
    def load(model: str) -> Peer:
        live = _module("live").Live(*_adapter(model))
        return Peer(getattr(live, method), live.calls)

    return load


def _tokenshap(model: str) -> Peer:
    peer = _module("tokenshap").Generating(*_adapter(model))
    return Peer(peer.scores, peer.calls)


def _adapter(model: str) -> tuple[Any, list[Any]]:
    """The recorder's model, and the samples of all sets."""
    from benchmarks.real_sets import SETS
    from recorder.inputs.samples import read_samples
    from recorder.models.adapter import describe_model, load_adapter
    from recorder.models.settings import Weights
    from recorder.passes.capture import install

    adapter = load_adapter(describe_model(str(REAL / model)), Weights("float32", "cpu"))
    install(adapter.model, adapter.decoder)
    return adapter, [one for name in SETS for one in read_samples(Place(model, name).samples)]


def _module(name: str) -> Any:
    """A module of this folder: each needs a package that the others do without."""
    return importlib.import_module(f"benchmarks.peers.{name}")


PEERS: Mapping[str, Callable[[str], Peer]] = {
    "attnlrp": _attnlrp,
    "flashtrace": _flash("flashtrace"),
    "flashtrace-no-recursion": _flash("ifr-span"),
    "inseq-attention": _inseq("attention"),
    "captum-saliency": _captum("saliency"),
    "captum-input-x-gradient": _captum("input_x_gradient"),
    "inseq-saliency": _inseq("saliency"),
    "inseq-input-x-gradient": _inseq("input_x_gradient"),
    "context-cite": _context_cite,
    "captum-ablation": _captum("ablation"),
    "tokenshap-like": _tokenshap,
}
"""Name → how the peer is loaded for a model of benchmarks.real_runs."""


def file_of(model: str, name: str) -> Path:
    """Where the scores of a peer are kept."""
    return REAL / "peers" / model / f"{name}.jsonl"


def read_scored(model: str, name: str, cases: Sequence[Case]) -> dict[str, Scored]:
    """What is kept of a peer about these cases, by sample id; the last that was said counts.

    What it said of units that are cut otherwise today is left out.
    """
    path = file_of(model, name)
    lines = path.read_bytes().splitlines() if path.exists() else []
    rows = {row.id: row for row in (msgspec.json.decode(line, type=Scored) for line in lines)}
    tasks = {case.trace.id: task_of(case) for case in cases if case.trace.id in rows}
    return {id: rows[id] for id, task in tasks.items() if rows[id].fits(task)}


def score_cases(model: str, name: str, peer: Peer, cases: Sequence[Case], until: float) -> int:
    """Let a peer score cases, until the clock (time.monotonic) says `until`; how many it scored.

    Each is written as soon as it is known. What the peer cannot take is kept with the reason.
    """
    path, count = file_of(model, name), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for case in cases:
            if time.monotonic() > until:
                break
            file.write(msgspec.json.encode(_scored(peer, case)) + b"\n")
            file.flush()
            count += 1
    return count


def _scored(peer: Peer, case: Case) -> Scored:
    task = task_of(case)
    units, began = digest_of(task), time.process_time()
    try:
        scores, failed = peer.scores(task).tolist(), ""
        passes = peer.calls(task)
    except OmniTraceError as error:
        scores, failed, passes = [], str(error), 0
    return Scored(case.trace.id, units, scores, passes, time.process_time() - began, failed)
