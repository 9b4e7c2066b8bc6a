"""Self-attribution (paper, App. C.2.1): the recorded model is asked where its sentences come from.

The question is a chat that the caller has written, in which the media of the prompt have their
places; the answer is greedy. Knows adapters and generation; not how answers are parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from omnitrace.baseline import BaselineConfig, Chat
from omnitrace.errors import SampleError
from omnitrace.trace import Trace
from recorder.identity import RecordedSamples, reload_model
from recorder.inputs.samples import Content, Message, Sample
from recorder.models.adapter import Adapter
from recorder.passes.batch import is_out_of_memory
from recorder.passes.generate import GenerationOptions, generate
from recorder.passes.observers import CaptureOptions

NOTHING = CaptureOptions(signals={}, prompt_mean=False)
"""Only the answer is kept."""


def load(identity: Mapping[str, Any], config: BaselineConfig) -> SelfAttribution:
    """Load the recorded model and its samples; CommandError if that cannot be done."""
    samples = RecordedSamples.read(config.samples)
    return SelfAttribution(reload_model(identity, config), samples, config.max_new_tokens)


@dataclass(frozen=True)
class SelfAttribution:
    """The recorded model, which answers questions about its response."""

    adapter: Adapter
    samples: RecordedSamples
    max_new_tokens: int

    def answer(self, trace: Trace, chat: Chat) -> str:
        """The answer of the model; SampleError if the sample changed or the chat is too long."""
        prepared = self.adapter.prepare(put(chat, self.samples.of(trace)))
        options = GenerationOptions(self.max_new_tokens)
        try:
            [answer] = generate(self.adapter, [prepared], options, NOTHING)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise SampleError("the device's memory does not hold the question.") from error
        return answer.text


def put(chat: Chat, sample: Sample) -> Sample:
    """A chat as one message of the user, a line a part: not every model knows a system's role.

    Texts are {type: text, text}, media {type: kind, index}: the place among those of `sample`.
    """
    parts = [part for message in chat for part in _parts(message["content"], sample)]
    return Sample(sample.id, (Message("user", tuple(parts)),), None, sample.sha256)


def _parts(content: str | Sequence[Mapping[str, Any]], sample: Sample) -> Iterator[Content]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content:
        if part["type"] == "text":
            yield Content("text", f"{part['text']}\n")
        else:
            yield sample.media[part["index"]]
            yield Content("text", "\n")
