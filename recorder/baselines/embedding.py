"""Similarity by the model's own embeddings (paper, App. C.2.2, Embed_processor).

A chunk's embedding is the mean of its tokens' embeddings as they enter the decoder: rows of the
embedding table for text, what the vision tower puts in their place for images. Works with every
model that has an adapter. Knows adapters and chunks; no threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from omnitrace.arrays import Float64, Int32
from omnitrace.baseline import BaselineConfig
from omnitrace.chunks import Chunks, cosines
from omnitrace.trace import Trace
from recorder.identity import RecordedSamples, reload_model
from recorder.models.adapter import Adapter
from recorder.passes.decoder_inputs import prompt_embeddings


def load(identity: Mapping[str, Any], config: BaselineConfig) -> Embedding:
    """Load the recorded model and its samples; CommandError if that cannot be done."""
    samples = RecordedSamples.read(config.samples)
    return Embedding(reload_model(identity, config), samples)


@dataclass(frozen=True)
class Embedding:
    """The embeddings of the recorded model."""

    adapter: Adapter
    samples: RecordedSamples

    def similarities(self, trace: Trace, chunks: Chunks) -> Float64:
        """(K, L) float64, NaN for sources without tokens; SampleError if the sample changed."""
        prepared = self.samples.prepare(self.adapter, trace)
        prompt: Float64 = prompt_embeddings(self.adapter, prepared).double().cpu().numpy()
        response = token_embeddings(self.adapter, trace.response_ids)
        sentence = np.repeat(np.arange(len(chunks.steps)), np.diff(chunks.steps)[:, 0])
        steps = np.concatenate([np.arange(*steps) for steps in chunks.steps] or [sentence])
        sentences = means(response[steps.astype(np.intp)], sentence, len(chunks.steps))
        found = cosines(sentences, means(prompt, chunks.owner, chunks.sources))
        found[:, ~chunks.comparable] = np.nan
        return found


def means(vectors: Float64, owner: Int32 | Any, count: int) -> Float64:
    """(count, d): the mean of the (n, d) vectors of each owner (n,); -1 owns none, none: zero."""
    total = np.zeros((count, vectors.shape[1]))
    owned = owner >= 0
    np.add.at(total, owner[owned], vectors[owned])
    return total / np.maximum(np.bincount(owner[owned], minlength=count), 1)[:, None]


def token_embeddings(adapter: Adapter, ids: Int32) -> Float64:
    """(T, d): rows of the model's embedding table."""
    table = adapter.model.get_input_embeddings()
    place = torch.from_numpy(ids.astype(np.int64)).to(table.weight.device)
    with torch.no_grad():
        found: Float64 = table(place).double().cpu().numpy()
    return found
