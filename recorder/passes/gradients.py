"""Attention times its gradient, exact, for every step and layer, without re-running any prefix.

Only row t of the attention reaches the logit z_t through step t's own position. So the positions
that predicted the response run once more on top of the cached prompt, each row seeing every other
row's keys and values detached and its own attached: the gradient of Σ z_t with respect to the
attention is then each step's own ∂z_t/∂A_t. Rows run in blocks, to bound memory.

Where layers carry a state over tokens (linear attention, state spaces, convolutions), z_t also
depends on the rows of earlier steps by way of that state, which must not count as theirs: such a
decoder runs one step at a time, in order, from the states before the last prompt token, detached
between steps. Knows caches and attention tensors; no sample and no store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import allow_mutation_on_saved_tensors
from torch.nn.functional import pad

from recorder.passes.decoder import attending_layers, cropped, detached, is_recurrent
from recorder.passes.layer_pass import LayerPass, softmax_with_sinks
from recorder.signals.kinds import GradientSignal

Tape = list[torch.Tensor]
Products = Mapping[tuple[bool, bool], torch.Tensor]
"""Whether of log-odds and whether positive, as of `GradientSignal` → the mean over heads of A ⊙
∂y/∂A, (attending layers, rows, keys) float32."""

MAX_SCORES = 1 << 26
"""Elements of one block's attention over all layers and heads: 256 MB of float32, held twice."""

_tape: ContextVar[Tape | None] = ContextVar("attention_tape", default=None)


@dataclass(frozen=True)
class Generated:
    """What one sample's answer left behind.

    `inputs` (1, T) the ids that predicted the T response ids `targets` (T,), at `positions` (…, 1,
    T) if the model takes any. `cache`: keys and values of its `prompt` tokens and of what followed;
    states of recurrent layers, those before the last prompt token.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor | None
    cache: Any
    prompt: int


def gradient_rows(
    model: Any, generated: Generated, signals: Mapping[str, GradientSignal]
) -> dict[str, list[torch.Tensor]]:
    """Each signal's row of each step, (1 or attending layers, n + t) float32 on the CPU, t from 0
    to T - 1."""
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in signals}
    wanted = sorted({(signal.log_odds, signal.positive) for signal in signals.values()})
    for start, products in _blocks(model, generated, wanted):
        keys = generated.prompt + start
        for name, signal in signals.items():
            scores = signal.reduce(products[signal.log_odds, signal.positive]).cpu()
            apart = scores if signal.by_layer else scores[None]
            rows[name] += [apart[:, t, : keys + t] for t in range(apart.shape[1])]
    return rows


def _blocks(
    model: Any, generated: Generated, wanted: Sequence[tuple[bool, bool]]
) -> Iterator[tuple[int, Products]]:
    """The first step of each block, and what is `wanted` of it."""
    steps, past = len(generated.targets), generated.prompt - 1
    if is_recurrent(model.config):
        cache = cropped(generated.cache, past)
        for step in range(steps):
            with allow_mutation_on_saved_tensors():  # states are written in place
                yield step, _products(model, generated, cache, range(step, step + 1), wanted)
            cache = detached(cache)
        return
    heads = model.config.get_text_config().num_attention_heads
    layers = len(attending_layers(model.config))
    block = max(1, MAX_SCORES // (layers * heads * (generated.prompt + steps)))
    for start in range(0, steps, block):
        cache = cropped(generated.cache, past + start)
        part = range(start, min(start + block, steps))
        yield start, _products(model, generated, cache, part, wanted)


def _products(
    model: Any, generated: Generated, cache: Any, part: range, wanted: Sequence[tuple[bool, bool]]
) -> Products:
    """Of some steps, run on top of `cache`, which grows: one backward pass for the logits, one for
    the log-odds."""
    placed, start, end = {}, part.start, part.stop
    if generated.positions is not None:
        placed["position_ids"] = generated.positions[..., start:end]
    with torch.enable_grad(), _taping() as tape:
        logits = model(
            input_ids=generated.inputs[:, start:end],
            past_key_values=cache,
            use_cache=True,
            **placed,
        ).logits[0]
        logits, targets = _wide(logits), generated.targets[start:end, None]
        kinds = sorted({log_odds for log_odds, _ in wanted})
        values = [(_log_odds if kind else _logits)(logits, targets).sum() for kind in kinds]
        found: dict[tuple[bool, bool], torch.Tensor] = {}
        for kind, value in zip(kinds, values, strict=True):
            gradients = torch.autograd.grad(value, tape, retain_graph=kind != kinds[-1])
            own = [positive for log_odds, positive in wanted if log_odds == kind]
            found |= {(kind, sign): _mean_products(tape, gradients, sign) for sign in own}
    return found


def _logits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """z_t, (rows, 1)."""
    return logits.gather(1, targets)


def _log_odds(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """z_t - logsumexp of the other logits, (rows, 1)."""
    others = logits.scatter(1, targets, -torch.inf)
    return logits.gather(1, targets) - others.logsumexp(1, keepdim=True)


@torch.no_grad()
def _mean_products(tape: Tape, gradients: Sequence[torch.Tensor], positive: bool) -> torch.Tensor:
    """The mean over heads of each layer's A ⊙ ∂y/∂A, where `positive` of max(0, A ⊙ ∂y/∂A)."""
    products = (a * g for a, g in zip(tape, gradients, strict=True))
    signed = (product.clamp_min_(0) if positive else product for product in products)
    return torch.stack([product.mean(dim=0) for product in signed]).float()


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


def attend(tape: Tape, seen: LayerPass) -> torch.Tensor:
    """Attention of one sample in which the keys and values of row t are attached for row t alone.

    The last b keys are those of the b rows themselves. Returns (1, b, heads, e) and appends the
    attention (heads, b, k) to the tape, float32 or float64; with sinks, without their column.
    """
    rows, keys = seen.query.shape[2], seen.key.shape[2]
    q, k, v = (_wide(x[0]) for x in (seen.query, seen.key, seen.value))
    repeat = len(q) // len(k)
    own_key, own_value = (_own(x[:, -rows:]).repeat_interleave(repeat, 0) for x in (k, v))
    own_score = torch.diag_embed((q * own_key).sum(-1))
    scores = (_grouped(q, k.detach().mT) + pad(own_score, (keys - rows, 0))) * seen.scaling
    if seen.softcap is not None:
        scores = torch.tanh(scores / seen.softcap) * seen.softcap
    allowed = seen.allowed(0, rows, keys)
    if allowed is not None:
        let_through = allowed if allowed.dtype == torch.bool else allowed >= 0
        scores = scores.masked_fill(~let_through.reshape(-1, rows, keys), -torch.inf)
    attention = softmax_with_sinks(scores, seen.sinks)
    tape.append(attention if attention.requires_grad else attention.requires_grad_())
    own_share = attention.diagonal(keys - rows, -2, -1).unsqueeze(-1)
    output = _grouped(attention, v.detach()) + own_share * own_value
    return output.to(seen.query.dtype).transpose(0, 1)[None]


def _wide(x: torch.Tensor) -> torch.Tensor:
    """In float32, or in float64 where the model computes in it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _own(x: torch.Tensor) -> torch.Tensor:
    """Zero in value, one in gradient: adds a row's own path to what was computed detached."""
    return x - x.detach()


def _grouped(rows: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """(heads, b, x) @ (groups, x, y) → (heads, b, y), heads of a group side by side."""
    groups = len(shared)
    product = rows.reshape(groups, -1, rows.shape[-1]) @ shared
    return product.reshape(*rows.shape[:2], -1)
