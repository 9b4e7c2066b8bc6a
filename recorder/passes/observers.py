"""What is kept of attention: rows of signals, the prompt's mean rows, value norms, heads pooled to
units, queries and keys.

Each is an `Observer` of a batch of left-padded prompts and of the tokens that follow them. Knows
layer passes and signals; not who runs the model, nor the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from omnitrace.arrays import Float32, Int32
from omnitrace.attention import HeadMass, QueryKeys
from omnitrace.errors import SampleError
from omnitrace.trace import SignalRows
from recorder.passes.capture import output_projection
from recorder.passes.decoder import attending_layers, whole_layers
from recorder.passes.layer_pass import LayerPass
from recorder.signals.kinds import AttentionSignal, FlowSignal, GradientSignal, LayerRows

MAX_SCORES = 1 << 26
"""Elements of one block of rows over all heads: 256 MB of float32."""
CACHED_SCORES = 1 << 20
"""The same where a processor's cache should hold them: half again as fast."""


@dataclass(frozen=True)
class CaptureOptions:
    """What is recorded of each sample: which signals, and what the finer levels keep.

    `unit_of`: level `heads`, the unit of each prompt token (n,) int32 or -1, a sample each.
    """

    signals: Mapping[str, AttentionSignal]
    gradients: Mapping[str, GradientSignal] = field(default_factory=dict)
    flows: Mapping[str, FlowSignal] = field(default_factory=dict)
    prompt_mean: bool = True
    unit_of: Sequence[Int32] | None = None
    queries_and_keys: bool = False


@dataclass(frozen=True)
class Lengths:
    """How B prompts lie side by side: prompt b is the last `prompts[b]` of `width` tokens."""

    prompts: tuple[int, ...]

    @property
    def width(self) -> int:
        return max(self.prompts)

    @property
    def pads(self) -> tuple[int, ...]:
        return tuple(self.width - prompt for prompt in self.prompts)

    def response_queries(self, layer_pass: LayerPass) -> int:
        """How many of the last queries predict a token of the response."""
        return max(0, min(layer_pass.query.shape[2], layer_pass.key.shape[2] - self.width + 1))


@dataclass(frozen=True)
class Layers:
    """Indices of the layers that attend, in order, and of those `whole` ones that see the whole
    prompt."""

    attending: tuple[int, ...]
    whole: tuple[int, ...]

    @classmethod
    def of(cls, config: Any) -> Layers:
        """Those of a model configuration."""
        return cls(attending_layers(config), whole_layers(config))

    def rows(self, layer: int, rows: torch.Tensor) -> LayerRows:
        """The rows of one of them as signals take them."""
        last, whole = layer == self.attending[-1], layer in self.whole
        return LayerRows(rows, last, len(self.attending), whole, len(self.whole))


class Norms:
    """‖v W_O‖ of every token so far, by layer: computed once a token, while it is new."""

    def __init__(self) -> None:
        self._squares: dict[int, torch.Tensor] = {}
        self._kept: dict[int, torch.Tensor] = {}

    def observe(self, layer_pass: LayerPass) -> None:
        kept = self._kept.get(layer_pass.layer)
        done = 0 if kept is None else kept.shape[2]
        new = self._of(layer_pass, layer_pass.value[:, :, done:])
        self._kept[layer_pass.layer] = new if kept is None else torch.cat([kept, new], dim=2)

    def __getitem__(self, layer: int) -> torch.Tensor:
        """(batch, heads, keys) float32."""
        return self._kept[layer]

    def _of(self, layer_pass: LayerPass, value: torch.Tensor) -> torch.Tensor:
        """‖v W_O‖ of (batch, groups, k, d) values through each head: (batch, heads, k)."""
        square = self._square(layer_pass)
        repeat = len(square) // value.shape[1]
        found = []
        for head, own in enumerate(square):
            v = value[:, head // repeat].float()
            found.append(((v @ own) * v).sum(-1).clamp_min(0).sqrt())
        return torch.stack(found, dim=1)

    def _square(self, layer_pass: LayerPass) -> torch.Tensor:
        """W_O W_Oᵀ of each head, (heads, d, d) float32: ‖v W_O‖² is then v W_O W_Oᵀ vᵀ."""
        if layer_pass.layer not in self._squares:
            output = output_matrix(layer_pass).float()
            of_head = output.reshape(layer_pass.query.shape[1], -1, output.shape[-1])
            self._squares[layer_pass.layer] = of_head @ of_head.mT
        return self._squares[layer_pass.layer]


def output_matrix(layer_pass: LayerPass) -> torch.Tensor:
    """W_O, (heads · d, hidden), as the layer applies it: it may hold it quantised."""
    module = output_projection(layer_pass.module)
    if module is None:
        raise SampleError(
            "the model's attention layers have no output projection of a known name, which "
            "'attnorm' needs; choose others with --signals."
        )
    width = layer_pass.query.shape[1] * layer_pass.value.shape[3]
    unit = torch.eye(width, dtype=layer_pass.value.dtype, device=layer_pass.value.device)
    with torch.no_grad():
        found: torch.Tensor = module(unit) - module(torch.zeros_like(unit[:1]))
    return found


@dataclass(eq=False)
class Rows:
    """The rows of each signal at every step, moved to the CPU as they come; `norms` for the signals
    that need them."""

    signals: Mapping[str, AttentionSignal]
    layers: Layers
    lengths: Lengths
    norms: Norms
    _pass: dict[str, list[torch.Tensor]] = field(default_factory=dict, init=False)
    _visible: torch.Tensor | int = field(default=0, init=False)
    _kept: dict[str, list[torch.Tensor]] = field(default_factory=dict, init=False)

    def observe(self, layer_pass: LayerPass) -> None:
        predicting = self.lengths.response_queries(layer_pass)
        if not predicting:
            return
        rows = self.layers.rows(layer_pass.layer, layer_pass.last_rows(predicting))
        if any(signal.over_visible for signal in self.signals.values()):
            self._visible = self._visible + visible_keys(layer_pass, predicting)
        for name, share in _shares(self.signals, rows, self.norms, layer_pass.layer):
            shares = self._pass.setdefault(name, [])
            if self.signals[name].by_layer or not shares:
                shares.append(share)
            else:
                shares[0] = shares[0] + share.to(shares[0].device)
        if rows.last:
            self._finish_pass()

    def _finish_pass(self) -> None:
        for name, shares in self._pass.items():
            moved = torch.stack([share.cpu() for share in shares])
            if self.signals[name].over_visible:
                moved /= torch.as_tensor(self._visible).clamp_min(1)
            self._kept.setdefault(name, []).append(moved)
        self._pass.clear()
        self._visible = 0

    def values(self, name: str, sample: int, steps: int) -> Float32:
        """The first `steps` rows of one sample as `SignalRows.values` has them."""
        prompt, pad = self.lengths.prompts[sample], self.lengths.pads[sample]
        rows = (row[:, pad : pad + prompt + t] for t, row in self._steps(name, sample, steps))
        return packed(list(rows))

    def _steps(self, name: str, sample: int, steps: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Step numbers and their rows, (layers or 1, keys)."""
        t = 0
        for kept in self._kept.get(name, []):
            for query in range(kept.shape[2]):
                if t < steps:
                    yield t, kept[:, sample, query]
                t += 1


def visible_keys(layer_pass: LayerPass, queries: int) -> torch.Tensor | int:
    """1 where one of the last `queries` may see a key, else 0: int32 on the CPU, to be broadcast to
    (batch, queries, keys)."""
    every = layer_pass.query.shape[2]
    allowed = layer_pass.allowed(every - queries, every, layer_pass.key.shape[2])
    if allowed is None:
        return 1
    seen = allowed if allowed.dtype == torch.bool else allowed >= 0
    shape = (1,) * (4 - seen.dim()) + seen.shape
    return seen.reshape(shape).any(dim=1).int().cpu()


def _shares(
    signals: Mapping[str, AttentionSignal], rows: LayerRows, norms: Norms, layer: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each signal's share of one layer, (batch, queries, keys), where it has one."""
    for name, signal in signals.items():
        own = rows
        if signal.needs_norms:
            own = replace(rows, norms=norms[layer][:, :, : rows.rows.shape[3]])
        share = signal.reduce(own)
        if share is not None:
            yield name, share


def packed(rows: list[torch.Tensor]) -> Float32:
    """Rows (layers, n + t) of all steps, layer after layer, row after row."""
    if not rows:
        return np.empty(0, np.float32)
    found: Float32 = torch.cat(rows, dim=1).reshape(-1).numpy()
    return found


@dataclass(eq=False)
class PromptMean:
    """The mean over all prompt queries, in blocks, of signals that are not by layer: the release's
    row of step 0."""

    signals: Mapping[str, AttentionSignal]
    layers: Layers
    lengths: Lengths
    norms: Norms
    _sums: dict[str, torch.Tensor] = field(default_factory=dict, init=False)

    def observe(self, layer_pass: LayerPass) -> None:
        batch, heads, queries, _ = layer_pass.query.shape
        keys = layer_pass.key.shape[2]
        if keys > self.lengths.width:
            return
        most = CACHED_SCORES if layer_pass.key.device.type == "cpu" else MAX_SCORES
        block = max(1, most // (batch * heads * keys))
        for start in range(0, queries, block):
            self._add_block(layer_pass, start, min(start + block, queries))

    def values(self, name: str, sample: int) -> Float32:
        """(n,) float32."""
        pad, prompt = self.lengths.pads[sample], self.lengths.prompts[sample]
        found: Float32 = (self._sums[name][sample, pad:] / prompt).cpu().numpy()
        return found

    def _add_block(self, layer_pass: LayerPass, start: int, end: int) -> None:
        rows = layer_pass.rows(start, end)
        first = layer_pass.key.shape[2] - layer_pass.query.shape[2] + start
        for sample, pad in enumerate(self.lengths.pads):
            # The rows of padding see nothing: they are not numbers.
            rows[sample, :, : max(0, min(pad - first, end - start))] = 0
        layer, reach = layer_pass.layer, rows.shape[3]
        summed = self.layers.rows(layer, rows.sum(dim=2, keepdim=True))
        for name, share in _shares(self.signals, summed, self.norms, layer):
            if name not in self._sums:
                self._sums[name] = share.new_zeros(len(share), self.lengths.width)
            self._sums[name][:, :reach] += share[:, 0].to(self._sums[name].device)


class PooledHeads:
    """Attention of every head summed over the units of the prompt, at every step.

    `unit_of`: for each sample (n,) int32, the unit of each prompt token or -1.
    """

    def __init__(self, unit_of: Sequence[Int32], lengths: Lengths) -> None:
        self.unit_of = unit_of
        self.counts = [int(units.max(initial=-1)) + 1 for units in unit_of]
        self.lengths = lengths
        self._kept: list[dict[int, list[torch.Tensor]]] = [{} for _ in unit_of]

    def observe(self, layer_pass: LayerPass) -> None:
        predicting = self.lengths.response_queries(layer_pass)
        if not predicting:
            return
        rows = layer_pass.last_rows(predicting)
        for sample, count in enumerate(self.counts):
            own = rows[sample, :, :, self.lengths.pads[sample] : self.lengths.width]
            pooled = own.new_zeros(*own.shape[:2], count + 1)
            # Tokens of no unit go to a column of their own, which is dropped.
            units = torch.from_numpy(self.unit_of[sample].astype(np.int64) % (count + 1))
            pooled.index_add_(2, units.to(own.device), own)
            kept = self._kept[sample].setdefault(layer_pass.layer, [])
            kept.append(pooled[..., :count].cpu())

    def values(self, sample: int, steps: int) -> HeadMass:
        layers = sorted(self._kept[sample].items())
        mass = torch.stack([torch.cat(kept, dim=1)[:, :steps] for _, kept in layers])
        return HeadMass(mass.numpy(), self.unit_of[sample])


class QueriesAndKeys:
    """Each step's queries and every token's keys, after their rotation, in the model's dtype.

    Raises SampleError where rows do not follow from these, one scaling and one window a layer.
    """

    def __init__(self, lengths: Lengths) -> None:
        self.lengths = lengths
        self._queries: dict[int, list[torch.Tensor]] = {}
        self._keys: dict[int, list[torch.Tensor]] = {}
        self.scaling: dict[int, float] = {}
        self.windows: dict[int, int] = {}
        self._shapes: set[tuple[int, ...]] = set()

    def observe(self, layer_pass: LayerPass) -> None:
        layer, new = layer_pass.layer, layer_pass.query.shape[2]
        predicting = self.lengths.response_queries(layer_pass)
        self._shapes.add((*layer_pass.query.shape[1::2], layer_pass.key.shape[1]))
        self._refuse(layer_pass, predicting)
        self.scaling[layer], self.windows[layer] = layer_pass.scaling, layer_pass.window or 0
        self._keys.setdefault(layer, []).append(layer_pass.key[:, :, -new:].cpu())
        if predicting:
            self._queries.setdefault(layer, []).append(layer_pass.query[:, :, -predicting:].cpu())

    def _refuse(self, layer_pass: LayerPass, predicting: int) -> None:
        reasons = {
            "attention sinks": layer_pass.sinks is not None,
            "capped attention scores": layer_pass.softcap is not None,
            "heads of unequal layers": len(self._shapes) > 1,
            "masks that are no window": not self._is_window(layer_pass, predicting),
        }
        found = [reason for reason, holds in reasons.items() if holds]
        if found:
            raise SampleError(
                f"the model has {found[0]}, which level qk does not keep: record it with --level "
                "heads or layers."
            )

    def _is_window(self, layer_pass: LayerPass, predicting: int) -> bool:
        """Whether the last `predicting` queries see their own and all earlier keys, but for window
        and padding."""
        queries, keys = layer_pass.query.shape[2], layer_pass.key.shape[2]
        allowed = layer_pass.allowed(queries - predicting, queries, keys)
        if not predicting or allowed is None or layer_pass.mask is None:
            return True
        own = allowed if allowed.dtype == torch.bool else allowed >= 0
        column = torch.arange(keys, device=own.device)
        last = column[keys - predicting :, None]
        expected = column <= last
        if layer_pass.window:
            expected &= column > last - layer_pass.window
        pads = torch.tensor(self.lengths.pads, device=own.device)[:, None, None, None]
        return bool((own == (expected & (column >= pads))).all())

    def values(self, sample: int, steps: int) -> QueryKeys:
        """Of one sample: its own tokens alone, as many as `steps` rows need."""
        pad = self.lengths.pads[sample]
        keys = self.lengths.prompts[sample] + max(steps, 1) - 1
        q = [torch.cat(kept, dim=2)[sample, :, :steps] for _, kept in sorted(self._queries.items())]
        k = [
            torch.cat(kept, dim=2)[sample, :, pad : pad + keys]
            for _, kept in sorted(self._keys.items())
        ]
        return QueryKeys(
            _bits(torch.stack(q)),
            _bits(torch.stack(k)),
            np.array([value for _, value in sorted(self.scaling.items())]),
            np.array([value for _, value in sorted(self.windows.items())], np.int32),
        )


def _bits(values: torch.Tensor) -> npt.NDArray[Any]:
    """As numpy has them; bfloat16, which it has not, as the upper halves of float32."""
    if values.dtype == torch.bfloat16:
        found: npt.NDArray[Any] = values.contiguous().view(torch.uint16).numpy()
        return found
    return values.contiguous().numpy()


class BatchObservers:
    """All observers of a batch that passes through the model."""

    def __init__(self, layers: Layers, lengths: Lengths, capture: CaptureOptions) -> None:
        norms, signals = Norms(), capture.signals
        self.layers = layers
        self.rows = Rows(signals, self.layers, lengths, norms)
        summed = {name: signal for name, signal in signals.items() if signal.has_prompt_mean}
        self.means = PromptMean(summed, self.layers, lengths, norms)
        self.heads = PooledHeads(capture.unit_of, lengths) if capture.unit_of is not None else None
        self.inner = QueriesAndKeys(lengths) if capture.queries_and_keys else None
        used = [
            norms if any(signal.needs_norms for signal in signals.values()) else None,
            self.rows,
            self.means if capture.prompt_mean else None,
            self.heads,
            self.inner,
        ]
        self.observers = [one for one in used if one is not None]
        self.capture = capture

    def signals(self, sample: int, steps: int) -> dict[str, SignalRows]:
        found = {}
        for name, signal in self.capture.signals.items():
            layers = self.layers.attending if signal.by_layer else ()
            mean = self.capture.prompt_mean and signal.has_prompt_mean
            first = self.means.values(name, sample) if mean else None
            found[name] = SignalRows(self.rows.values(name, sample, steps), layers, first)
        return found
