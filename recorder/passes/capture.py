"""Attention rows beside the unchanged fast model: sdpa computes the output, we look on.

`install` gives the text decoder an attention function that is the fast one's; while observers are
`watching`, each is also shown every layer's queries, keys and values, the very ones that sdpa gets:
rotary positions, grouped heads, windows and masks included. Gradients have their own attention
(recorder/passes/gradients.py). Knows transformers' attention interface; no model, no generation
loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.import_utils import is_flash_attn_2_available as flash_is_there

from omnitrace.errors import CommandError, OmniTraceError
from recorder.passes import gradients

NAMES = {"sdpa": "omnitrace", "flash_attention_2": "omnitrace-fa2"}
"""The fast attentions that can be watched → what ours are called. (transformers looks for a kernel
of every name that has "flash" in it.)"""


class Observer(Protocol):
    """Something that looks at each layer of each forward pass, in order."""

    def observe(self, seen: LayerPass) -> None:
        """Take what is needed of it; its tensors are the model's own."""


_observers: ContextVar[Sequence[Observer]] = ContextVar("observers", default=())


def install(model: Any, decoder: str, kind: str = "sdpa") -> None:
    """Let the decoder (the configuration key of its text model) attend by `kind` through us.

    Raises CommandError where that kind is not installed.
    """
    if kind == "flash_attention_2" and not flash_is_there():
        raise CommandError(
            "--attn flash_attention_2 needs a GPU and pip install flash-attn; sdpa needs nothing."
        )
    name = NAMES[kind]
    AttentionInterface.register(name, _through(kind))
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[kind])
    model.set_attn_implementation({decoder: name})


@contextmanager
def watching(*observers: Observer) -> Iterator[None]:
    """While inside, the observers see every forward pass of a decoder that has been `install`ed."""
    token = _observers.set(observers)
    try:
        yield
    finally:
        _observers.reset(token)


@torch.inference_mode()
def confirm(model: Any, layers: int) -> None:
    """CommandError unless all layers of the `install`ed decoder attend through us."""
    seen = _Seen()
    ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
    with watching(seen):
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    if seen.layers != list(range(layers)):
        raise CommandError(
            f"only {len(seen.layers)} of the model's {layers} layers attend through the "
            "interface of transformers, so that its attention cannot be recorded; it needs an "
            "adapter of its own."
        )


class _Seen:
    """Which layers passed."""

    def __init__(self) -> None:
        self.layers: list[int] = []

    def observe(self, seen: LayerPass) -> None:
        self.layers.append(seen.layer)


@contextmanager
def _named(config: Any, kind: str) -> Iterator[None]:
    """While inside, the configuration names the fast attention itself, which looks there."""
    ours = config._attn_implementation
    config._attn_implementation = kind
    try:
        yield
    finally:
        config._attn_implementation = ours


def _through(kind: str) -> Callable[..., Any]:
    """The fast attention, watched."""
    fast = ALL_ATTENTION_FUNCTIONS[kind]

    def attend(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> Any:
        _refuse_unknown(kwargs)
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        window = kwargs.get("sliding_window")
        seen = LayerPass(module, query, key, value, attention_mask, scale, window)
        if (tape := gradients.current_tape()) is not None:
            allowed = seen.allowed(0, query.shape[2], key.shape[2])
            return gradients.attend(tape, query, key, value, allowed, scale), None
        for observer in _observers.get():
            observer.observe(seen)
        if kind == "sdpa":
            return fast(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        with _named(module.config, kind):
            return fast(module, query, key, value, attention_mask, scaling=scaling, **kwargs)

    return attend


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """What changes the softmax itself, and would make our rows wrong in silence."""
    for name in ("softcap", "s_aux"):
        if options.get(name) is not None:
            raise OmniTraceError(
                f"the model's attention uses {name}, which cannot be recorded exactly yet; "
                "record another model."
            )


@dataclass(frozen=True)
class LayerPass:
    """One decoder layer in one forward pass over a batch, on its way to the fast attention.

    `query` (batch, heads, q, d); `key`, `value` (batch, groups, k, d), the last q of k the queries'
    own. `mask` says all of who sees whom if it broadcasts to (batch, heads, q, k), boolean or
    added; if it is None or (batch, k), a query sees its own and the earlier keys, of `window` at
    most.
    """

    module: Any
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    scaling: float
    window: int | None = None

    @cached_property
    def layer(self) -> int:
        return int(self.module.layer_idx)

    @cached_property
    def _last_rows(self) -> dict[int, torch.Tensor]:
        return {}

    def last_rows(self, count: int) -> torch.Tensor:
        """The rows of the last `count` queries, computed once for all observers."""
        if count not in self._last_rows:
            queries = self.query.shape[2]
            self._last_rows[count] = self.rows(queries - count, queries)
        return self._last_rows[count]

    def rows(self, start: int, end: int) -> torch.Tensor:
        """Softmax rows of queries start … end - 1: (batch, heads, end - start, keys that the last
        of them may see) float32."""
        reach = self.key.shape[2] - self.query.shape[2] + end
        allowed = self.allowed(start, end, reach)
        return attention_rows(
            self.query[:, :, start:end], self.key[:, :, :reach], allowed, self.scaling
        )

    def allowed(self, start: int, end: int, reach: int) -> torch.Tensor | None:
        """Which of the first `reach` keys each of these queries may see, boolean or added, to be
        broadcast to (batch, heads, end - start, reach); None: all."""
        mask = self.mask
        if mask is not None and mask.dim() == 4:
            return mask[..., start:end, :reach]
        own = None
        if end - start > 1 or self.window:
            keys = torch.arange(reach, device=self.key.device)
            last = keys[reach - (end - start) :, None]
            own = keys <= last
            if self.window:
                own &= keys > last - self.window
        if mask is None:
            return own
        padded = mask[:, None, None, :reach].bool()
        return padded if own is None else padded & own


def attention_rows(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """softmax(q kᵀ · scaling) in float32: (batch, heads, q, d), (batch, kv heads, k, d) to
    (batch, heads, q, k).

    `mask`, broadcast to the result's shape, is added, or where it is boolean lets through.
    """
    batch, heads, queries, width = query.shape
    groups = key.shape[1]
    # Heads that share keys stand side by side as queries, so that keys are never repeated.
    q = query.float().reshape(batch, groups, heads // groups * queries, width)
    scores = (q @ key.float().transpose(-1, -2)).mul_(scaling)
    scores = scores.reshape(batch, heads, queries, key.shape[2])
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill_(~mask, -torch.inf)
    elif mask is not None:
        scores = scores.add_(mask)
    return scores.softmax(dim=-1)
