"""Similarity by the model's own embeddings (paper, App. C.2.2, Embed_processor).

A chunk's embedding is the mean of its tokens' embeddings as they enter the decoder: rows of the
embedding table for text, what the vision tower puts in their place for images. Works with every
model that has an adapter. Knows adapters and chunks; no threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from omnitrace.arrays import Float64, Int32
from omnitrace.chunks import Chunks, cosines
from omnitrace.trace import Trace
from recorder.config import BaselineConfig
from recorder.identity import RecordedSamples, reload_model
from recorder.models.adapter import Adapter, Prepared
from recorder.passes.decoder import decoder_of
from recorder.passes.draw import Options


def load(identity: Mapping[str, Any], config: BaselineConfig) -> Embedding:
    """Load the recorded model and its samples; CommandError if that cannot be done."""
    samples = RecordedSamples.read(config.samples)
    return Embedding(reload_model(identity, config), samples)


@dataclass(frozen=True)
class Embedding:
    """The model's embeddings, asked again."""

    adapter: Adapter
    samples: RecordedSamples

    def similarities(self, trace: Trace, chunks: Chunks) -> Float64:
        """(K, L) float64, NaN for sources without tokens; SampleError if the sample changed."""
        prepared = self.samples.prepare(self.adapter, trace)
        prompt = prompt_embeddings(self.adapter, prepared)
        said = token_embeddings(self.adapter, trace.response_ids)
        sentence = np.repeat(np.arange(len(chunks.steps)), np.diff(chunks.steps)[:, 0])
        steps = np.concatenate([np.arange(*steps) for steps in chunks.steps] or [sentence])
        sentences = means(said[steps.astype(np.intp)], sentence, len(chunks.steps))
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


def prompt_embeddings(adapter: Adapter, prepared: Prepared) -> Float64:
    """(n, d): the prompt's tokens as they enter the decoder, which is not run."""
    model, seen = adapter.model, list[torch.Tensor]()

    def look(decoder: Any, args: Any, given: Mapping[str, Any]) -> None:
        embeds = given.get("inputs_embeds")
        if embeds is None:
            ids = given["input_ids"] if given.get("input_ids") is not None else args[0]
            embeds = model.get_input_embeddings()(ids)
        seen.append(embeds)
        raise _SeenEnough

    options = Options(max_new_tokens=1).config(model, sorted(adapter.eos_ids))
    hook = decoder_of(model).register_forward_pre_hook(look, with_kwargs=True)
    try:
        with torch.no_grad(), suppress(_SeenEnough):
            model.generate(**prepared.inputs, generation_config=options)
    finally:
        hook.remove()
    found: Float64 = seen[0][0].double().cpu().numpy()
    return found


class _SeenEnough(Exception):
    """The embeddings are there."""
