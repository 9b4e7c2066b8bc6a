"""Voxtral, and language models of Mistral AI that have a tekken.json and no chat template.

Their tokenizer is mistral_common's: it writes prompts as token ids, without a template and without
parsing text for control tokens. Texts are placed by the bytes of these ids, audio by its tokens.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import soundfile
import torch
import transformers

from omnitrace.arrays import Float32, Int32
from omnitrace.errors import CommandError, SampleError
from omnitrace.timeline import Part
from recorder.inputs.samples import Sample
from recorder.models import chat, layout, processing
from recorder.models.adapter import TEKKEN, Adapter, ModelSpec, Prepared
from recorder.models.loading import load_model
from recorder.models.processing import Processed
from recorder.models.render import parts_of, render
from recorder.models.settings import Settings, Weights

BEGIN_AUDIO = "[BEGIN_AUDIO]"
WINDOW = 30
"""Seconds of audio to which the processor pads: the tokens of one window are counted."""

hf: Any = transformers


def load(spec: ModelSpec, weights: Weights, settings: Settings) -> Adapter:
    """Load Voxtral, or a language model that has a tekken.json alone.

    CommandError if mistral_common is missing or a chat template is given that it cannot use.
    """
    listens = type(spec.config) in hf.PROCESSOR_MAPPING
    if find_spec("mistral_common") is None:
        raise CommandError(
            f"'{spec.path}' has a tokenizer of the package mistral_common, which is not installed: "
            "pip install 'omnitrace-replay[families]'."
        )
    if settings.chat_template:
        raise CommandError(
            f"the prompts of '{spec.path}' are written by its tokenizer, {TEKKEN}, which uses no "
            "chat template: leave out --chat-template."
        )
    if listens:
        processor = hf.AutoProcessor.from_pretrained(**spec.processor)
    else:
        processor = hf.AutoTokenizer.from_pretrained(**spec.processor, mistral_format=True)
    return MistralChat(load_model(spec, weights, chat.auto_class(spec.config)), processor, settings)


class MistralChat(chat.ChatModel):
    """A model whose prompts mistral_common writes, with its processor, or with its tokenizer if it
    takes no audio."""

    def __init__(self, model: Any, processor: Any, settings: Settings) -> None:
        super().__init__(model, processor, settings)
        # Such a tokenizer has one of mistral_common's in `tokenizer`, as a processor has its own.
        if not self.takes:
            self.tokenizer = processor

    def prepare(self, sample: Sample) -> Prepared:
        # No text is refused: mistral_common reads a text that spells a control token as a text.
        media = [self._load(content) for content in sample.media]
        audio = [_wav(one.audio, self._rate) for one in media if one.audio is not None]
        written: dict[str, list[int]] = {}

        def template(messages: list[dict[str, Any]], **options: Any) -> str:
            ids = self._encode(messages, audio, options)
            text = self.decode(ids)
            written[text] = ids
            return text

        rendered = render(sample, template, self.settings.template_args)
        ids = np.array(written[rendered.text], np.int32)
        layout.refuse_length(len(ids), self.max_tokens)
        parts = parts_of(sample.messages)
        part = layout.parts_of_tokens(rendered, self._offsets(ids))
        self._find_audio(ids, parts, part)
        prompt = layout.prompt_of_texts(
            sample, ids, part, self.decode, (one.medium for one in media)
        )
        processed = Processed(ids, self._inputs(ids, audio), {}, None)
        self._place_media(prompt.timeline, part, parts, processed, media)
        inputs = {
            key: processing.to_model(value, self.model) for key, value in processed.inputs.items()
        }
        return Prepared(inputs, prompt, rendered.absent)

    def _encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        audio: Sequence[str],
        options: Mapping[str, Any],
    ) -> list[int]:
        """The prompt's ids; ValueError for messages that mistral_common does not take."""
        given = iter(audio)
        filled = [_with_audio(message, given) for message in messages]
        try:
            encoded = self.tokenizer.apply_chat_template(filled, **{**options, "tokenize": True})
        except Exception as error:
            # It raises exceptions of many kinds, most of its own; they become one sentence.
            raise ValueError(str(error).replace(". ", "; ")) from error
        ids: list[int] = encoded["input_ids"]
        return ids

    def _offsets(self, ids: Int32) -> Int32:
        """(n, 2) int32: the characters of the prompt that each token has bytes of."""
        tekken = self.tokenizer.tokenizer.instruct_tokenizer.tokenizer
        pieces = [
            # Of a special token it gives no bytes.
            tekken.id_to_byte_piece(id) or self.tokenizer.convert_ids_to_tokens(id).encode()
            for id in ids.tolist()
        ]
        ends = np.cumsum([len(piece) for piece in pieces])
        starts = np.append(0, ends[:-1])
        begins = (np.frombuffer(b"".join(pieces), np.uint8) & 0xC0) != 0x80
        character = np.cumsum(begins) - 1
        offsets = np.stack([character[starts], character[ends - 1] + 1], axis=1)
        return offsets.astype(np.int32)

    def _inputs(self, ids: Int32, audio: Sequence[str]) -> dict[str, Any]:
        """Keyword arguments of the model, on the CPU.

        The processor's `apply_chat_template` drops tools and an answer to be continued, so that
        only the features are taken from it.
        """
        tokens = torch.from_numpy(ids.astype(np.int64))[None]
        inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        if audio:
            contents = [{"type": "audio"} for _ in audio]
            message = _with_audio({"role": "user", "content": contents}, iter(audio))
            found = self.processor.apply_chat_template([message])
            inputs["input_features"] = found["input_features"]
        return inputs

    def _find_audio(self, ids: Int32, parts: Sequence[Part], part: Int32) -> None:
        """Write the parts of audio tokens into `part` (n,): each begins with [BEGIN_AUDIO]."""
        owners = [index for index, one in enumerate(parts) if one.medium >= 0]
        if not owners:
            return
        begins = ids == self.tokenizer.convert_tokens_to_ids(BEGIN_AUDIO)
        if begins.sum() != len(owners):
            raise SampleError(
                f"the model's tokenizer writes {begins.sum()} audios into the prompt, and the "
                f"sample has {len(owners)}, so that it cannot be told which is which."
            )
        own = begins | np.isin(ids, list(self._media_ids))
        part[own] = np.array(owners, np.int32)[np.cumsum(begins)[own] - 1]

    @property
    def _rate(self) -> int:
        """Hertz at which the model takes audio; 0 if it takes none."""
        extractor = processing.audio_processor(self.processor)
        return int(extractor.sampling_rate) if self.takes else 0

    @cached_property
    def _token_seconds(self) -> float:
        """Seconds of audio that a token stands for."""
        message = {"role": "user", "content": [{"type": "audio"}]}
        silence = np.zeros(WINDOW * self._rate, np.float32)
        ids = self._encode([message], [_wav(silence, self._rate)], {})
        return WINDOW / int(np.isin(ids, list(self._media_ids)).sum())


def _with_audio(message: Mapping[str, Any], audio: Iterator[str]) -> dict[str, Any]:
    """The message with the next of `audio`, data URLs, in each audio part."""
    contents = message.get("content")
    if not isinstance(contents, list):
        return dict(message)
    filled = [
        {"type": "audio", "base64": next(audio)} if one["type"] == "audio" else one
        for one in contents
    ]
    return {**message, "content": filled}


def _wav(samples: Float32, rate: int) -> str:
    """A data URL of a WAV file of 32-bit floats, which keeps the samples exactly."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()
