"""Any chat model of transformers: language models, and those that take images, videos and audio.

Serves every model type without an adapter of its own. The model's own processor makes the
prompt; the place of each medium follows from what the processor reports of the placeholders that it
replaced, or else from the runs of placeholder tokens. Knows nothing of capture or stores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import transformers
from transformers.models.auto import modeling_auto

from omnitrace.arrays import Int32
from omnitrace.errors import CommandError, SampleError
from omnitrace.timeline import Medium, Part, Timeline
from recorder.inputs import loaded as inputs
from recorder.inputs.loaded import Loaded
from recorder.inputs.media import Limits
from recorder.inputs.samples import Content, Sample
from recorder.models import layout, placing, processing
from recorder.models.adapter import BaseAdapter, ModelSpec, Prepared
from recorder.models.day import fixed_day
from recorder.models.layout import Replacement
from recorder.models.loading import load_chat
from recorder.models.placing import Region
from recorder.models.processing import Layouts, Processed
from recorder.models.render import TEMPLATE_ERRORS, Rendered, parts_of, render
from recorder.models.settings import Settings, Weights

NO_AUDIO_RATE = 16_000
"""A video's audio is decoded with it; no model here takes it."""
SILENCE = Medium("audio", "silence", "")
LENGTHS = ((20, 10), (60, 30))
"""Pairs of seconds of silence from which the length of an audio token is found; the second is for
processors that fill audio up to windows of 30 s."""

AUTO_CLASSES = {
    "AutoModelForMultimodalLM": modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    "AutoModelForImageTextToText": modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    "AutoModelForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    # Some models that add audio to a decoder are filed there.
    "AutoModelForSeq2SeqLM": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
}

hf: Any = transformers


def auto_class(config: Any) -> Any:
    """The auto class of transformers that loads a model of this configuration with all its towers.

    CommandError for a type that is none of a chat model's.
    """
    kind = config.model_type
    language = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    if language is not None and (config.architectures or [None])[0] == language:
        return hf.AutoModelForCausalLM
    own_code = getattr(config, "auto_map", None) or {}
    for auto, names in AUTO_CLASSES.items():
        if kind in names or auto in own_code:
            return getattr(hf, auto)
    raise CommandError(
        f"a model of the type '{kind}' is none that generates text from a chat; omnitrace models "
        "lists those that are tested."
    )


def load(spec: ModelSpec, weights: Weights, settings: Settings) -> ChatModel:
    """Load model and tokenizer or processor; CommandError for a model that is no chat model."""
    return ChatModel(*load_chat(spec, weights, settings, auto_class(spec.config)), settings)


class ChatModel(BaseAdapter):
    """A model with its processor, or with its tokenizer if it only reads."""

    def __init__(self, model: Any, processor: Any, settings: Settings) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.settings = settings
        self.takes = {} if self.tokenizer is processor else processing.takes(processor)
        self.decoder = "text_config" if hasattr(model.config, "text_config") else ""
        self._media_ids = processing.media_ids(processor, model.config)
        self._with_parts: dict[str, bool] = {}

    def prepare(self, sample: Sample) -> Prepared:
        layout.refuse_control_tokens(sample.messages, self.tokenizer, list(self.takes.values()))
        media = [self._load(content) for content in sample.media]
        with fixed_day(self.processor, self.settings.date):
            rendered = render(sample, self.template, self.settings.template_args)
        processed = processing.process(self.processor, rendered.text, media)
        ids = processed.ids
        layout.refuse_length(len(ids), self.max_tokens)
        parts = parts_of(sample.messages)
        part = self._parts_of_tokens(rendered, processed, parts)
        prompt = layout.prompt_of_texts(
            sample, ids, part, self.decode, (one.medium for one in media)
        )
        self._place_media(prompt.timeline, part, parts, processed, media)
        inputs = {
            key: processing.to_model(value, self.model) for key, value in processed.inputs.items()
        }
        return Prepared(inputs, prompt, rendered.absent)

    def _load(self, content: Content) -> Loaded:
        kind = content.kind
        if kind not in self.takes:
            able = listed(["text", *self.takes])
            raise SampleError(
                f"{content.name} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}, and the model's "
                f"processor marks no {kind} tokens: it takes {able}; record the sample with "
                "another model."
            )
        rate = NO_AUDIO_RATE
        if kind == "audio":
            rate = int(processing.audio_processor(self.processor).sampling_rate)
        limits = Limits(self.settings.min_pixels, self.settings.max_pixels)
        return inputs.load(content, self.settings.fps, rate, limits)

    def template(self, messages: list[dict[str, Any]], **options: Any) -> str:
        """The prompt of messages, whose contents are lists of parts, one placeholder a medium."""
        messages = [
            message if self._takes_parts(message["role"]) else self._in_one_text(message)
            for message in messages
        ]
        text: str = self.processor.apply_chat_template(messages, **options)
        return text

    def _takes_parts(self, role: str) -> bool:
        """Whether the chat template writes the texts of a role's contents that are lists of parts,
        not the lists themselves as Python does."""
        if self.tokenizer is self.processor:
            return False
        if role not in self._with_parts:
            probe = "\ue000probe\ue001"
            messages = [{"role": role, "content": [{"type": "text", "text": probe}]}]
            if role != "user":
                messages.append({"role": "user", "content": [{"type": "text", "text": "?"}]})
            try:
                text = self.processor.apply_chat_template(messages, tokenize=False)
            except TEMPLATE_ERRORS:
                return role != "user" and self._takes_parts("user")
            self._with_parts[role] = probe in text and f"'{probe}" not in text
        return self._with_parts[role]

    def _in_one_text(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message with its parts as one text, placeholders in the places of media."""
        if "content" not in message:
            return message
        texts = [
            part["text"] if part["type"] == "text" else self.takes[part["type"]]
            for part in message["content"]
        ]
        return {**message, "content": "".join(texts)}

    def _parts_of_tokens(
        self, rendered: Rendered, processed: Processed, parts: Sequence[Part]
    ) -> Int32:
        """(n,) int32: the content part of each token of the prompt, -1 for the template's."""
        media = [index for index, part in enumerate(parts) if part.medium >= 0]
        if media and processed.report is None:
            return self._by_runs(rendered, processed, parts)
        expanded = layout.expand(rendered, list(_replacements(processed.report or [], parts)))
        fast = getattr(self.tokenizer, "is_fast", False)
        more = {"return_offsets_mapping": True} if fast else {}
        encoded = self.tokenizer(expanded.text, **processed.options, **more)
        if encoded["input_ids"] != processed.ids.tolist():
            return self._by_runs(rendered, processed, parts)
        offsets = np.array(encoded["offset_mapping"], np.int32).reshape(-1, 2) if fast else None
        offsets = layout.token_offsets(expanded.text, processed.ids, offsets, self.decode)
        return layout.parts_of_tokens(expanded, offsets)

    def _by_runs(self, rendered: Rendered, processed: Processed, parts: Sequence[Part]) -> Int32:
        """The same where the processor does not say what it replaced: every medium is a run of one
        placeholder token, of its own kind."""
        names = {kind: self.tokenizer.convert_tokens_to_ids(t) for kind, t in self.takes.items()}
        kinds = {id: kind for kind, id in names.items()} | {
            id: kind for id in self._media_ids for kind in self.takes if self._is(id, kind)
        }
        ids = processed.ids
        held = np.where(np.isin(ids, list(kinds)), ids, -1)
        edges = np.flatnonzero(np.diff(held, prepend=-1, append=-1))
        runs = [(kinds[int(held[a])], b - a) for a, b in pairwise(edges) if held[a] >= 0]
        wanted = [part.kind for part in parts if part.medium >= 0]
        if sorted(kind for kind, _ in runs) != sorted(wanted):
            raise SampleError(
                f"the processor lays {len(wanted)} media out as {len(runs)} runs of placeholder "
                "tokens, so that they cannot be told apart: write words between them, or give "
                "the model an adapter of its own."
            )
        owners = _owners(parts)
        media = [(next(owners[kind]), int(length)) for kind, length in runs]
        template = layout.tokenize(self.tokenizer, rendered, sorted(kinds), processed.options)
        return template.spread(ids, media)

    def _is(self, id: int, kind: str) -> bool:
        names = (f"{kind}_token_id", f"{kind}_token_index")
        return any(getattr(self.model.config, name, None) == id for name in names)

    def _place_media(
        self,
        timeline: Timeline,
        part: Int32,
        parts: Sequence[Part],
        processed: Processed,
        media: Sequence[Loaded],
    ) -> None:
        """Fill in what the tokens of all media are; `part` (n,) the content part of each token."""
        layouts = {
            kind: Layouts(self.processor, self.model.config, processed, kind)
            for kind in ("image", "video")
        }
        for index, own in enumerate(parts):
            if own.medium < 0:
                continue
            tokens = np.flatnonzero(part == index)
            region = placing.region_of(processed.ids, tokens, self._media_ids, self.decode)
            loaded = media[own.medium]
            layout.place_medium(timeline, tokens, parts, own.medium)
            if own.kind == "audio":
                self._place_audio(timeline, region, loaded)
                continue
            geometry = layouts[own.kind].next([len(run) for run in region.runs])
            place = placing.place_image if own.kind == "image" else placing.place_video
            place(timeline, region, loaded, geometry)

    def _place_audio(self, timeline: Timeline, region: Region, loaded: Loaded) -> None:
        assert loaded.audio is not None
        duration = loaded.medium.duration_s or 0.0
        placing.place_audio(timeline, region, duration, self._token_seconds)
        reach = len(region.own) * self._token_seconds
        if reach + self._token_seconds < duration:
            raise SampleError(
                f"{loaded.medium.name} lasts {duration:.1f} s, and the model's processor keeps "
                f"only the first {reach:.1f} s: cut it."
            )

    @cached_property
    def _token_seconds(self) -> float:
        """Seconds of audio that a token stands for: what silence of two lengths takes."""
        for long, short in LENGTHS:
            counts = [self._audio_tokens(seconds) for seconds in (long, short)]
            if counts[0] > counts[1]:
                return (long - short) / (counts[0] - counts[1])
        return self._seconds_of_fixed(counts[0])

    def _seconds_of_fixed(self, count: int) -> float:
        """The same where every audio becomes `count` tokens, the last of them padding: what the
        tower makes of a frame, or else the longest audio over all tokens."""
        extractor = processing.audio_processor(self.processor)
        tower = getattr(self.model.config, "audio_config", None)
        strides = getattr(tower, "sscp_conv_stride_size", None)
        if strides is not None:
            frames = math.prod(int(stride[0]) for stride in strides)
            frames *= int(getattr(tower, "conf_reduction_factor", 1))
            return float(frames * extractor.hop_length / extractor.sampling_rate)
        most = getattr(extractor, "max_length", None) or 30 * extractor.sampling_rate
        return float(most / extractor.sampling_rate / max(1, count))

    def _audio_tokens(self, seconds: int) -> int:
        """Tokens that this much silence becomes."""
        rate = int(processing.audio_processor(self.processor).sampling_rate)
        silence = Loaded(SILENCE, audio=np.zeros(seconds * rate, np.float32))
        ids = processing.process(self.processor, self.takes["audio"], [silence]).ids
        tokens = np.arange(len(ids))
        return len(placing.region_of(ids, tokens, self._media_ids, self.decode).own)


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _owners(parts: Sequence[Part]) -> dict[str, Iterator[int]]:
    """The parts of each kind of medium, in order."""
    return {
        kind: iter([index for index, part in enumerate(parts) if part.kind == kind])
        for kind in processing.KINDS
    }


def _replacements(report: Sequence[dict[str, Any]], parts: Sequence[Part]) -> Iterator[Replacement]:
    """What the processor reports, each with its part; SampleError if the kinds do not match."""
    owners = _owners(parts)
    for one in report:
        part = next(owners[one["type"]], None)
        if part is None:
            break
        start, end = one["span"]
        yield Replacement(start, end, one["replacement"], part)
    wanted = sorted(part.kind for part in parts if part.medium >= 0)
    found = sorted(one["type"] for one in report)
    if found != wanted:
        raise SampleError(
            f"the model's chat template writes placeholders for {', '.join(found) or 'no media'}, "
            f"and the sample has {', '.join(wanted)}; so it cannot be told which is which."
        )
