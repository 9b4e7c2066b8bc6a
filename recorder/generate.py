"""Generate one answer and record it: tokens, rows, log-probabilities, entropies.

`model.generate` does the generating, with its own cache and its own choices; a stopping criterion,
called once a step, takes what the step left behind. Knows prepared inputs and signals; no store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Int32
from omnitrace.trace import SignalRows
from recorder.adapter import Adapter, Prepared
from recorder.capture import Capture
from recorder.gradients import Generated, GradientReduce, gradient_rows
from recorder.offsets import decode_with_offsets
from recorder.signals import Reduce

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """How the next token is chosen: temperature 0 is greedy; `seed` matters only above it."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def config(self, model: Any, eos_ids: Sequence[int]) -> Any:
        """The GenerationConfig; what is not said here is the checkpoint's own."""
        drawn = self.temperature > 0
        choice = {"temperature": self.temperature, "top_p": self.top_p, "top_k": 0} if drawn else {}
        pad = model.generation_config.pad_token_id
        make: Any = GenerationConfig
        return make(
            max_new_tokens=self.max_new_tokens,
            eos_token_id=list(eos_ids),
            pad_token_id=eos_ids[0] if pad is None else pad,
            do_sample=drawn,
            **choice,
        )


@dataclass(frozen=True)
class Answer:
    """A generated response of T tokens, without the token that ended it.

    `chars` (T, 2) int32 in `text`; `logprob`, `entropy` (T,) float32 in nats, of the model's own
    distribution (temperature 1); `finish`: `eos` or `length`.
    """

    ids: Int32
    text: str
    chars: Int32
    logprob: Float32
    entropy: Float32
    signals: Mapping[str, SignalRows]
    finish: str


@dataclass
class _Steps(StoppingCriteria):
    """Called after each token: keeps the step's row, log-probability and entropy on the CPU."""

    capture: Capture
    goes_on: Callable[[int], bool]
    logits: torch.Tensor | None = None
    positions: list[torch.Tensor] = field(default_factory=list)
    rows: list[dict[str, torch.Tensor]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    numbers: list[tuple[float, float]] = field(default_factory=list)

    def see(self, module: Any, args: Any, given: Mapping[str, Any], output: Any) -> None:
        """A forward hook: the logits of the step, and the position that it was made at."""
        self.logits = output.logits[0, -1].detach()
        if given.get("position_ids") is not None:
            self.positions.append(given["position_ids"][..., -1:])

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        token = int(input_ids[0, -1])
        assert self.logits is not None
        logprobs = self.logits.float().log_softmax(dim=-1)
        entropy = -(logprobs.exp() * logprobs.clamp_min(-1e30)).sum()
        self.numbers.append((float(logprobs[token]), float(entropy)))
        self.ids.append(token)
        self.rows.append(self.capture.take())
        stop = not self.goes_on(len(self.ids))
        return torch.full((len(input_ids),), stop, device=input_ids.device)


def generate(
    adapter: Adapter,
    prepared: Prepared,
    options: Options,
    signals: Mapping[str, Reduce],
    gradients: Mapping[str, GradientReduce],
    goes_on: Callable[[int], bool] = lambda step: True,
) -> Answer:
    """Answer a prepared prompt, recording `signals` as it goes and `gradients` when it is done.

    `goes_on(steps so far)` may stop it early.

    Raises OmniTraceError if prompt and response would exceed the model's positions.
    """
    _check_room(adapter, len(prepared.ids), options.max_new_tokens)
    capture = Capture(len(prepared.ids), adapter.layers, signals)
    steps = _Steps(capture, goes_on)
    model = adapter.model
    hook = model.register_forward_hook(steps.see, with_kwargs=True)
    try:
        torch.manual_seed(options.seed)
        # Not inference_mode: the gradients read the cache that is made here.
        with torch.no_grad(), capture.active():
            generated = model.generate(
                **prepared.inputs,
                generation_config=options.config(model, sorted(adapter.eos_ids)),
                stopping_criteria=StoppingCriteriaList([steps]),
                return_dict_in_generate=True,
            )
    finally:
        hook.remove()
    kept = len(steps.ids) - (bool(steps.ids) and steps.ids[-1] in adapter.eos_ids)
    left = Generated(
        inputs=generated.sequences[:, capture.prompt - 1 : capture.prompt - 1 + kept],
        targets=generated.sequences[0, capture.prompt : capture.prompt + kept],
        positions=torch.cat(steps.positions, dim=-1) if steps.positions else None,
        cache=generated.past_key_values,
        prompt=capture.prompt,
    )
    return _answer(adapter, steps, kept, _caused(adapter, left, gradients))


def _check_room(adapter: Adapter, prompt: int, new: int) -> None:
    if prompt + new > adapter.max_tokens:
        raise OmniTraceError(
            f"the prompt has {prompt} tokens; with {new} new ones that is more than the model's "
            f"{adapter.max_tokens}: shorten it, take fewer frames a second, or ask for less."
        )


def _answer(adapter: Adapter, steps: _Steps, kept: int, caused: Mapping[str, SignalRows]) -> Answer:
    ids = steps.ids[:kept]
    text, chars = decode_with_offsets(ids, adapter.decode)
    numbers = np.array(steps.numbers[:kept], np.float32).reshape(-1, 2)
    return Answer(
        ids=np.array(ids, np.int32),
        text=text,
        chars=chars,
        logprob=numbers[:, 0],
        entropy=numbers[:, 1],
        signals={**_attended(steps, kept), **caused},
        finish="eos" if kept < len(steps.ids) else "length",
    )


def _attended(steps: _Steps, kept: int) -> dict[str, SignalRows]:
    means = steps.capture.prompt_mean()
    return {
        name: SignalRows(_packed(steps.rows[:kept], name), first_row=means[name].numpy())
        for name in steps.capture.signals
    }


def _caused(
    adapter: Adapter, generated: Generated, gradients: Mapping[str, GradientReduce]
) -> dict[str, SignalRows]:
    """Gradients have no mean over prompt queries: the release too takes the last query's row."""
    rows = gradient_rows(adapter.model, adapter.layers, generated, gradients) if gradients else []
    return {
        name: SignalRows(_packed(rows, name), first_row=rows[0][name].numpy() if rows else None)
        for name in gradients
    }


def _packed(rows: Sequence[Mapping[str, torch.Tensor]], name: str) -> Float32:
    return np.concatenate([np.empty(0, np.float32), *(row[name].numpy() for row in rows)])
