"""What many configurations found in one sample, counted at once as `replay.evaluation` counts one.

Knows golds and curations; not how sources were mapped, nor what is made of the counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Float64, Int32, Int64
from replay.batch.curation import Curations, Pairs
from replay.evaluation.gold import Gold, shared_steps
from replay.evaluation.scores import prf
from replay.evaluation.space import COLUMNS, MODALITIES

_KINDS = len(MODALITIES)


@dataclass(frozen=True)
class Slots:
    """Q labels of judged sentences that any pair can claim, by sentence, modality and label.

    `pair` (I,): the pairs that claim them, slot after slot; `first` (Q,): where a slot's begin;
    `true` (Q,) bool; `column` (Q,) ascending: its sentence · 4 + its modality.
    """

    pair: Int64
    first: Int64
    true: Bool
    column: Int64


def tallies(gold: Gold, claims: Bool, steps: Int32, curations: Curations) -> Float64:
    """(G, 5, 7) float64: the `replay.evaluation.tally` of each configuration.

    `claims` (m, L) of `gold.space.claims`; `steps` (S, 2): the spans. Cell k·S + s of `curations`
    is a curation of span s, and a span has the sources of all its curations.
    """
    kept = curations.kept
    right, found = (
        np.zeros((len(kept), int(gold.judged.sum()), _KINDS), np.int64) for _ in range(2)
    )
    slots = slots_of(gold, claims, steps, curations.pairs)
    if len(slots.first):
        hit = np.logical_or.reduceat(kept[:, slots.pair], slots.first, axis=1)
        _count(hit & slots.true, slots, right)
        _count(hit, slots, found)
    true = np.zeros(found.shape[1:], np.int64)
    for kind in np.flatnonzero(gold.scored):
        true[:, kind] = gold.true[gold.judged][:, gold.space.kind == kind].sum(axis=1)
    counts = np.stack([right, found, np.broadcast_to(true, found.shape)], axis=-1)
    return _summed(counts, gold.scored)


def slots_of(gold: Gold, claims: Bool, steps: Int32, pairs: Pairs) -> Slots:
    """The labels that the sources of `pairs` claim in sentences that their spans share."""
    claims = claims & gold.scored[gold.space.kind]
    sentences = gold.steps[gold.judged]
    shared = shared_steps(steps, sentences)
    pair, sentence = np.nonzero(shared[pairs.cell % max(1, len(steps))])
    unit, label = np.nonzero(claims)
    many = np.bincount(unit, minlength=len(claims))
    source = pairs.source[pair]
    each = np.repeat(np.arange(len(pair)), many[source])
    within = np.arange(len(each)) - np.repeat(np.cumsum(many[source]) - many[source], many[source])
    label = label[(np.cumsum(many) - many)[source][each] + within]
    column = sentence[each] * _KINDS + gold.space.kind[label]
    key = column * len(gold.space) + label
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    one = order[first]
    true = gold.true[gold.judged][sentence[each[one]], label[one]]
    return Slots(pair[each[order]], first, true, column[one])


def _count(hit: Bool, slots: Slots, counts: Int64) -> None:
    """Add the labels `hit` (G, Q) to `counts` (G, K, 4)."""
    first = np.flatnonzero(np.diff(slots.column, prepend=-1))
    summed = np.add.reduceat(hit, first, axis=1, dtype=np.int64)
    counts.reshape(len(hit), -1)[:, slots.column[first]] = summed


def _summed(counts: Int64, scored: Bool) -> Float64:
    """(G, 5, 7) from the counts (G, K, 4, 3) of each sentence, as `replay.evaluation.tally`."""
    counts = np.concatenate([counts, counts.sum(axis=2, keepdims=True)], axis=2)
    added = np.empty((len(counts), len(COLUMNS), 7))
    added[..., :3] = counts.sum(axis=1)
    added[..., 3] = counts.shape[1]
    added[..., 4:] = prf(counts).sum(axis=1)
    added[:, :-1][:, ~scored] = 0
    return added
