"""Attention times its gradient, exact, for every step and layer, without re-running any prefix.

Only row t of the attention reaches the logit z_t through step t's own position. So the positions
that predicted the response run once more on top of the cached prompt, each row seeing every other
row's keys and values detached and its own attached: the gradient of Σ z_t with respect to the
attention is then each step's own ∂z_t/∂A_t (DESIGN §5). Rows run in blocks, the last first, to
bound memory. Knows transformers' cache and attention tensors; no sample and no store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

from recorder.signals.kinds import GradientSignal

Tape = list[torch.Tensor]

MAX_SCORES = 1 << 26
"""Elements of one block's attention over all layers and heads: 256 MB of float32, held twice."""

_tape: ContextVar[Tape | None] = ContextVar("attention_tape", default=None)


@dataclass(frozen=True)
class Generated:
    """What one sample's answer left behind: `inputs` (1, T) the ids that predicted the T response
    ids `targets` (T,), at `positions` (…, 1, T) if the model takes any; the `cache` of its prompt
    of `prompt` tokens and of what followed."""

    inputs: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor | None
    cache: Any
    prompt: int


def gradient_rows(
    model: Any, layers: int, generated: Generated, signals: Mapping[str, GradientSignal]
) -> dict[str, list[torch.Tensor]]:
    """Each signal's row of each step, (1 or layers, n + t) float32 on the CPU, t from 0 to T - 1.

    Crops the cache. `layers` bounds the block.
    """
    steps = len(generated.targets)
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in signals}
    heads = model.config.get_text_config().num_attention_heads
    block = max(1, MAX_SCORES // (layers * heads * (generated.prompt + steps)))
    for end in range(steps, 0, -block):
        start = max(0, end - block)
        signed = _block(model, generated, start, end)
        for name, signal in signals.items():
            scores = signal.reduce(signed).cpu()
            apart = scores if signal.by_layer else scores[None]
            block_rows = [apart[:, t - start, : generated.prompt + t] for t in range(start, end)]
            rows[name] = block_rows + rows[name]
    return rows


def own_cache(cache: Any, sample: int, pad: int) -> Any:
    """The cache of one sample of a batch, without its padding; the very one if it is alone."""
    if not pad and cache.layers[0].keys.shape[0] == 1:
        return cache
    own = DynamicCache()
    for index, layer in enumerate(cache.layers):
        keys, values = (x[sample : sample + 1, :, pad:] for x in (layer.keys, layer.values))
        own.update(keys, values, index)
    return own


def _block(model: Any, generated: Generated, start: int, end: int) -> torch.Tensor:
    """Signed mean over heads of A ⊙ ∂z_t/∂A of steps start … end - 1: (layers, rows, keys)."""
    surplus = generated.cache.get_seq_length() - (generated.prompt - 1 + start)
    if surplus:
        generated.cache.crop(-surplus)
    placed = {}
    if generated.positions is not None:
        placed["position_ids"] = generated.positions[..., start:end]
    with torch.enable_grad(), _taping() as tape:
        logits = model(
            input_ids=generated.inputs[:, start:end],
            past_key_values=generated.cache,
            use_cache=True,
            **placed,
        ).logits[0]
        chosen = logits.float().gather(1, generated.targets[start:end, None])
        gradients = torch.autograd.grad(chosen.sum(), tape)
    with torch.no_grad():
        products = (a * g for a, g in zip(tape, gradients, strict=True))
        return torch.stack([product.mean(dim=0) for product in products])


@contextmanager
def _taping() -> Iterator[Tape]:
    """While inside, decoder layers attend through `attend` and leave their attention on a tape."""
    tape: Tape = []
    token = _tape.set(tape)
    try:
        yield tape
    finally:
        _tape.reset(token)


def current_tape() -> Tape | None:
    """The tape that is being written, if any."""
    return _tape.get()


def attend(
    tape: Tape,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    allowed: torch.Tensor | None,
    scaling: float,
) -> torch.Tensor:
    """Attention in which the keys and values of row t are attached for row t alone.

    query (1, heads, b, d); key, value (1, groups, k, d), the last b of k the rows' own; `allowed`
    (1, 1 or heads, b, k) lets through, or is added and lets 0 through. Returns (1, b, heads, d) and
    appends the float32 attention (heads, b, k) to the tape.
    """
    rows, keys = query.shape[2], key.shape[2]
    q, k, v = query[0].float(), key[0].float(), value[0].float()
    repeat = len(q) // len(k)
    own_key, own_value = (_own(x[:, -rows:]).repeat_interleave(repeat, 0) for x in (k, v))
    own_score = torch.diag_embed((q * own_key).sum(-1))
    scores = (_grouped(q, k.detach().mT) + pad(own_score, (keys - rows, 0))) * scaling
    if allowed is not None:
        let_through = allowed if allowed.dtype == torch.bool else allowed >= 0
        scores = scores.masked_fill(~let_through.reshape(-1, rows, keys), -torch.inf)
    attention = scores.softmax(dim=-1)
    tape.append(attention if attention.requires_grad else attention.requires_grad_())
    own_share = attention.diagonal(keys - rows, -2, -1).unsqueeze(-1)
    output = _grouped(attention, v.detach()) + own_share * own_value
    return output.to(query.dtype).transpose(0, 1)[None]


def _own(x: torch.Tensor) -> torch.Tensor:
    """Zero in value, one in gradient: adds a row's own path to what was computed detached."""
    return x - x.detach()


def _grouped(rows: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """(heads, b, x) @ (groups, x, y) → (heads, b, y), heads of a group side by side."""
    groups = len(shared)
    product = rows.reshape(groups, -1, rows.shape[-1]) @ shared
    return product.reshape(*rows.shape[:2], -1)
