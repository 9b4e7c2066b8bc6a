"""Attention rows of the unchanged fast model: sdpa computes the output, observers read along.

`install` gives the text decoder an attention function that is the fast one's; while observers are
`watching`, each is also shown every layer's queries, keys and values, the very ones that sdpa gets:
rotary positions, grouped heads, windows and masks included. Where sdpa cannot attend as the model
does (capped scores, attention sinks) the output is computed here from the rows. Gradients have
their own attention (recorder/passes/gradients.py). Knows transformers' attention interface; no
model, no generation loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.import_utils import is_flash_attn_2_available as flash_is_there

from omnitrace.errors import CommandError
from recorder.passes import gradients
from recorder.passes.decoder import attending_layers
from recorder.passes.layer_pass import LayerPass

NAMES = {"sdpa": "omnitrace", "flash_attention_2": "omnitrace-fa2"}
"""The fast attentions that can be watched → the names under which the watched ones are registered.
(transformers looks for a kernel of every name that has "flash" in it.)"""
OUTPUT_NAMES = ("o_proj", "out_proj", "dense", "c_proj", "wo")
"""Names of the output projection in attention modules."""
SAME = 0.05
"""Relative distance within which two computations of the same vectors lie, bfloat16 included."""


class Observer(Protocol):
    """Reads each layer of each forward pass, in order."""

    def observe(self, seen: LayerPass) -> None:
        """Keep what is needed of it; its tensors are the model's own."""


_observers: ContextVar[Sequence[Observer]] = ContextVar("observers", default=())


def install(model: Any, decoder: str, kind: str = "sdpa") -> None:
    """Let the decoder (the configuration key of its text model) attend by `kind`, watched.

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


@dataclass(frozen=True)
class Confirmed:
    """What `confirm` found: indices of the `layers` that attend, in order; `weighs`: whether what a
    value adds to the residual stream is v W_O, which `attnorm` needs: an output projection of a
    known name, and nothing between it and the attention, such as a gate or a norm."""

    layers: tuple[int, ...]
    weighs: bool


@torch.no_grad()
def confirm(model: Any, layers: int) -> Confirmed:
    """Pass a few tokens through the `install`ed decoder of `layers` layers.

    Raises CommandError unless exactly the layers that attend by the model's configuration pass
    through the watched attention.
    """
    expected, seen = attending_layers(model.config), _Seen()
    # More than one id, for that of padding may have an embedding of zeros.
    ids = torch.arange(8, device=model.device)[None]
    try:
        with watching(seen):
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        seen.end()
    if tuple(seen.layers) != expected:
        kind = "layers" if len(expected) == layers else "attention layers"
        raise CommandError(
            f"only {len(set(seen.layers) & set(expected))} of the model's {len(expected)} {kind} "
            "attend through the interface of transformers, so that its attention cannot be "
            "recorded; it needs an adapter of its own."
        )
    return Confirmed(expected, all(seen.direct))


class _Seen:
    """Which layers passed, and whether the output projection of each got the attention itself."""

    def __init__(self) -> None:
        self.layers: list[int] = []
        self.direct: list[bool] = []
        self._hooks: list[Any] = []

    def observe(self, seen: LayerPass) -> None:
        self.layers.append(seen.layer)
        projection = output_projection(seen.module)
        if projection is None:
            self.direct.append(False)
            return
        attention = seen.output().flatten(2).float()

        def compare(module: Any, args: tuple[torch.Tensor, ...]) -> None:
            given = args[0].reshape(attention.shape).float()
            distance = (given - attention).norm()
            self.direct.append(bool(distance <= SAME * attention.norm()))

        self._hooks.append(projection.register_forward_pre_hook(compare))

    def end(self) -> None:
        for hook in self._hooks:
            hook.remove()


def output_projection(module: Any) -> Any:
    """The output projection of an attention module, None where it has none of a known name."""
    return next((getattr(module, n) for n in OUTPUT_NAMES if hasattr(module, n)), None)


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
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        seen = LayerPass(module, query, key, value, attention_mask, scale, *_options(kwargs))
        if (tape := gradients.current_tape()) is not None:
            return gradients.attend(tape, seen), None
        for observer in _observers.get():
            observer.observe(seen)
        if kind == "sdpa":
            if seen.softcap is not None or seen.sinks is not None:
                return seen.output(), None
            return fast(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        with _named(module.config, kind):
            return fast(module, query, key, value, attention_mask, scaling=scaling, **kwargs)

    return attend


def _options(given: Mapping[str, Any]) -> tuple[int | None, float | None, torch.Tensor | None]:
    """Window, cap of scores and sinks of an attention call.

    Raises CommandError for what else changes the softmax, and would make the rows wrong.
    """
    if given.get("position_bias") is not None:
        raise CommandError(
            "the model adds a position bias to its attention scores, which cannot be recorded "
            "exactly: choose another model."
        )
    return given.get("sliding_window"), given.get("softcap"), given.get("s_aux")
