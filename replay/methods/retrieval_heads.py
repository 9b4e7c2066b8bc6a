"""Retrieval heads: the attention heads that look at the evidence, chosen by labels.

A head's score is its mass on the units that hold the evidence (QRHead, arXiv 2506.09944, whose
scores are of a query; here of the steps that answer). The best are kept, all alike: as a
configuration (`signal = "attention"`, `heads = …`) they replay any other sample of the model. Needs
level `heads` and labels, no ablations. Knows tasks and golds; no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.errors import CommandError
from omnitrace.samples import each_sample
from omnitrace.trace import Trace
from replay.evaluation import MODALITIES, Gold
from replay.mass import merged_units
from replay.methods import AttributionTask
from replay.methods.learn import Learned


@dataclass(frozen=True)
class Looks:
    """One labelled sentence: `mass` (F, m) of the F heads on the m units, layer after layer, and
    which units are `gold` (m,) bool."""

    mass: Float64
    gold: Float64

    def hit(self, weights: Float64) -> float:
        """1 if the unit of most weighted mass is gold, else 0."""
        return float(self.gold[int(np.argmax(weights @ self.mass))])


def looks_of(task: AttributionTask, gold: Gold, modality: str = "") -> list[Looks]:
    """The sentences of a sample that have evidence, in that modality if one is named.

    The mass is of the sentence's steps, in the mean, on units that can be named. Raises what is
    wrong with the sample.
    """
    pooled = task.trace.heads().mass  # (layers, heads, T, recorded units)
    member = merged_units(task.trace, task.units)[:, None] == np.arange(len(task.units))
    member &= ~task.units.unnamed
    claims = gold.space.claims(task.units)
    wanted = np.ones(len(gold.space), np.bool_)
    if modality:
        wanted = gold.space.kind == MODALITIES.index(modality)
    found = []
    for (start, end), true, judged in zip(gold.steps, gold.true, gold.judged, strict=True):
        holds = (claims & (true & wanted)).any(axis=1)
        if judged and holds.any():
            mass = pooled[:, :, start:end].mean(axis=2, dtype=np.float64) @ member
            found.append(Looks(mass.reshape(-1, len(task.units)), holds.astype(np.float64)))
    return found


def learn_from_labels(
    run: Mapping[str, Trace],
    ids: Iterable[str],
    labelled: Callable[[Trace], tuple[AttributionTask, Gold]],
    failed: MutableMapping[str, str],
    keep: int = 16,
    modality: str = "",
) -> Learned:
    """The `keep` heads of most mass on the evidence of the samples `ids`, 1/keep each.

    Failures as of `each_sample`.

    `before` and `after` are shares of the sentences whose best unit is gold, under all heads alike
    and under these. CommandError where no sample has what it takes.
    """

    def use(trace: Trace) -> tuple[list[Looks], tuple[int, ...]]:
        return looks_of(*labelled(trace), modality), trace.heads().mass.shape[:2]

    used = [found for _, found in each_sample(run, ids, use, failed)]
    sentences = [looks for own, _ in used for looks in own]
    if not sentences:
        of = f" in {modality}" if modality else ""
        raise CommandError(
            f"no sentence has evidence{of} to choose heads by: record with --level heads, and give "
            "labels of these samples."
        )
    score = np.mean([looks.mass @ looks.gold for looks in sentences], axis=0)
    best = np.argsort(-score, kind="stable")[:keep]
    weights, even = np.zeros(len(score)), np.full(len(score), 1 / len(score))
    weights[best] = 1 / len(best)
    return Learned(
        weights.reshape(used[-1][1]),
        float(np.mean([looks.hit(even) for looks in sentences])),
        float(np.mean([looks.hit(weights) for looks in sentences])),
        len(used),
        len(sentences),
    )
