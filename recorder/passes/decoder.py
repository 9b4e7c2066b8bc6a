"""The text decoder of a model: which module it is, which of its layers attend, what it caches.

A layer that attends writes keys and values; a recurrent one (linear attention, state space,
convolution) carries a state, which cannot be cropped; a hybrid one does both. Knows transformers'
configurations and caches; no observers and no signals.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import (
    DynamicLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionCacheLayerMixin,
)

from omnitrace.errors import CommandError

ATTENDING = frozenset(
    {"full_attention", "sliding_attention", "chunked_attention", "indexed_attention"}
)
HYBRID = frozenset({"hybrid", "hybrid_sliding"})
RECURRENT = frozenset({"linear_attention", "conv"})
STATELESS = frozenset({"moe", "mlp"})
KNOWN = ATTENDING | HYBRID | RECURRENT | STATELESS
"""transformers' names of layer types, by what such a layer keeps of earlier tokens."""

ALONG_TOKENS = {"keys": 2, "values": 2, "indexer_keys": 1}
"""Tensors of a cache layer that have an axis of tokens, and which axis; all others have none."""
STATES = (
    "conv_states",
    "recurrent_states",
    "has_previous_state",
    "is_conv_states_initialized",
    "is_recurrent_states_initialized",
)
"""What a recurrent cache layer holds of all earlier tokens, each a dictionary by state number."""

States = Mapping[int, Mapping[str, Any]]
"""Layer index → the values of `STATES` in its cache layer."""


def layer_types(config: Any) -> tuple[str, ...]:
    """The type of each decoder layer of a model configuration, in transformers' names."""
    text = config.get_text_config(decoder=True)
    found = getattr(text, "layer_types", None)
    return tuple(found) if found else ("full_attention",) * int(text.num_hidden_layers)


def attending_layers(config: Any) -> tuple[int, ...]:
    """Indices of the decoder layers that attend to earlier tokens.

    Raises CommandError for a layer type that is not known here, or if no layer attends.
    """
    types = layer_types(config)
    unknown = sorted(set(types) - KNOWN)
    if unknown:
        raise CommandError(
            f"the model has layers of type '{unknown[0]}', whose attention cannot be recorded "
            f"exactly; the types that can are {', '.join(sorted(KNOWN))}: choose another model."
        )
    found = tuple(i for i, kind in enumerate(types) if kind in ATTENDING | HYBRID)
    if not found:
        raise CommandError(
            "no layer of the model attends, so that there is no attention to record: choose a "
            "model with attention layers."
        )
    return found


def is_recurrent(config: Any) -> bool:
    """Whether any decoder layer carries a state over tokens."""
    return any(kind in RECURRENT | HYBRID for kind in layer_types(config))


def decoder_of(model: Any) -> Any:
    """The module whose forward maps embeddings to `last_hidden_state`, without the output head."""
    found = model.get_decoder()
    while found.get_output_embeddings() is not None:  # some return a model with its output head
        inner = found.get_decoder()
        found = inner if inner is not found else found.model
    return found


def whole_cache(config: Any) -> Any:
    """An empty cache that keeps every token, also those that a window has passed.

    Gradients and masked passes go back to earlier tokens, so that windows must not be dropped.
    """
    if set(layer_types(config)) <= {"full_attention", "sliding_attention", "chunked_attention"}:
        return DynamicCache()
    cache = DynamicCache(config=config)
    for index, layer in enumerate(cache.layers):
        if getattr(layer, "is_sliding", False):
            cache.layers[index] = _unwindowed(layer)
    return cache


def _unwindowed(layer: Any) -> Any:
    if isinstance(layer, LinearAttentionCacheLayerMixin):
        return LinearAttentionAndFullAttentionLayer(layer.number_of_states)
    make: Any = DynamicLayer
    return make()


def mapped(cache: Any, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Any:
    """A copy of a cache with each of its tensors replaced by `change(name, tensor)`."""
    made = copy.copy(cache)
    made.layers = [_mapped_layer(layer, change) for layer in cache.layers]
    return made


def _mapped_layer(layer: Any, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Any:
    made = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, torch.Tensor) and value.dim() > 1:
            setattr(made, name, change(name, value))
        elif isinstance(value, dict):
            tensors = {k: v for k, v in value.items() if isinstance(v, torch.Tensor)}
            setattr(made, name, {**value, **{k: change(name, v) for k, v in tensors.items()}})
    return made


def of_sample(cache: Any, sample: int, pad: int) -> Any:
    """The cache of one sample of a batch, without its `pad` columns of left padding."""

    def own(name: str, value: torch.Tensor) -> torch.Tensor:
        one = value[sample : sample + 1]
        axis = ALONG_TOKENS.get(name)
        return one if axis is None else one.narrow(axis, pad, one.shape[axis] - pad)

    return mapped(cache, own)


def expanded(cache: Any, tokens: int, rows: int) -> Any:
    """`rows` copies of the first `tokens` of a cache of one row; states are of all its tokens."""

    def repeated(name: str, value: torch.Tensor) -> torch.Tensor:
        axis = ALONG_TOKENS.get(name)
        kept = value if axis is None else value.narrow(axis, 0, tokens)
        every = kept.expand(rows, *kept.shape[1:])
        return every.clone() if axis is None else every  # states are written in place

    return mapped(cache, repeated)


def cropped(cache: Any, tokens: int) -> Any:
    """A copy of a cache with the keys and values of its first `tokens`; states as they are."""

    def first(name: str, value: torch.Tensor) -> torch.Tensor:
        axis = ALONG_TOKENS.get(name)
        return value if axis is None else value.narrow(axis, 0, tokens)

    return mapped(cache, first)


def detached(cache: Any) -> Any:
    """A copy of a cache without the graph that made it."""
    return mapped(cache, lambda _, value: value.detach())


def states_of(cache: Any) -> States:
    """A copy of what the recurrent layers of a cache hold."""
    found = {}
    for index, layer in enumerate(cache.layers):
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            held = _mapped_layer(layer, lambda _, value: value.clone())
            found[index] = {name: dict(getattr(held, name)) for name in STATES}
    return found


def put_states(cache: Any, states: States, sample: int) -> None:
    """Give the recurrent layers of one sample's cache what `states` holds of that sample."""
    for index, held in states.items():
        for name, values in held.items():
            own = dict(values)
            for key, value in values.items():
                if isinstance(value, torch.Tensor):
                    own[key] = value[sample : sample + 1].clone()
            setattr(cache.layers[index], name, own)
