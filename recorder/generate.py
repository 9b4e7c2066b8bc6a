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
    rows: list[dict[str, torch.Tensor]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    numbers: list[tuple[float, float]] = field(default_factory=list)

    def see_logits(self, module: Any, args: Any, output: Any) -> None:
        self.logits = output.logits[0, -1].detach()

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
    goes_on: Callable[[int], bool] = lambda step: True,
) -> Answer:
    """Answer a prepared prompt, recording `signals`; `goes_on(steps so far)` may stop early.

    Raises OmniTraceError if prompt and response would exceed the model's positions.
    """
    _check_room(adapter, len(prepared.ids), options.max_new_tokens)
    capture = Capture(len(prepared.ids), adapter.layers, signals)
    steps = _Steps(capture, goes_on)
    model = adapter.model
    hook = model.register_forward_hook(steps.see_logits)
    try:
        torch.manual_seed(options.seed)
        with torch.inference_mode(), capture.active():
            model.generate(
                **prepared.inputs,
                generation_config=options.config(model, sorted(adapter.eos_ids)),
                stopping_criteria=StoppingCriteriaList([steps]),
            )
    finally:
        hook.remove()
    return _answer(adapter, steps)


def _check_room(adapter: Adapter, prompt: int, new: int) -> None:
    if prompt + new > adapter.max_tokens:
        raise OmniTraceError(
            f"the prompt has {prompt} tokens; with {new} new ones that is more than the model's "
            f"{adapter.max_tokens}: shorten it, take fewer frames a second, or ask for less."
        )


def _answer(adapter: Adapter, steps: _Steps) -> Answer:
    ended = bool(steps.ids) and steps.ids[-1] in adapter.eos_ids
    kept = len(steps.ids) - ended
    ids = steps.ids[:kept]
    text, chars = decode_with_offsets(ids, adapter.decode)
    numbers = np.array(steps.numbers[:kept], np.float32).reshape(-1, 2)
    return Answer(
        ids=np.array(ids, np.int32),
        text=text,
        chars=chars,
        logprob=numbers[:, 0],
        entropy=numbers[:, 1],
        signals=_rows(steps, kept),
        finish="eos" if ended else "length",
    )


def _rows(steps: _Steps, kept: int) -> dict[str, SignalRows]:
    means = steps.capture.prompt_mean()
    return {
        name: SignalRows(
            np.concatenate(
                [np.empty(0, np.float32), *(rows[name].numpy() for rows in steps.rows[:kept])]
            ),
            first_row=means[name].numpy(),
        )
        for name in steps.capture.signals
    }
