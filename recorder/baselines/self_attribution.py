"""Self-attribution (paper, App. C.2.1): the recorded model is asked where its sentences come from.

It gets the media of the prompt again, numbered, then a question that others have put in words, and
answers greedily. Knows adapters and generation; neither the question nor how answers are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from omnitrace.errors import OmniTraceError
from omnitrace.trace import Trace
from recorder.baselines.again import Samples, load_again
from recorder.config import BaselineConfig
from recorder.inputs.samples import Content, Message, Sample
from recorder.models.adapter import Adapter
from recorder.passes.draw import Options
from recorder.passes.generate import Wanted, generate
from recorder.passes.memory import is_out_of_memory

NOTHING = Wanted(signals={}, prompt_mean=False)


def load(identity: Mapping[str, Any], config: BaselineConfig) -> SelfAttribution:
    """Load the recorded model and its samples; CommandError if that cannot be done."""
    samples = Samples.read(config.samples)
    return SelfAttribution(load_again(identity, config), samples, config.max_new_tokens)


@dataclass(frozen=True)
class SelfAttribution:
    """The recorded model, asked again."""

    adapter: Adapter
    samples: Samples
    max_new_tokens: int

    def answer(self, trace: Trace, question: str) -> str:
        """What the model says; OmniTraceError if the sample changed or the question is too long."""
        prompt = question_about(self.samples.of(trace), question)
        prepared = self.adapter.prepare(prompt)
        try:
            [answer] = generate(self.adapter, [prepared], Options(self.max_new_tokens), NOTHING)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OmniTraceError("the device's memory does not hold the question.") from error
        return answer.text


def question_about(sample: Sample, question: str) -> Sample:
    """One message: the media of `sample`, each after its kind and its number, then the question."""
    parts = (*_numbered(sample), Content("text", question))
    return Sample(sample.id, (Message("user", parts),), None, sample.sha256)


def _numbered(sample: Sample) -> Iterator[Content]:
    seen: Counter[str] = Counter()
    for message in sample.messages:
        for part in message.parts:
            if part.path is not None:
                yield Content("text", f"\n{part.kind.upper()} {seen[part.kind]}:\n")
                yield part
                seen[part.kind] += 1
