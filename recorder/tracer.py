"""A loaded model and tagger: prepared samples in, traces out.

Knows what a trace consists of; not which samples there are, nor the store.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers

from omnitrace.arrays import Int32
from omnitrace.attention import HEAD_ARRAYS, QUERY_KEY_ARRAYS
from omnitrace.errors import CommandError, SampleError, nearest
from omnitrace.prompt import Prompt
from omnitrace.thinking import thinking_range
from omnitrace.trace import Trace
from recorder.ablation.base import base_units
from recorder.config import RecordConfig
from recorder.inputs.responses import Response
from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter, ModelSpec, Prepared, load_adapter
from recorder.models.settings import Settings, Weights
from recorder.passes.activation import ACTIVATION
from recorder.passes.capture import confirm, install
from recorder.passes.decoder import attending_layers, layer_types
from recorder.passes.flow import branches
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from recorder.passes.observers import CaptureOptions
from recorder.signals import EVERY, FLOW_SIGNALS, GRADIENT_SIGNALS, SIGNALS
from recorder.tags import Tagger, align_pos, prompt_sentences

NO_WEIGHING = (
    "the model's attention passes a gate, a norm or a projection of an unknown name on its way to "
    "the residual stream, so that it cannot be weighed by values exactly"
)


@dataclass(frozen=True)
class Task:
    """A sample, its prompt as model input, its answer (T,) where that is given, and the key under
    which the run holds it, empty where nothing is stored."""

    sample: Sample
    prepared: Prepared
    response: Int32 | None = None
    key: str = ""


@dataclass(frozen=True)
class Tracer:
    """How samples become traces.

    `weighs`: whether the model allows signals that weigh attention by values (capture.Confirmed).
    """

    adapter: Adapter
    tagger: Tagger
    config: RecordConfig
    weighs: bool = True

    @classmethod
    def load(cls, spec: ModelSpec, config: RecordConfig, tagger: Tagger) -> Tracer:
        """Load the model that `config` names; CommandError if that cannot be done."""
        adapter = load_adapter(spec, Weights.of(config), Settings.of(config))
        install(adapter.model, adapter.decoder, config.attn)
        weighs = confirm(adapter.model, adapter.layers).weighs
        chosen = signal_names(config) if config.signals.strip() else []
        if not weighs and (named := _weighing(chosen)):
            raise CommandError(
                f"{NO_WEIGHING} and '{named[0]}' cannot be recorded: choose others with --signals."
            )
        if set(chosen) & set(FLOW_SIGNALS):
            branches(adapter.model)
        return cls(adapter, tagger, config, weighs)

    def on(self, config: RecordConfig) -> Tracer:
        """The same with the day of `config`, the weights shared."""
        adapter = copy(self.adapter)
        adapter.settings = replace(adapter.settings, date=Settings.of(config).date)
        return replace(self, adapter=adapter, config=config)

    def prepare(self, sample: Sample, given: Response | None = None) -> Task:
        """Decode and lay out a sample; SampleError if the model cannot take it."""
        prepared = self.adapter.prepare(sample)
        response = None if given is None else self._response_ids(given)
        prompt = prepared.prompt
        sentences = prompt_sentences(prompt.prompt_text, prompt.timeline, self.tagger)
        prompt = replace(prompt, prompt_sentences=sentences)
        return Task(sample, replace(prepared, prompt=prompt), response)

    def traces(
        self, tasks: Sequence[Task], should_continue: Callable[[int], bool] = lambda step: True
    ) -> list[Trace]:
        """Answer and record a batch; SampleError if it cannot be. Empty if stopped."""
        prepared, wanted = [task.prepared for task in tasks], self._wanted(tasks)
        given = [task.response for task in tasks if task.response is not None]
        if given:
            answers = force(self.adapter, prepared, given, wanted)
        else:
            options = options_of(self.config)
            answers = generate(self.adapter, prepared, options, wanted, should_continue)
        return [self._trace(task, answer) for task, answer in zip(tasks, answers, strict=False)]

    def _wanted(self, tasks: Sequence[Task]) -> CaptureOptions:
        left_out = self._left_out
        names = [name for name in signal_names(self.config) if name not in left_out]
        level = self.config.level
        prompts = [task.prepared.prompt for task in tasks]
        return CaptureOptions(
            {name: SIGNALS[name] for name in names if name in SIGNALS},
            {name: GRADIENT_SIGNALS[name] for name in names if name in GRADIENT_SIGNALS},
            {name: FLOW_SIGNALS[name] for name in names if name in FLOW_SIGNALS},
            prompt_mean=self.config.first_step == "both",
            unit_of=[base_units(prompt).unit_of for prompt in prompts]
            if level == "heads"
            else None,
            queries_and_keys=level == "qk",
        )

    @property
    def _left_out(self) -> dict[str, str]:
        """Signals that the model does not allow, with the reason."""
        if self.weighs:
            return {}
        return dict.fromkeys(_weighing(signal_names(self.config)), NO_WEIGHING + ".")

    def _response_ids(self, given: Response) -> Int32:
        """The given answer's ids without the one that ends it; SampleError if there is none."""
        if given.failure:
            raise SampleError(f"{given.failure}, so that there is no answer to record.")
        ids = given.token_ids
        if ids is None:
            ids = tuple(self.adapter.encode(given.text or ""))
        ends = [t for t, token in enumerate(ids) if token in self.adapter.eos_ids]
        ids = ids[: ends[0]] if ends else ids
        legal = int(self.adapter.model.get_input_embeddings().weight.shape[0])
        wrong = [token for token in ids if not 0 <= token < legal]
        if wrong:
            raise SampleError(
                f"its response has the token id {wrong[0]}; the model's go from 0 to {legal - 1}."
            )
        return np.array(ids, np.int32)

    def _trace(self, task: Task, answer: Answer) -> Trace:
        tags, prepared = self.tagger.tag(answer.text), task.prepared
        return Trace(
            **vars(prepared.prompt),
            response=answer.text,
            response_ids=answer.ids,
            chars=answer.chars,
            logprob=answer.logprob,
            entropy=answer.entropy,
            pos=align_pos(answer.chars, tags),
            sentences=tags.sentences,
            signals=answer.signals,
            meta=self._meta(task.sample, answer.finish)
            | self._thinking(prepared, answer.text)
            | ({"absent_parts": list(prepared.absent)} if prepared.absent else {}),
            arrays=_arrays(answer),
        )

    def _meta(self, sample: Sample, finish: str) -> dict[str, Any]:
        answer = {} if sample.answer is None else {"answer": sample.answer}
        return answer | {
            "finish": finish,
            "generation": asdict(options_of(self.config)),
            "attention": self.config.attn,
            "device": str(self.adapter.model.device),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "platform": platform.platform(),
            **attention_about(self.adapter.model.config),
            **({"left_out": self._left_out} if self._left_out else {}),
        }

    def _thinking(self, prepared: Prepared, response: str) -> dict[str, Any]:
        """Which characters of the response are thinking, where any are."""
        found = thinking_range(response, self.adapter.decode(generation_prompt(prepared.prompt)))
        return {"thinking": list(found)} if found else {}


def attention_about(config: Any) -> dict[str, Any]:
    """`attention_layers`, the indices of the decoder layers that attend by a model's configuration,
    where not all of them do."""
    layers = attending_layers(config)
    return {} if len(layers) == len(layer_types(config)) else {"attention_layers": list(layers)}


def generation_prompt(prompt: Prompt) -> list[int]:
    """The last ids of the prompt: those after all that others than the assistant wrote."""
    others = [i for i, part in enumerate(prompt.parts) if part.role != "assistant"]
    content = np.flatnonzero(np.isin(prompt.timeline.part, others))
    ids: list[int] = prompt.prompt_ids[content[-1] + 1 if len(content) else 0 :].tolist()
    return ids


def _weighing(names: Sequence[str]) -> list[str]:
    """Those that take what a value adds to the residual stream for v W_O."""
    weighing = {name for name, signal in SIGNALS.items() if signal.needs_norms} | {*FLOW_SIGNALS}
    return [name for name in names if name in weighing]


def options_of(config: RecordConfig) -> GenerationOptions:
    """How the next token is chosen."""
    return GenerationOptions(
        config.max_new_tokens, config.temperature, config.top_p, config.top_k, config.seed
    )


def signal_names(config: RecordConfig) -> list[str]:
    """The signals that are recorded, sorted; CommandError for a name that the level has not."""
    legal = sorted(name for name in EVERY if config.level == "layers" or not EVERY[name].by_layer)
    wanted = [name.strip() for name in config.signals.split(",") if name.strip()]
    for name in wanted:
        if name not in legal:
            raise CommandError(
                f"level {config.level} has no signal '{name}': {nearest(name, legal)}."
            )
    return sorted(set(wanted)) or [name for name in legal if EVERY[name].usual]


def _arrays(answer: Answer) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    if answer.activation is not None:
        found[ACTIVATION] = answer.activation
    if answer.heads is not None:
        found |= {name: getattr(answer.heads, f) for name, f in HEAD_ARRAYS.items()}
    if answer.inner is not None:
        found |= {name: getattr(answer.inner, f) for name, f in QUERY_KEY_ARRAYS.items()}
    return found
