"""A long prompt passes the decoder in pieces, so that memory grows with its length, not its square.

Each piece attends to the cache of those before; the numbers are those of one pass. Only the last
position's hidden state comes back, for no other is read: no logits of a whole prompt are ever
made. Where layers carry a state, the last token is a piece of its own, for gradients start from the
state before it. Knows the decoder's interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch

from recorder.passes.decoder import States, decoder_of, is_recurrent, states_of

PIECE = 2048
"""Tokens a piece."""


@contextmanager
def in_pieces(model: Any) -> Iterator[States]:
    """While inside, the decoder of `model` takes prompts longer than a piece piece by piece.

    The States that it yields are filled, where layers carry any, once a prompt has passed: those
    before its last token.
    """
    decoder, states = decoder_of(model), dict[int, Any]()
    whole, recurrent = decoder.forward, is_recurrent(model.config)

    def forward(*args: Any, **given: Any) -> Any:
        count, cache = _length(given), given.get("past_key_values")
        if given.get("logits_to_keep"):
            given["logits_to_keep"] = 0  # some decoders drop prompt queries that are not kept
        if args or cache is None or _is_bound(given):
            return _last(whole(*args, **given))
        begins = recurrent and cache.get_seq_length() == 0
        for start, end in _pieces(count, begins):
            if begins and end == count:
                states.update(states_of(cache))
            out = whole(**_cut(given, start, end))
        return _last(out)

    decoder.forward = forward
    try:
        yield states
    finally:
        del decoder.forward


def _pieces(count: int, last_alone: bool) -> list[tuple[int, int]]:
    """Start and end of each piece of `count` tokens."""
    most = count - 1 if last_alone and count > 1 else count
    edges = [*range(0, most, PIECE), most, *([count] if most < count else [])]
    return list(pairwise(edges))


def _last(out: Any) -> Any:
    out.last_hidden_state = out.last_hidden_state[:, -1:]
    return out


def _length(given: dict[str, Any]) -> int:
    for name in ("inputs_embeds", "input_ids"):
        if given.get(name) is not None:
            return int(given[name].shape[1])
    return 0


ALONG = ("input_ids", "inputs_embeds", "position_ids", "attention_mask", "cache_position")
"""Inputs of every decoder that are cut by position, or can be."""


def _is_bound(given: dict[str, Any]) -> bool:
    """Whether an input cannot be cut by position: ready-made masks, features of deeper layers, and
    media, where the decoder itself puts their features into the prompt."""
    mask = given.get("attention_mask")
    cuttable = mask is None or (isinstance(mask, torch.Tensor) and mask.dim() == 2)
    count = _length(given)
    apart = [
        value
        for name, value in given.items()
        if isinstance(value, torch.Tensor) and name not in ALONG and not _is_along(value, count)
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
