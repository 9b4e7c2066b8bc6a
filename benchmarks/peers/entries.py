"""The peers as methods that compete, beside the paper's signals under its own presets.

Every peer is asked about the units of the default preset without the request, and names the units
that a threshold of its own lets through (benchmarks.thresholds). Needs their environment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from context_cite.solver import LassoRegression

from benchmarks.causal_truth import load
from benchmarks.common import RESULTS
from benchmarks.peers.live import Live
from benchmarks.peers.on_text import ABLATIONS, asked_by_context_cite, asked_by_inseq
from benchmarks.peers.text_model import export
from benchmarks.peers.tokenshap import Generating
from recorder.inputs.samples import read_samples
from replay.config import PRESETS
from replay.faithfulness import span_log_odds
from replay.methods import METHODS, SHARE, AttributionTask, Method, naming
from replay.methods.leaderboard import CAUSAL, ENTRIES, SIGNALS, Entry

Float64 = npt.NDArray[np.float64]
Scores = Callable[[AttributionTask], Float64]
Calls = Callable[[AttributionTask], int]

INSEQ = {f"inseq-{name.replace('_', '-')}": name
         for name in ("attention", "saliency", "input_x_gradient")}  # fmt: skip
TEXT_ONLY = (*INSEQ, "context-cite")
"""Peers that take a text model and nothing else."""

PAPER = {
    f"{preset}-{signal}": Entry("votes", replace(PRESETS[preset], signal=signal))
    for preset in ("paper", "release", "default")
    for signal in ("rawatt", "attgrads-last")
}
"""The paper's other two signals, under our preset too; the presets themselves read `attmean`."""

SINGLE_PASS = (
    *("paper", "release", *SIGNALS),
    *PAPER,
    *("captum-saliency", "captum-input-x-gradient"),
    *INSEQ,
)
"""What looks at the answer as it was given and asks for no other."""


def register(folder: Path) -> tuple[str, ...]:
    """Add peers to METHODS and ENTRIES, for the samples of `folder`; their names.

    `folder` gets the exported text model.
    """
    adapter, samples = load(), list(read_samples(folder / "samples.jsonl"))
    export(adapter, folder / "text-model")
    live, generating = Live(adapter, samples), Generating(adapter, samples)
    peers: dict[str, tuple[Scores, Calls]] = {
        "captum-saliency": (live.saliency, live.calls),
        "captum-input-x-gradient": (live.input_x_gradient, live.calls),
        "captum-ablation": (live.ablation, live.calls),
        "captum-shapley": (live.shapley, live.calls),
        "tokenshap-like": (generating.scores, generating.calls),
        "context-cite-solver": (context_cite_weights, METHODS["contextcite"].calls),
        "context-cite": (asked_by_context_cite(folder / "text-model"), lambda q: ABLATIONS),
        **{
            name: (asked_by_inseq(folder / "text-model", method), passes_of_inseq(method))
            for name, method in INSEQ.items()
        },
    }
    best = chosen_thresholds()
    for name, (scores, calls) in peers.items():
        METHODS[name] = Method(name, once(scores), naming(*best.get(name, (SHARE, 0.0))), calls)
        ENTRIES[name] = Entry(name, CAUSAL)
    ENTRIES.update(PAPER)
    return tuple(peers)


def chosen_thresholds() -> Mapping[str, tuple[float, float]]:
    """Method → share and least, as benchmarks.thresholds chose them; empty where it never ran."""
    path = RESULTS / "thresholds.json"
    methods = json.loads(path.read_text("utf-8"))["methods"] if path.exists() else {}
    return {name: (found["share"], found["least"]) for name, found in methods.items()}


def once(ask: Scores) -> Scores:
    """`ask`, whose answers are kept by sample: a live model is not asked twice."""
    kept: dict[str, Float64] = {}

    def asked(task: AttributionTask) -> Float64:
        if task.trace.id not in kept:
            kept[task.trace.id] = ask(task)
        return kept[task.trace.id]

    return asked


def passes_of_inseq(method: str) -> Calls:
    """Attention takes a pass, a gradient one for every token of the answer."""
    return lambda task: 1 if method == "attention" else task.trace.T


def context_cite_weights(task: AttributionTask) -> Float64:
    """(K, m) by ContextCite's own solver on our masks."""
    kept, logprob = task.recorded.fitting()
    solver = LassoRegression()
    rows = [
        solver.fit(kept, span_log_odds(logprob[:, steps]), int(steps.sum()))[0]
        for steps in task.steps
    ]
    return np.array(rows)
