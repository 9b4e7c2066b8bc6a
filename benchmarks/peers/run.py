"""Peers on the same model, samples and units: ContextCite's solver, Captum's ablation and Shapley.

Needs an environment of its own with requirements.txt beside this file, and OmniTrace with the
extras `record` and `faithful` in it. ContextCite's own solver gets our masks, so that its weights
must be ours; Captum asks the live model, unit by unit, in every modality. What is not here:
ContextCite's own ablations and inseq load a text model by its name, and the bundled one is none;
TokenSHAP generates anew for every subset.

    python -m benchmarks.peers.run [--samples 1] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import FeatureAblation, ShapleyValueSampling
from context_cite.solver import LassoRegression

from benchmarks.causal_truth import load
from benchmarks.common import Claim, print_claims, save
from benchmarks.faithfulness import markdown
from benchmarks.faithfulness import run as omnitrace
from omnitrace import Run, open_run
from recorder.inputs.samples import read_samples
from recorder.passes.masked import Masked
from replay.evaluation import golds_of_truths, read_truths
from replay.faithfulness import span_log_odds
from replay.methods import METHODS, Method, Question, certain
from replay.methods.contextcite import surrogate
from replay.methods.leaderboard import CAUSAL, ENTRIES, Entry, leaderboard, to_json

Float64 = npt.NDArray[np.float64]

PERMUTATIONS = 8


class Live:
    """The bundled model under masks of units; counts its passes."""

    def __init__(self, samples: Path) -> None:
        self.adapter = load()
        self.samples = {sample.id: sample for sample in read_samples(samples)}
        self.passes: dict[str, int] = {}

    def scores(self, question: Question, make: Callable[[Any], Any], **options: Any) -> Float64:
        """(K, m) attributions of each span's log-probability by a method of Captum."""
        trace = question.trace
        passing = Masked(self.adapter, self.adapter.prepare(self.samples[trace.id]))
        owner = question.units.owner_of_tokens(trace.n)
        steps = torch.from_numpy(question.steps)
        self.passes[trace.id] = 0

        def forward(kept: torch.Tensor) -> torch.Tensor:
            shown = np.append(kept.numpy() > 0.5, np.ones((len(kept), 1), bool), axis=1)
            self.passes[trace.id] += len(kept)
            odds = passing.log_odds(trace.response_ids, shown[:, owner])
            lp = -torch.nn.functional.softplus(-torch.from_numpy(odds).double())
            return lp @ steps.double().T

        every = torch.ones(1, len(question.units))
        rows = [
            make(forward).attribute(every, target=k, **options)[0].numpy()
            for k in range(len(question.spans))
        ]
        return np.array(rows, np.float64).reshape(len(rows), len(question.units))

    def calls(self, question: Question) -> int:
        return self.passes.get(question.trace.id, 0)


def context_cite_weights(question: Question) -> Float64:
    """(K, m) by ContextCite's own solver on our masks."""
    kept, logprob = question.recorded.fitting()
    solver = LassoRegression()
    rows = [
        solver.fit(kept, span_log_odds(logprob[:, steps]), int(steps.sum()))[0]
        for steps in question.steps
    ]
    return np.array(rows)


def largest_difference(run: Run) -> float:
    """Of ContextCite's weights and ours, over their size, on all samples that can be fitted."""
    worst = 0.0
    for trace in run.values():
        question = Question(trace, CAUSAL)
        theirs = context_cite_weights(question)
        kept, logprob = question.recorded.fitting()
        for row, steps in zip(theirs, question.steps, strict=True):
            odds = span_log_odds(logprob[:, steps])
            ours = surrogate(kept, odds, int(steps.sum()))
            worst = max(worst, float(np.abs(ours - row).max() / max(1.0, np.abs(row).max())))
    return worst


def register(live: Live) -> None:
    """The peers as methods that compete."""

    def ablation(question: Question) -> Float64:
        return live.scores(question, FeatureAblation)

    def shapley(question: Question) -> Float64:
        torch.manual_seed(0)
        return live.scores(question, ShapleyValueSampling, n_samples=PERMUTATIONS)

    for name, ask in (("captum-ablation", ablation), ("captum-shapley", shapley)):
        METHODS[name] = Method(name, ask, certain, live.calls)
    METHODS["context-cite"] = Method("its own solver", context_cite_weights, certain,
                                     METHODS["contextcite"].calls)  # fmt: skip
    for name in ("captum-ablation", "captum-shapley", "context-cite"):
        ENTRIES[name] = Entry(name, CAUSAL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1, help="of each modality and axis")
    parser.add_argument("--quick", action="store_true", help="texts alone, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    options = parser.parse_args()
    only = ["--modality", "text"] if options.quick else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        omnitrace("benchmark", name, "--samples", str(options.samples), *only, "--method", "random")
        run = open_run(folder / "run")
        register(Live(folder / "samples.jsonl"))
        golds = golds_of_truths(run, read_truths(folder / "truth.jsonl"))
        standings = leaderboard(run, golds, ENTRIES)
        difference = largest_difference(run)
    board = {"samples": len(golds), "masks": 64, "methods": to_json(standings, 0.0)}
    print(markdown(board))
    print(f"ContextCite's weights and ours differ by {difference:.1e} of their size")
    if not options.quick:
        save("peers", {**board, "context_cite_difference": difference})
    if options.json:
        print_claims([Claim("difference to ContextCite's weights", difference, 1e-6, "lower")])


if __name__ == "__main__":
    main()
