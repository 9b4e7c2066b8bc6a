"""Answer a batch of prompts, or take answers that are given, and record what happens on the way.

`model.generate` passes the prompt and generates, with its own cache and its own choices; a stopping
criterion, called once a step, keeps the step's log-probabilities and positions. A given answer goes
through the model in one pass on top of the same prompt. A drawn token depends on the seed and on
its sample, not on the other samples of its batch. Knows prepared inputs and observers; no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from omnitrace.arrays import Float32, Int32
from omnitrace.attention import HeadMass, QueryKeys
from omnitrace.errors import SampleError
from omnitrace.trace import SignalRows
from recorder.models.adapter import Adapter, Prepared
from recorder.models.settings import first_sentence
from recorder.models.tokens import decode_with_offsets
from recorder.passes.activation import Activation
from recorder.passes.batch import collate, is_out_of_memory
from recorder.passes.capture import watching
from recorder.passes.decoder import (
    States,
    in_pieces,
    is_recurrent,
    of_sample,
    put_states,
    whole_cache,
)
from recorder.passes.flow import flow_rows
from recorder.passes.gradients import Generated, gradient_rows
from recorder.passes.observers import (
    MAX_SCORES,
    BatchObservers,
    CaptureOptions,
    Layers,
    Lengths,
    packed,
)


@dataclass(frozen=True)
class GenerationOptions:
    """How the next token is chosen: temperature 0 is greedy; `seed`, `top_p` and `top_k` (0: all)
    matter only above it."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def config(self, model: Any, eos_ids: Sequence[int]) -> Any:
        """The GenerationConfig; all else is the checkpoint's own."""
        make: Any = GenerationConfig
        return make(
            max_new_tokens=self.max_new_tokens,
            eos_token_id=list(eos_ids),
            pad_token_id=filler(model, eos_ids),
            do_sample=False,
        )


def filler(model: Any, eos_ids: Sequence[int]) -> int:
    """The id that pads: the model's, or else one that ends a response."""
    pad = model.generation_config.pad_token_id
    return min(eos_ids) if pad is None else int(pad)


class Draw(LogitsProcessor):
    """Adds Gumbel noise to the warped logits: their argmax is then a draw from their softmax."""

    def __init__(self, options: GenerationOptions, batch: int) -> None:
        warpers: list[Any] = [TemperatureLogitsWarper(options.temperature)]
        if options.top_k:
            warpers.append(TopKLogitsWarper(options.top_k))
        if options.top_p < 1:
            warpers.append(TopPLogitsWarper(options.top_p))
        self.warpers = warpers
        self.generators = [torch.Generator().manual_seed(options.seed) for _ in range(batch)]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        warped: Any = scores.float()
        for warper in self.warpers:
            warped = warper(input_ids, warped)
        size = scores.shape[-1]
        drawn = [torch.rand(size, generator=g, dtype=torch.float64) for g in self.generators]
        noise = -torch.log(-torch.log(torch.stack(drawn).clamp_min(1e-300)))
        return warped + noise.to(warped.device, torch.float32)


@dataclass(frozen=True)
class Answer:
    """A response of T tokens, without the token that ended it.

    `chars` (T, 2) int32 in `text`; `logprob`, `entropy` (T,) float32 in nats, of the model's own
    distribution (temperature 1); `finish`: `eos`, `length` or `given`; `activation` (n,) float32 as
    of `Activation.values`.
    """

    ids: Int32
    text: str
    chars: Int32
    logprob: Float32
    entropy: Float32
    signals: Mapping[str, SignalRows]
    finish: str
    activation: Float32 | None = None
    heads: HeadMass | None = None
    inner: QueryKeys | None = None


@dataclass
class _Steps(StoppingCriteria):
    """Called after each token of the batch: keeps log-probabilities, entropies and positions."""

    should_continue: Callable[[int], bool]
    stopped: bool = False
    logits: torch.Tensor | None = None
    positions: list[torch.Tensor] = field(default_factory=list)
    ids: list[torch.Tensor] = field(default_factory=list)
    numbers: list[torch.Tensor] = field(default_factory=list)

    def keep_logits(self, module: Any, args: Any, given: Mapping[str, Any], output: Any) -> None:
        """A forward hook: the logits of the step, and the position that it was made at."""
        self.logits = output.logits[:, -1].detach()
        if given.get("position_ids") is not None:
            self.positions.append(given["position_ids"][..., -1:])

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        ids = input_ids[:, -1:]
        assert self.logits is not None
        self.ids.append(ids.cpu())
        self.numbers.append(numbers_of(self.logits[:, None], ids).cpu())
        self.stopped = not self.should_continue(len(self.ids))
        return torch.full((len(ids),), self.stopped, device=ids.device)


def numbers_of(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Log-probability and entropy in nats: (batch, q, vocabulary), (batch, q) to (batch, q, 2)."""
    logprobs = logits.float().log_softmax(dim=-1)
    entropy = -(logprobs.exp() * logprobs.clamp_min(-1e30)).sum(-1)
    return torch.stack([logprobs.gather(-1, ids[..., None])[..., 0], entropy], dim=-1)


def generate(
    adapter: Adapter,
    prepared: Sequence[Prepared],
    options: GenerationOptions,
    capture: CaptureOptions,
    should_continue: Callable[[int], bool] = lambda step: True,
) -> list[Answer]:
    """Answer a batch of prepared prompts, recording what `capture` names.

    `should_continue(steps so far)` may stop it early: there are no answers then. Raises SampleError
    if a prompt and its response would exceed the model's positions.
    """
    lengths = _lengths(adapter, prepared, options.max_new_tokens)
    observers = BatchObservers(Layers.of(adapter.model.config), lengths, capture)
    activation = Activation(adapter.model, lengths)
    with watching(*observers.observers), activation.reading():
        steps, sequences, cache, states = _pass_prompts(adapter, prepared, options, should_continue)
    if steps.stopped:
        return []
    ids, numbers = torch.cat(steps.ids, dim=1), torch.cat(steps.numbers, dim=1)
    positions = _joined(steps.positions)
    passed = _PassedBatch(adapter, observers, activation, cache, states, sequences, positions)
    answers = []
    for sample, row in enumerate(ids.tolist()):
        ends = [t for t, token in enumerate(row) if token in adapter.eos_ids]
        kept, finish = (ends[0], "eos") if ends else (len(row), "length")
        answers.append(passed.answer(sample, numbers[sample, :kept], finish))
    return answers


def force(
    adapter: Adapter,
    prepared: Sequence[Prepared],
    responses: Sequence[Int32],
    capture: CaptureOptions,
) -> list[Answer]:
    """Record the given `responses`, (T,) ids each, as if the model had generated them.

    The same traces as generating them would have left. Raises SampleError if a prompt and its
    response exceed the model's positions.
    """
    longest = max(len(response) for response in responses)
    lengths = _lengths(adapter, prepared, max(longest, 1))
    observers = BatchObservers(Layers.of(adapter.model.config), lengths, capture)
    device = adapter.model.device
    ids = torch.zeros(len(responses), max(longest, 1), dtype=torch.long, device=device)
    for row, response in zip(ids, responses, strict=True):
        row[: len(response)] = torch.from_numpy(response.astype(np.int64))
    activation = Activation(adapter.model, lengths)
    with watching(*observers.observers), activation.reading():
        steps, sequences, cache, states = _pass_prompts(
            adapter, prepared, GenerationOptions(max_new_tokens=1), lambda step: True
        )
        assert steps.logits is not None
        first = numbers_of(steps.logits[:, None], ids[:, :1])
        rest, positions = _pass_response(adapter, lengths, ids, cache, _joined(steps.positions))
    numbers = torch.cat([first, *rest], dim=1).cpu()
    sequences = torch.cat([sequences[:, : lengths.width], ids], dim=1)
    passed = _PassedBatch(adapter, observers, activation, cache, states, sequences, positions)
    return [
        passed.answer(sample, numbers[sample, : len(response)], "given")
        for sample, response in enumerate(responses)
    ]


def _lengths(adapter: Adapter, prepared: Sequence[Prepared], new: int) -> Lengths:
    lengths = Lengths(tuple(one.prompt.n for one in prepared))
    if lengths.width + new > adapter.max_tokens:
        raise SampleError(
            f"the prompt has {lengths.width} tokens; with {new} new ones that is more than the "
            f"model's {adapter.max_tokens}: shorten it, take fewer frames a second, or ask for "
            "less."
        )
    return lengths


def _pass_prompts(
    adapter: Adapter,
    prepared: Sequence[Prepared],
    options: GenerationOptions,
    should_continue: Callable[[int], bool],
) -> tuple[_Steps, torch.Tensor, Any, States]:
    """Generate; what the steps left, (batch, width + steps) ids, the cache, and the states of
    recurrent layers before the last prompt token."""
    model, ends = adapter.model, sorted(adapter.eos_ids)
    steps = _Steps(should_continue)
    inputs = collate([one.inputs for one in prepared], filler(model, ends))
    draw = [Draw(options, len(prepared))] if options.temperature > 0 else []
    hook = model.register_forward_hook(steps.keep_logits, with_kwargs=True)
    try:
        # Not inference_mode: the gradients read the cache that is made here. The cache keeps all
        # that a window has passed, for the gradients go back to it.
        with torch.no_grad(), in_pieces(model) as states, _sample_errors():
            found = model.generate(
                **inputs,
                past_key_values=whole_cache(model.config),
                generation_config=options.config(model, ends),
                logits_processor=LogitsProcessorList(draw),
                stopping_criteria=StoppingCriteriaList([steps]),
                return_dict_in_generate=True,
            )
    finally:
        hook.remove()
    return steps, found.sequences, found.past_key_values, states


@contextmanager
def _sample_errors() -> Iterator[None]:
    """What a model raises at inputs that its own processor made is wrong with the sample."""
    try:
        yield
    except (ValueError, RuntimeError, IndexError, TypeError, KeyError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        raise SampleError(
            f"the model fails on what its processor made of the sample: {first_sentence(error)}"
        ) from error


def _pass_response(
    adapter: Adapter,
    lengths: Lengths,
    ids: torch.Tensor,
    cache: Any,
    position: torch.Tensor | None,
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Send all but the last token of (batch, T) `ids` through the model, in blocks.

    Returns the numbers of steps 1 to T - 1, and the positions (…, batch, T) from the last prompt
    token's `position` on.
    """
    model, (batch, steps) = adapter.model, ids.shape
    if position is not None:
        position = position[..., -1:] + torch.arange(steps, device=ids.device)
    heads = model.config.get_text_config().num_attention_heads
    block = max(1, MAX_SCORES // (batch * heads * (lengths.width + steps)))
    pads = torch.tensor(lengths.pads, device=ids.device)[:, None]
    numbers = []
    for start in range(0, steps - 1, block):
        end = min(start + block, steps - 1)
        given: dict[str, Any] = {}
        if position is not None:
            given["position_ids"] = position[..., start + 1 : end + 1]
        if batch > 1:
            columns = torch.arange(lengths.width + end, device=ids.device)
            given["attention_mask"] = (columns >= pads).long()
        with torch.no_grad():
            out = model(input_ids=ids[:, start:end], past_key_values=cache, use_cache=True, **given)
        numbers.append(numbers_of(out.logits, ids[:, start + 1 : end + 1]))
    return numbers, position


def _joined(positions: Sequence[torch.Tensor]) -> torch.Tensor | None:
    return torch.cat(list(positions), dim=-1) if positions else None


@dataclass(frozen=True)
class _PassedBatch:
    """A batch that has passed: `sequences` (batch, width + T) ids, `positions` (…, batch, T) of
    what predicted the response; `states` of recurrent layers before the last prompt token."""

    adapter: Adapter
    observers: BatchObservers
    activation: Activation
    cache: Any
    states: States
    sequences: torch.Tensor
    positions: torch.Tensor | None

    @property
    def lengths(self) -> Lengths:
        return self.activation.lengths

    def answer(self, sample: int, numbers: torch.Tensor, finish: str) -> Answer:
        """One sample's, as many steps as it has `numbers`, (T, 2)."""
        steps, width = len(numbers), self.lengths.width
        ids = self.sequences[sample, width : width + steps].tolist()
        text, chars = decode_with_offsets(ids, self.adapter.decode)
        heads, inner = self.observers.heads, self.observers.inner
        return Answer(
            ids=np.array(ids, np.int32),
            text=text,
            chars=chars,
            logprob=numbers[:, 0].numpy().copy(),
            entropy=numbers[:, 1].numpy().copy(),
            signals=self.observers.signals(sample, steps)
            | self._gradient_signals(sample, steps)
            | self._flow_signals(sample, steps),
            finish=finish,
            activation=self.activation.values(sample),
            heads=None if heads is None else heads.values(sample, steps),
            inner=None if inner is None else inner.values(sample, steps),
        )

    def _gradient_signals(self, sample: int, steps: int) -> dict[str, SignalRows]:
        """Gradients have no mean over prompt queries: the release too takes the last query's."""
        signals, layers = self.observers.capture.gradients, self.observers.layers.attending
        if not signals:
            return {}
        rows = gradient_rows(self.adapter.model, self._generated(sample, steps), signals)
        return {
            name: SignalRows(
                packed(rows[name]),
                layers if signal.by_layer else (),
                rows[name][0][0].numpy() if steps and not signal.by_layer else None,
            )
            for name, signal in signals.items()
        }

    def _flow_signals(self, sample: int, steps: int) -> dict[str, SignalRows]:
        """Like gradients, they have no mean over prompt queries."""
        signals = self.observers.capture.flows
        if not signals:
            return {}
        rows: dict[str, list[torch.Tensor]] = {name: [] for name in signals}
        if steps:
            rows = flow_rows(self.adapter.model, self._generated(sample, steps), signals)
        return {
            name: SignalRows(packed(own), (), own[0][0].numpy() if steps else None)
            for name, own in rows.items()
        }

    def _generated(self, sample: int, steps: int) -> Generated:
        prompt, pad, width = (
            self.lengths.prompts[sample],
            self.lengths.pads[sample],
            self.lengths.width,
        )
        places, cache = self.positions, of_sample(self.cache, sample, pad)
        if is_recurrent(self.adapter.model.config):
            if not self.states:
                raise SampleError(
                    "its prompt cannot be passed in pieces, which the gradients of a model with "
                    "recurrent layers need: choose signals without gradients with --signals."
                )
            put_states(cache, self.states, sample)
        return Generated(
            inputs=self.sequences[sample : sample + 1, width - 1 : width - 1 + steps],
            targets=self.sequences[sample, width : width + steps],
            positions=None if places is None else places[..., sample : sample + 1, :steps],
            cache=cache,
            prompt=prompt,
        )
