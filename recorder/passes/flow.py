"""What each token's value adds to the residual stream of each step, by proximity to the sum.

Information flow routes (Ferrando & Voita, arXiv 2403.00824): in a layer, the residual stream x_t of
the query of step t after attention is the sum of the layer's input r_t and of the parts w^h_tj = α
v_j W_O of each head h and key j. The proximity of a part a to x is max(0, ‖x‖₁ - ‖x - a‖₁); a key's
edge is its proximities, summed over heads, over those of all parts, r_t included.

Σ_d |x_d| - |x_d - a_d| is a · sign(x) - 2 Σ_d max(0, a_d sign(x_d) - |x_d|). The first summand
costs what attention scores cost. The second needs every d; it is computed for those heads and keys
alone of which it could matter, so that a row misses TOLERANCE of itself at most.

The positions that predicted the response pass once more on top of the cached prompt, so that each
value meets all steps at once. Knows caches and layers; no sample and no store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from omnitrace.errors import CommandError
from recorder.passes.capture import output_projection, watching
from recorder.passes.decoder import attending_layers, cropped, decoder_layers, is_recurrent
from recorder.passes.gradients import Generated
from recorder.passes.layer_pass import LayerPass
from recorder.passes.observers import MAX_SCORES, output_matrix
from recorder.signals.kinds import FlowSignal

TOLERANCE = 1e-5
"""Of a row's sum before it is divided: what is left out of its corrections at most."""
MAX_ELEMENTS = 1 << 19
"""Of the parts that are computed together: 2 MB of float32."""
SAME = 0.02
"""Relative distance within which two computations of the same vectors lie, bfloat16 included."""


def flow_rows(
    model: Any, generated: Generated, signals: Mapping[str, FlowSignal]
) -> dict[str, list[torch.Tensor]]:
    """Each signal's row of each step, (1, n + t) float32 on the CPU, t from 0 to T - 1.

    Raises CommandError as `branches` does.
    """
    flow, steps = _Flow(branches(model)), len(generated.targets)
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in signals}
    cache = cropped(generated.cache, generated.prompt - 1)
    block = _block(model, generated.prompt + steps)
    for start in range(0, steps, block):
        part, placed = slice(start, start + block), dict[str, Any]()
        if generated.positions is not None:
            placed["position_ids"] = generated.positions[..., part]
        with torch.no_grad(), flow.reading(model), watching(flow):
            inputs = generated.inputs[:, part]
            model(input_ids=inputs, past_key_values=cache, use_cache=True, **placed)
        edges = torch.stack([flow.edges[layer] for layer in attending_layers(model.config)])
        for name, signal in signals.items():
            scores, keys = signal.reduce(edges), generated.prompt + start
            rows[name] += [scores[None, t, : keys + t] for t in range(len(scores))]
    return rows


def _block(model: Any, keys: int) -> int:
    """How many steps pass at once: states over tokens are carried on from one to the next."""
    if is_recurrent(model.config):
        return 1
    heads = int(model.config.get_text_config().num_attention_heads)
    return max(1, MAX_SCORES // (heads * keys))


@dataclass
class _Flow:
    """An observer of one pass: `edges` of each layer, (queries, keys) float32 on the CPU."""

    branches: Mapping[int, Any]
    edges: dict[int, torch.Tensor] = field(default_factory=dict)
    _inputs: dict[int, torch.Tensor] = field(default_factory=dict)

    @contextmanager
    def reading(self, model: Any) -> Iterator[None]:
        """While inside, the input of each layer is at hand when its attention is observed."""

        def keep(place: int) -> Any:
            def read(layer: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
                self._inputs[place] = (args[0] if args else given["hidden_states"])[0]

            return read

        layers = enumerate(decoder_layers(model))
        hooks = [
            layer.register_forward_pre_hook(keep(place), with_kwargs=True)
            for place, layer in layers
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def observe(self, seen: LayerPass) -> None:
        residual = self._inputs.pop(seen.layer).float()
        added, norm = output_projection(seen.module), self.branches[seen.layer]
        found = edges_of(seen, residual, getattr(added, "bias", None), norm)
        self.edges[seen.layer] = found.cpu()


def edges_of(
    seen: LayerPass, residual: torch.Tensor, bias: torch.Tensor | None, norm: Any
) -> torch.Tensor:
    """The edges of one layer of one sample, (queries, keys) float32.

    `residual` (queries, width) float32: the layer's input; `bias` (width,) of the output
    projection; `norm`: what normalises the attention's output before it is added, if anything does.
    """
    rows = seen.last_rows(seen.query.shape[2])[0]  # (heads, queries, keys)
    heads, queries, keys = rows.shape
    value = seen.value[0, :, :keys].float().repeat_interleave(heads // seen.value.shape[1], 0)
    output = output_matrix(seen).float().reshape(heads, value.shape[2], -1)
    attended = torch.einsum("hqe,hed->qd", rows @ value, output)
    fixed = torch.zeros_like(residual) if bias is None else bias.float().expand_as(residual)
    scale = _scale(norm, attended + fixed)
    residual = residual + scale * fixed
    x = residual + scale * attended
    signs, sizes = x.sign() * scale, x.abs()
    largest = _largest_kept(sizes, heads * keys)
    total = x.new_zeros(queries, keys)
    for head in range(heads):
        parts = value[head] @ output[head]  # (keys, width), before attention weighs them
        near = rows[head] * (signs @ parts.T)
        reach = rows[head] * (parts.abs().amax(1) * scale.abs().amax(1)[:, None])
        at = (reach > largest[:, None]).nonzero()
        for query, key in _chunks(at, x.shape[1]):
            weighed = rows[head][query, key][:, None] * parts[key] * signs[query]
            near[query, key] -= 2 * (weighed - sizes[query]).clamp_min_(0).sum(1)
        total += near.clamp_min_(0)
    own = (sizes - (x - residual).abs()).sum(1, keepdim=True).clamp_min(0)
    every = total.sum(1, keepdim=True) + own
    edges: torch.Tensor = total / every.clamp_min(torch.finfo(every.dtype).tiny)
    return edges


def _chunks(at: torch.Tensor, width: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Queries and keys of the pairs `at` (p, 2), as many at a time as MAX_ELEMENTS allow."""
    size = max(1, MAX_ELEMENTS // width)
    for start in range(0, len(at), size):
        yield at[start : start + size, 0], at[start : start + size, 1]


def _scale(norm: Any, attended: torch.Tensor) -> torch.Tensor:
    """(queries, width): what the attention's output is multiplied by on its way to the residual
    stream, with the norm's denominator held as it is."""
    if norm is None:
        return torch.ones_like(attended)
    size = attended.pow(2).mean(1, keepdim=True).sqrt()
    level: torch.Tensor = norm(size.expand_as(attended).to(next(norm.parameters()).dtype))
    return level.float() / size


def _largest_kept(sizes: torch.Tensor, parts: int) -> torch.Tensor:
    """(queries,): the largest max_d |a_d| of a part a whose correction, at most 2 Σ_d max(0, max|a|
    - |x_d|), is below its share of TOLERANCE; `sizes` (queries, width): |x_d|."""
    budget = TOLERANCE * sizes.sum(1, keepdim=True) / parts
    ascending = sizes.sort(dim=1).values
    below, count = ascending.cumsum(1), torch.arange(1, sizes.shape[1] + 1, device=sizes.device)
    bounds = 2 * (count * ascending - below)
    last = (bounds <= budget).sum(1, keepdim=True).clamp_min(1)
    return ((budget / 2 + below.gather(1, last - 1)) / last)[:, 0]


@torch.no_grad()
def branches(model: Any) -> dict[int, Any]:
    """Attending layer → the norm that its attention's output passes before it is added to the
    residual stream; None where it is added as it is.

    Found by passing a few tokens. CommandError where it is added in another way, or with something
    else at once, so that the residual stream after attention is not known.
    """
    calls: dict[int, list[Any]] = {place: [] for place in attending_layers(model.config)}
    layers, hooks = decoder_layers(model), list[Any]()
    for place in calls if layers else ():
        hooks += _recorders(layers[place], calls[place])
    ids = torch.arange(8, device=model.device)[None]
    try:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        for hook in hooks:
            hook.remove()
    found = {place: _branch(made) for place, made in calls.items()}
    if any(branch is _UNKNOWN for branch in found.values()):
        raise CommandError(
            "the model does not add its attention's output to the residual stream alone, so that "
            "'flow' cannot be recorded: choose others with --signals."
        )
    return found


_UNKNOWN = object()


def _recorders(layer: Any, calls: list[Any]) -> list[Any]:
    """Hooks that write down (module, first input, first output) of the layer and its parts, in the
    order of their calls; the layer first."""

    def enter(module: Any, args: Any, given: Any) -> None:
        calls.append([module, _first(args) if args else given.get("hidden_states"), None])

    def leave(module: Any, args: Any, given: Any, output: Any) -> None:
        own = next(call for call in reversed(calls) if call[0] is module)
        own[2] = _first(output)

    modules = [layer, *layer.children()]
    hooks = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in modules]
    return hooks + [module.register_forward_hook(leave, with_kwargs=True) for module in modules]


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, tuple) else values


def _branch(calls: list[Any]) -> Any:
    attention = [i for i, call in enumerate(calls[1:], 1) if output_projection(call[0]) is not None]
    if not attention:
        return _UNKNOWN
    residual, added, after = calls[0][1], calls[attention[0]][2], calls[attention[0] + 1 :]
    if residual.dim() != 3:
        return _UNKNOWN
    norm = None
    if after and after[0][1].shape == added.shape and torch.equal(after[0][1], added):
        norm, _, added = after[0]
        after = after[1:]
    exact = torch.finfo(added.dtype).eps * residual.norm() * 4
    for _, given, _ in after:
        rest = (given.reshape(added.shape) - residual) - added
        if rest.norm() <= SAME * added.norm() + exact:
            return norm
    return _UNKNOWN
