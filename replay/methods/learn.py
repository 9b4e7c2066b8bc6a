"""Learned heads: weights of attention heads under which attention ranks masks as the model does.

AT2's idea (Cohen-Wang et al. 2025), from recordings alone: level `heads` and ablations of some
samples give weights; as a configuration (`signal = "attention"`, `heads = …`) they replay any other
sample of the model without a single pass. Knows tasks; no torch, the gradient is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.errors import CommandError
from omnitrace.samples import each_sample
from omnitrace.trace import Trace
from replay.config import ReplayConfig
from replay.faithfulness import span_log_odds
from replay.mass import merged_units
from replay.methods import AttributionTask

RATE, ROUNDS = 0.4, 600
"""The first step of a weight, in equal weights 1/F; and how many steps."""
BETAS = (0.9, 0.999)
_TINY = 1e-12


@dataclass(frozen=True)
class Example:
    """One span: `features` (r, F) of its r masks, and the log-odds `target` (r,), both centred;
    F heads, layer after layer."""

    features: Float64
    target: Float64

    def correlation(self, weights: Float64) -> tuple[float, Float64]:
        """Pearson's ρ of features · weights and target, and its gradient (F,)."""
        guess = self.features @ weights
        size = float(np.sqrt(guess @ guess)) + _TINY
        wanted = self.target / (np.sqrt(self.target @ self.target) + _TINY)
        rho = float(guess @ wanted) / size
        return rho, self.features.T @ (wanted - rho * guess / size) / size


@dataclass(frozen=True)
class Learned:
    """`weights` (layers, heads), at least 0, that sum to 1; how well they do on what they were
    learned from (here ρ on the masks) `before`, with equal weights, and `after`; and from how many
    samples and spans."""

    weights: Float64
    before: float
    after: float
    samples: int
    spans: int


def examples_of(task: AttributionTask) -> list[Example]:
    """The spans of a sample whose odds depend on its masks.

    A feature is Σ_s ±Φ[h, s], + where unit s is kept: Φ is the attention of head h to the tokens of
    s, in sum, in the mean over the span's steps. Raises what is wrong with the sample.
    """
    kept, logprob = task.recorded.fitting()
    pooled = task.trace.heads().mass  # (layers, heads, T, recorded units)
    merged = merged_units(task.trace, task.units)
    member = merged[:, None] == np.arange(len(task.units))
    found = []
    for steps in task.steps:
        if not steps.any():
            continue
        attention = pooled[:, :, steps].mean(axis=2, dtype=np.float64) @ member
        features = (2.0 * kept - 1) @ attention.reshape(-1, len(task.units)).T
        target = span_log_odds(logprob[:, steps])
        if np.ptp(target) > 0:
            found.append(Example(features - features.mean(axis=0), target - target.mean()))
    return found


def learn(
    run: Mapping[str, Trace],
    ids: Iterable[str],
    task_of: Callable[[Trace], AttributionTask],
    failed: MutableMapping[str, str],
) -> Learned:
    """Weights from the samples `ids`; failures as of `each_sample`.

    Adam on the mean of -ρ over spans from equal weights, its rate falling along a cosine, each
    step cut at 0; always the same. CommandError where no sample has what it takes.
    """

    def use(trace: Trace) -> tuple[list[Example], tuple[int, ...]]:
        return examples_of(task_of(trace)), trace.heads().mass.shape[:2]

    used = [found for _, found in each_sample(run, ids, use, failed)]
    examples = [example for own, _ in used for example in own]
    if not examples:
        raise CommandError(
            "there is nothing to learn from: record with --level heads and --ablations 64."
        )
    weights = _fit(examples)
    even = np.full(len(weights), 1 / len(weights))
    return Learned(
        weights.reshape(used[-1][1]),
        _mean(examples, even)[0],
        _mean(examples, weights)[0],
        len(used),
        len(examples),
    )


def _mean(examples: Sequence[Example], weights: Float64) -> tuple[float, Float64]:
    pairs = [example.correlation(weights) for example in examples]
    return float(np.mean([rho for rho, _ in pairs])), np.mean([g for _, g in pairs], axis=0)


def _fit(examples: Sequence[Example]) -> Float64:
    """The weights of the best round, none negative: with signs they follow the masks closer and
    serve other samples worse (0.69 for 0.72 of LDS on held-out masks, planted split `choose`)."""
    size = examples[0].features.shape[1]
    weights, first, second = np.full(size, 1 / size), np.zeros(size), np.zeros(size)
    best, kept = -np.inf, weights
    for step in range(1, ROUNDS + 1):
        rho, gradient = _mean(examples, weights)
        if rho > best:
            best, kept = rho, weights
        first = BETAS[0] * first + (1 - BETAS[0]) * gradient
        second = BETAS[1] * second + (1 - BETAS[1]) * gradient**2
        scale = np.sqrt(second / (1 - BETAS[1] ** step)) + _TINY
        rate = RATE / size * (1 + np.cos(np.pi * step / ROUNDS)) / 2
        weights = np.maximum(0.0, weights + rate * first / (1 - BETAS[0] ** step) / scale)
    normal: Float64 = kept / kept.sum()
    return normal


def as_config(learned: Learned, base: ReplayConfig) -> ReplayConfig:
    """`base` with these heads for its signal; those that round to nothing are left out."""
    names = [
        f"{layer}.{head}:{weight:.5f}"
        for (layer, head), weight in np.ndenumerate(learned.weights)
        if weight >= 0.000005
    ]
    heads = ",".join(names)
    return replace(base, signal="attention", heads=heads, layers="", first_step="query")
