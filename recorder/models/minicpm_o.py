"""MiniCPM-o 4.5: images, audio and videos, by the code that is published with its weights.

That code turns media into embeddings; the decoder inside it is transformers' own Qwen3, which is
what answers and is recorded. Videos go in as published: a frame a second, each with its second of
audio. Written against the published code and tested on a double of its interface, never on the
weights. Knows nothing of capture or stores.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import torch
import transformers

from omnitrace.arrays import Bool, Float32, Int32
from omnitrace.errors import CommandError, SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Medium, Modality, Timeline
from recorder.inputs import media
from recorder.inputs.loaded import frame_rate
from recorder.inputs.loaded import load as load_medium
from recorder.inputs.media import Limits
from recorder.inputs.samples import Content, Sample
from recorder.models import layout
from recorder.models.adapter import BaseAdapter, ModelSpec, Prepared
from recorder.models.day import fixed_day
from recorder.models.loading import load_model, load_processor
from recorder.models.render import Rendered, parts_of, render
from recorder.models.settings import Settings, Weights

IMAGE, AUDIO = "(<image>./</image>)", "(<audio>./</audio>)"
SLOT = re.compile(f"{re.escape(IMAGE)}|{re.escape(AUDIO)}")
UNIT = "<unit>"
RATE = 16_000
CHUNK_SECONDS = 1
"""The processor cuts audio into stretches of this length, each with its own marks."""

hf: Any = transformers


@dataclass(frozen=True)
class Slot:
    """One placeholder: an image or a stretch of audio of `medium`, from second `start_s` on."""

    medium: int
    modality: Modality
    content: Any
    start_s: float = 0.0

    @property
    def holder(self) -> str:
        return AUDIO if self.modality == Modality.AUDIO else IMAGE


@dataclass(frozen=True)
class Loaded:
    """A decoded medium as slots, and how they are written in the prompt."""

    medium: Medium
    slots: tuple[Slot, ...]
    is_video: bool = False

    @property
    def has_audio(self) -> bool:
        return any(slot.modality == Modality.AUDIO for slot in self.slots)

    def written(self, between: str) -> str:
        holders = [slot.holder for slot in self.slots]
        if not (self.is_video and self.has_audio):
            return between.join(holders)
        return "".join(UNIT + a + b for a, b in zip(holders[::2], holders[1::2], strict=True))


def load(spec: ModelSpec, weights: Weights, settings: Settings) -> MiniCPMO:
    """Load the model, never its voice; CommandError unless its own code may be run."""
    if not spec.trusted:
        raise CommandError(
            f"'{spec.path}' brings code of its own: read it, then allow it with "
            "--trust-remote-code."
        )
    parts = {"init_vision": True, "init_audio": True, "init_tts": False}
    outer = load_model(spec, weights, hf.AutoModel, **parts)
    processor = load_processor(spec, settings, hf.AutoProcessor)
    return MiniCPMO(outer, processor, settings)


class MiniCPMO(BaseAdapter):
    """`outer` is the whole model, whose `llm` is recorded."""

    decoder = ""

    def __init__(self, outer: Any, processor: Any, settings: Settings) -> None:
        self.outer = outer
        self.settings = settings
        self.model = outer.llm
        self.processor = processor
        self.tokenizer = processor.tokenizer

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset(self.tokenizer.convert_tokens_to_ids(list(self.outer.terminators)))

    def prepare(self, sample: Sample) -> Prepared:
        _refuse_holders(sample)
        layout.refuse_control_tokens(sample.messages, self.tokenizer)
        limits = Limits(self.settings.min_pixels, self.settings.max_pixels)
        loaded = [_load(content, index, limits) for index, content in enumerate(sample.media)]
        slots = [slot for one in loaded for slot in one.slots]
        template = partial(self._template, loaded=loaded)
        with fixed_day(self.tokenizer, self.settings.date):
            rendered = render(sample, template, self.settings.template_args)
        batch = self._process(rendered.text, loaded, slots)
        ids = batch["input_ids"][0].numpy().astype(np.int32)
        parts = parts_of(sample.messages)
        written = self._expansions(batch, loaded, slots)
        media_parts = [index for index, part in enumerate(parts) if part.medium >= 0]
        owners = [media_parts[slot.medium] for slot in slots]
        part = self._owners(rendered, written, owners, ids)
        bare = Rendered(rendered.text, np.full_like(rendered.part, -1))
        slot_of = self._owners(bare, written, range(len(slots)), ids)
        prompt = layout.prompt_of_texts(
            sample, ids, part, self.decode, (one.medium for one in loaded)
        )
        timeline = prompt.timeline
        held = _held(batch, len(ids))
        for number, slot in enumerate(slots):
            tokens = np.flatnonzero(slot_of == number)
            self._place(timeline, tokens[held[tokens]], slot, loaded[slot.medium].medium)
            layout.place_medium(timeline, tokens, parts, slot.medium)
        return Prepared(self._inputs(batch), prompt, rendered.absent)

    def _owners(
        self, rendered: Rendered, written: Sequence[str], owners: Sequence[int], ids: Int32
    ) -> Int32:
        """(n,) int32: whose each token is, -1: the template's, if every placeholder is replaced by
        what is `written` for it, which then belongs to one of `owners` each."""
        places = [match.span() for match in SLOT.finditer(rendered.text)]
        replaced = [
            layout.Replacement(*place, new, owner)
            for place, new, owner in zip(places, written, owners, strict=True)
        ]
        expanded = layout.expand(rendered, replaced)
        return layout.tokenize(self.tokenizer, expanded, [], {}).spread(ids, [])

    def _template(
        self, messages: list[dict[str, Any]], loaded: Sequence[Loaded], **options: Any
    ) -> str:
        """The prompt, one placeholder a slot; parts stand on lines but where videos have audio."""
        between = "" if any(m.is_video and m.has_audio for m in loaded) else "\n"
        written = iter([m.written(between) for m in loaded])
        filled = [
            {
                **message,
                "content": between.join(
                    part["text"] if part["type"] == "text" else next(written)
                    for part in message["content"]
                ),
            }
            if "content" in message
            else message
            for message in messages
        ]
        text: str = self.tokenizer.apply_chat_template(
            filled, **{"enable_thinking": False, **options}
        )
        return text

    def _process(
        self, prompt: str, loaded: Sequence[Loaded], slots: Sequence[Slot]
    ) -> dict[str, Any]:
        """Ids, features and bounds by the model's own processor, on the CPU."""
        audio = [slot for slot in slots if slot.modality == Modality.AUDIO]
        try:
            batch = self.processor(
                [prompt],
                [[slot.content for slot in slots if slot.modality != Modality.AUDIO]],
                [[slot.content for slot in audio]],
                # Audio of one number is joined: the seconds of a video.
                [[slot.medium for slot in audio]],
                chunk_input=True,
                return_tensors="pt",
                max_length=self.max_tokens + 1,
                **_slicing(loaded),
            )
        except (ValueError, TypeError) as error:
            raise SampleError(f"the model's processor refuses the sample: {error}.") from error
        if batch["input_ids"].shape[1] > self.max_tokens:
            raise SampleError(
                f"the prompt has more than the {self.max_tokens} tokens that the model takes: "
                "shorten it, or give it shorter media."
            )
        return dict(batch)

    def _expansions(
        self, batch: dict[str, Any], loaded: Sequence[Loaded], slots: Sequence[Slot]
    ) -> list[str]:
        """What the processor writes for each slot: marks, and a token for each embedding."""
        sizes = iter(enumerate(batch["image_sizes"][0]))
        slicing = _slicing(loaded)
        draw = self.processor.image_processor.get_slice_image_placeholder
        written = []
        for slot in slots:
            if slot.modality == Modality.AUDIO:
                length = len(slot.content)
                written.append(self.processor.get_audio_placeholder(length, True, CHUNK_SECONDS))
            else:
                number, size = next(sizes)
                written.append(
                    draw(size, number, slicing["max_slice_nums"], slicing["use_image_id"])
                )
        return written

    def _place(
        self, timeline: Timeline, tokens: layout.Indices, slot: Slot, medium: Medium
    ) -> None:
        """Fill in the embeddings of one slot: no patch of them is one place of the image."""
        timeline.modality[tokens] = slot.modality
        if slot.modality == Modality.AUDIO:
            if not len(tokens):
                raise SampleError(f"{medium.name} is too short: its sound makes no token.")
            step = self._token_seconds
            starts = slot.start_s + np.arange(len(tokens), dtype=np.float64) * step
            layout.place_seconds(timeline, tokens, starts, step, medium.duration_s or 0.0)
        elif slot.modality == Modality.VIDEO:
            timeline.frame[tokens] = int(slot.start_s)
            starts = np.full(len(tokens), slot.start_s, np.float64)
            layout.place_seconds(timeline, tokens, starts, 1.0, medium.duration_s or 0.0)

    @property
    def _token_seconds(self) -> float:
        whole = self.processor.get_audio_placeholder(RATE, False, CHUNK_SECONDS)
        count = len(self.encode(whole)) - 2  # without the marks at either end
        return CHUNK_SECONDS / count

    def _inputs(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Input of the decoder: ids, and the embeddings that the outer model makes of all."""
        data = {key: self._to_model(v) for key, v in batch.items() if key != "image_sizes"}
        data["input_ids"] = data["input_ids"].long()
        with torch.no_grad():
            embeds, _ = self.outer.get_vllm_embedding(data)
            embeds = self.outer.get_omni_embedding(
                data, input_embeddings=embeds, chunk_length=self.outer.config.audio_chunk_length
            )
        ids = data["input_ids"]
        mask = torch.ones_like(ids)
        return {"input_ids": ids, "attention_mask": mask, "inputs_embeds": embeds.detach()}

    def _to_model(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(self.model.device)
        return [self._to_model(one) for one in value] if isinstance(value, list) else value


def _refuse_holders(sample: Sample) -> None:
    texts = [part.text for message in sample.messages for part in message.parts]
    found = [match[0] for match in map(SLOT.search, texts) if match]
    if found:
        raise SampleError(
            f"a text of the sample contains '{found[0]}', which stands for a medium here; "
            "remove it or write it differently."
        )


def _slicing(loaded: Sequence[Loaded]) -> dict[str, Any]:
    """Images are cut into slices and numbered; frames, and images in their prompt, are not."""
    if any(m.is_video for m in loaded):
        return {"max_slice_nums": 1, "use_image_id": False}
    return {"max_slice_nums": None, "use_image_id": None}


def _load(content: Content, index: int, limits: Limits) -> Loaded:
    files = content.kind == "video" and not content.frames
    if files and frame_rate(content, 1.0) < min(1.0, content.fps or 1.0):
        raise SampleError(
            f"{one_line(content.name)} is longer than {media.MAX_FRAMES} seconds, of each of which "
            "this model takes a frame: cut it."
        )
    one = load_medium(content, 1.0, RATE, limits)
    if one.video is None:
        modality = Modality.AUDIO if one.image is None else Modality.IMAGE
        decoded = one.audio if one.image is None else one.image
        return Loaded(one.medium, (Slot(index, modality, decoded),))
    if one.video.fps != 1.0:
        raise SampleError(
            f"the video '{one_line(content.name)}' has {one.video.fps:g} frames a second, and this "
            "model takes one: set its fps to 1."
        )
    return Loaded(one.medium, tuple(_seconds_of(one.video, index)), is_video=True)


def _seconds_of(video: media.Video, index: int) -> list[Slot]:
    """A frame a second, and behind each its second of audio, the last filled up with silence."""
    slots = []
    audio = video.audio
    if audio is not None:
        audio = _whole_seconds(audio, len(video.frames))
    for second, frame in enumerate(video.frames):
        image = PIL.Image.fromarray(frame)
        slots.append(Slot(index, Modality.VIDEO, image, float(second)))
        if audio is not None:
            slots.append(Slot(index, Modality.AUDIO, audio[second], float(second)))
    return slots


def _whole_seconds(audio: Float32, seconds: int) -> Float32:
    """(seconds, RATE) float32."""
    whole = np.zeros(seconds * RATE, np.float32)
    whole[: len(audio)] = audio[: len(whole)]
    return whole.reshape(seconds, RATE)


def _held(batch: dict[str, Any], n: int) -> Bool:
    """(n,) which tokens hold an embedding of a medium, and are no mark."""
    held = np.zeros(n, np.bool_)
    for name in ("image_bound", "audio_bounds"):
        for start, end in np.asarray(batch[name][0], int).reshape(-1, 2):
            held[start:end] = True
    return held
