"""A long prompt passes the decoder in pieces, so that memory grows with its length, not its square.

Each piece attends to the cache of those before; the numbers are those of one pass. Only the last
position's hidden state comes back, for only that is asked: no logits of a whole prompt are ever
made. Knows the decoder's interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

PIECE = 2048
"""Tokens a piece."""


@contextmanager
def in_pieces(model: Any) -> Iterator[None]:
    """While inside, the decoder of `model` takes prompts longer than a piece piece by piece."""
    decoder = model.get_decoder()
    whole = decoder.forward

    def forward(*args: Any, **given: Any) -> Any:
        count = _length(given)
        if args or count <= PIECE or given.get("past_key_values") is None or _is_bound(given):
            return _last(whole(*args, **given))
        for start in range(0, count, PIECE):
            out = whole(**_cut(given, start, min(start + PIECE, count)))
        return _last(out)

    decoder.forward = forward
    try:
        yield
    finally:
        del decoder.forward


def _last(out: Any) -> Any:
    out.last_hidden_state = out.last_hidden_state[:, -1:]
    return out


def _length(given: dict[str, Any]) -> int:
    for name in ("inputs_embeds", "input_ids"):
        if given.get(name) is not None:
            return int(given[name].shape[1])
    return 0


def _is_bound(given: dict[str, Any]) -> bool:
    """Whether an input cannot be cut by position: ready-made masks, features of deeper layers."""
    mask = given.get("attention_mask")
    cuttable = mask is None or (isinstance(mask, torch.Tensor) and mask.dim() == 2)
    return not cuttable or given.get("deepstack_visual_embeds") is not None


def _cut(given: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """The inputs of positions start … end - 1; the mask, of all up to there."""
    cut = dict(given)
    for name in ("inputs_embeds", "input_ids"):
        if given.get(name) is not None:
            cut[name] = given[name][:, start:end]
    if given.get("position_ids") is not None:
        cut["position_ids"] = given["position_ids"][..., start:end]
    if given.get("attention_mask") is not None:
        past = given["attention_mask"].shape[1] - _length(given)
        cut["attention_mask"] = given["attention_mask"][:, : past + end]
    return cut
