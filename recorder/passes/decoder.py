"""The text decoder of a model: its module, its layers that attend, its cache, and its forward.

A layer that attends writes keys and values; a recurrent one (linear attention, state space,
convolution) carries a state, which cannot be cropped; a hybrid one does both. Knows transformers'
configurations, caches and decoders; no observers and no signals.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
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
WINDOWED = frozenset({"sliding_attention", "chunked_attention", "hybrid_sliding"})
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

PIECE = 2048
"""Tokens of a prompt that pass the decoder at once."""
CUTTABLE = ("input_ids", "inputs_embeds", "position_ids", "attention_mask", "cache_position")
"""Inputs of every decoder that can be cut by position."""

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


def whole_layers(config: Any) -> tuple[int, ...]:
    """Indices of the attending layers whose type sees the whole prompt; of all that attend, if
    every one of them has a window or chunks."""
    types, attending = layer_types(config), attending_layers(config)
    return tuple(i for i in attending if types[i] not in WINDOWED) or attending


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


def decoder_layers(model: Any) -> list[Any]:
    """The modules of all decoder layers in order; none where the decoder keeps them in no list."""
    count = len(layer_types(model.config))
    lists = (m for m in decoder_of(model).modules() if isinstance(m, torch.nn.ModuleList))
    return list(next((found for found in lists if len(found) == count), ()))


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


@contextmanager
def replaced_forward(decoder: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """While inside, calls of the module `decoder` are calls of `forward`."""
    own = vars(decoder).get("forward")
    decoder.forward = forward
    try:
        yield
    finally:
        if own is None:
            del decoder.forward
        else:
            decoder.forward = own


def last_position(out: Any) -> Any:
    """A decoder's output with the hidden state of its last position alone."""
    out.last_hidden_state = out.last_hidden_state[:, -1:]
    return out


@contextmanager
def in_pieces(model: Any) -> Iterator[States]:
    """While inside, a long prompt passes the decoder of `model` in pieces of PIECE tokens.

    Memory then grows with the prompt's length, not its square; each piece attends to the cache of
    those before, and the numbers are those of one pass. Only the last position's hidden state comes
    back, for no other is read: no logits of a whole prompt are made. Where layers carry a
    state, the last token is a piece of its own, for gradients start from the state before it.

    The States that it yields are filled, where layers carry any, once a prompt has passed: those
    before its last token.
    """
    decoder, states = decoder_of(model), dict[int, Any]()
    whole, recurrent = decoder.forward, is_recurrent(model.config)

    def forward(*args: Any, **given: Any) -> Any:
        count, cache = _length(given), given.get("past_key_values")
        if given.get("logits_to_keep"):
            given["logits_to_keep"] = 0  # some decoders drop prompt queries that are not kept
        if args or cache is None or cannot_be_cut(given):
            return last_position(whole(*args, **given))
        begins = recurrent and cache.get_seq_length() == 0
        for start, end in _pieces(count, begins):
            if begins and end == count:
                states.update(states_of(cache))
            out = whole(**_cut(given, start, end))
        return last_position(out)

    with replaced_forward(decoder, forward):
        yield states


def _pieces(count: int, last_alone: bool) -> list[tuple[int, int]]:
    """Start and end of each piece of `count` tokens."""
    most = count - 1 if last_alone and count > 1 else count
    edges = [*range(0, most, PIECE), most, *([count] if most < count else [])]
    return list(pairwise(edges))


def _length(given: dict[str, Any]) -> int:
    for name in ("inputs_embeds", "input_ids"):
        if given.get(name) is not None:
            return int(given[name].shape[1])
    return 0


def cannot_be_cut(given: dict[str, Any]) -> bool:
    """Whether an input cannot be cut by position: ready-made masks, features of deeper layers, and
    media, where the decoder itself puts their features into the prompt."""
    mask = given.get("attention_mask")
    cuttable = mask is None or (isinstance(mask, torch.Tensor) and mask.dim() == 2)
    count = _length(given)
    apart = [
        value
        for name, value in given.items()
        if isinstance(value, torch.Tensor) and name not in CUTTABLE and not _is_along(value, count)
    ]
    return not cuttable or bool(apart) or given.get("deepstack_visual_embeds") is not None


def _is_along(value: torch.Tensor, count: int) -> bool:
    """Whether a tensor has an entry for each of `count` tokens of every prompt of a batch."""
    return value.dim() > 1 and value.shape[1] == count


def _cut(given: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """The inputs of positions start … end - 1; the mask, of all up to there."""
    cut, count = dict(given), _length(given)
    if (start, end) == (0, count):
        return cut
    for name, value in given.items():
        if isinstance(value, torch.Tensor) and _is_along(value, count):
            cut[name] = value[:, start:end]
    if given.get("position_ids") is not None:
        cut["position_ids"] = given["position_ids"][..., start:end]
    if given.get("attention_mask") is not None:
        past = given["attention_mask"].shape[1] - count
        cut["attention_mask"] = given["attention_mask"][:, : past + end]
    return cut
