"""Any chat model of transformers: language models, and those that also see pictures and films.

Serves every model type without an adapter of its own. The processor must lay a medium out as a run
of one placeholder token, which is how its tokens are found; what does it otherwise is refused.
Knows nothing of capture or stores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.auto import modeling_auto

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Int32, Medium, Modality, Timeline
from recorder.inputs import media
from recorder.inputs.samples import Sample
from recorder.models import layout
from recorder.models.adapter import ModelSpec, Prepared, Settings
from recorder.models.tokens import Tokens
from recorder.models.weights import Weights

TEXT_TYPES = frozenset(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
SEEING_TYPES = frozenset(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
NO_LIMIT = 1 << 30
NO_SOUND_RATE = 16_000
"""Films bring their sound along when they are decoded; nothing here hears it."""

hf: Any = transformers


@dataclass(frozen=True)
class Seen:
    """A decoded picture, or a film with its frames."""

    medium: Medium
    image: Any = None
    film: media.Video | None = None


def load(spec: ModelSpec, weights: Weights, settings: Settings) -> ChatModel:
    """Load model and tokenizer or processor; CommandError for a model that is no chat model."""
    if getattr(spec.config, "is_encoder_decoder", False):
        raise CommandError(f"'{spec.path}' is an encoder-decoder; only decoders can be recorded.")
    options = {**spec.source, **weights.options}
    if spec.config.model_type in SEEING_TYPES:
        model = hf.AutoModelForImageTextToText.from_pretrained(**options)
        processor = hf.AutoProcessor.from_pretrained(**spec.source)
    else:
        model = hf.AutoModelForCausalLM.from_pretrained(**options)
        processor = hf.AutoTokenizer.from_pretrained(**spec.source)
    if getattr(processor, "chat_template", None) is None:
        raise CommandError(
            f"'{spec.path}' has no chat template, so that messages cannot be put to it."
        )
    return ChatModel(weights.settle(model), processor, settings)


class ChatModel(Tokens):
    """A model with its processor, or with its tokenizer if it only reads."""

    def __init__(self, model: Any, processor: Any, settings: Settings) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.settings = settings
        self.sees = self.tokenizer is not processor
        self.decoder = "text_config" if hasattr(model.config, "text_config") else ""
        self._text = model.config.get_text_config()
        self._holders = {
            Modality.IMAGE: self._holder("image"),
            Modality.VIDEO: self._holder("video"),
        }

    @property
    def layers(self) -> int:
        return int(self._text.num_hidden_layers)

    @property
    def max_tokens(self) -> int:
        return int(getattr(self._text, "max_position_embeddings", None) or NO_LIMIT)

    @property
    def eos_ids(self) -> frozenset[int]:
        ids = self.model.generation_config.eos_token_id
        if ids is None:
            ids = self.tokenizer.eos_token_id
        return frozenset([ids] if isinstance(ids, int) else ids or ())

    def prepare(self, sample: Sample) -> Prepared:
        layout.refuse_control_tokens(sample.messages, self.tokenizer)
        seen = self._load_media(sample)
        prompt, spans = layout.render(sample.messages, self.template)
        batch = self._process(prompt, seen)
        ids = batch["input_ids"][0].numpy().astype(np.int32)
        template = layout.tokenize(self.tokenizer, prompt, sorted(self._holder_ids))
        regions = self._regions(ids, len(seen))
        starts = template.spread(ids, [len(region) for region in regions])
        timeline = Timeline.blank(len(ids))
        parts = layout.parts_of(sample.messages)
        said = layout.place_texts(timeline, ids, parts, template.texts(starts, spans), self.decode)
        grids = {
            kind: iter(batch.get(f"{kind}_grid_thw", torch.zeros(0, 3)).tolist())
            for kind in ("image", "video")
        }
        for index, (one, region) in enumerate(zip(seen, regions, strict=True)):
            self._place(timeline, region, one, next(grids[one.medium.kind], None))
            layout.place_medium(timeline, region, parts, index)
        inputs = {key: self._to_model(value) for key, value in batch.items()}
        return Prepared(inputs, ids, timeline, said, parts, tuple(s.medium for s in seen))

    @property
    def _holder_ids(self) -> set[int]:
        return {token for token in self._holders.values() if token is not None}

    def _holder(self, kind: str) -> int | None:
        """The id of the token that stands for a kind of medium, if the model knows the kind."""
        for owner in (self.processor, self.model.config):
            for name in (f"{kind}_token_id", f"{kind}_token_index"):
                if isinstance(getattr(owner, name, None), int):
                    return int(getattr(owner, name))
        return None

    def _load_media(self, sample: Sample) -> list[Seen]:
        contents = [c for m in sample.messages for c in m.parts if c.path is not None]
        films = [c.path for c in contents if c.kind == "video" and c.path is not None]
        # A processor takes one frame rate for all films of a prompt: the longest film's.
        wanted = self.settings.fps
        fps = min([wanted, *(media.affordable_fps(path, wanted) for path in films)])
        return [self._load(c.kind, c.path, fps) for c in contents if c.path is not None]

    def _load(self, kind: str, path: Path, fps: float) -> Seen:
        known = {"image": Modality.IMAGE, "video": Modality.VIDEO}.get(kind)
        if not self.sees or known is None or self._holders[known] is None:
            raise OmniTraceError(
                f"{path} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}, and the model's "
                f"processor marks no {kind} tokens: record it with a model that takes it."
            )
        name, sha256 = path.name, media.file_sha256(path)
        if kind == "image":
            image = media.load_image(path)
            size = {"width": image.width, "height": image.height}
            return Seen(Medium(kind, name, sha256, **size), image=image)
        film = media.load_video(path, fps, NO_SOUND_RATE)
        about = Medium(kind, name, sha256, film.duration_s, film.width, film.height)
        return Seen(about, film=film)

    def template(self, messages: list[dict[str, Any]]) -> str:
        """The prompt of messages, whose contents are lists of parts, one placeholder a medium."""
        if not self.sees:  # a tokenizer's template takes texts, not lists of parts
            messages = [
                {**message, "content": "".join(part["text"] for part in message["content"])}
                for message in messages
            ]
        text: str = self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **self.settings.template_args
        )
        return text

    def _process(self, prompt: str, seen: Sequence[Seen]) -> dict[str, Any]:
        """Ids and features by the model's own processor, as tensors on the CPU."""
        images = [one.image for one in seen if one.image is not None]
        films = [one.film for one in seen if one.film is not None]
        given: dict[str, Any] = {"images": images} if images else {}
        if films:
            given |= {"videos": [film.frames for film in films]}
            given["videos_kwargs"] = {"do_sample_frames": False, "fps": films[0].fps}
        # The template has written what begins a prompt.
        options = {} if self.sees else {"add_special_tokens": False}
        try:
            batch = self.processor(text=[prompt], return_tensors="pt", **given, **options)
        except (ValueError, TypeError) as error:
            raise OmniTraceError(f"the model's processor refuses the sample: {error}.") from error
        layout.refuse_length(batch["input_ids"].shape[1], self.max_tokens)
        return {k: v for k, v in batch.items() if isinstance(v, torch.Tensor)}

    def _regions(self, ids: Int32, count: int) -> list[layout.Indices]:
        """The tokens of each medium: a run of one placeholder token."""
        held = np.where(np.isin(ids, list(self._holder_ids)), ids, -1)
        edges = np.flatnonzero(np.diff(held, prepend=-1, append=-1))
        runs = [np.arange(a, b) for a, b in pairwise(edges) if held[a] >= 0]
        if len(runs) != count:
            raise OmniTraceError(
                f"the processor lays {count} media out as {len(runs)} runs of placeholder "
                "tokens, so that they cannot be told apart: write words between them, or give "
                "the model an adapter of its own."
            )
        return runs

    def _place(
        self, timeline: Timeline, region: layout.Indices, seen: Seen, grid: list[int] | None
    ) -> None:
        """Fill in the patches of one medium where their grid is known, and a film's seconds."""
        modality = Modality.IMAGE if seen.film is None else Modality.VIDEO
        timeline.modality[region] = modality
        shape = self._merged(grid, len(region))
        if shape is not None:
            layout.place_patches(timeline, region, shape, modality)
        if seen.film is not None:
            groups = shape[0] if shape else 1
            length = (seen.medium.duration_s or 0.0) if shape is None else self._step(seen.film)
            starts = np.repeat(np.arange(groups) * length, len(region) // groups)
            duration = seen.medium.duration_s or 0.0
            layout.place_seconds(timeline, region, starts, length, duration)

    def _merged(self, grid: list[int] | None, count: int) -> tuple[int, int, int] | None:
        """Frames, rows and columns of the tokens: the processor's grid, or the square of a vision
        model that takes every picture at one size."""
        if grid is not None:
            merge = int(getattr(self.processor.image_processor, "merge_size", 1))
            shape = (int(grid[0]), int(grid[1]) // merge, int(grid[2]) // merge)
            return shape if math.prod(shape) == count else None
        vision = getattr(self.model.config, "vision_config", None)
        size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
        if isinstance(size, int) and isinstance(patch, int) and (size // patch) ** 2 == count:
            return 1, size // patch, size // patch
        return None

    def _step(self, film: media.Video) -> float:
        """Seconds of film that one row of the grid shows."""
        together = getattr(self.processor.video_processor, "temporal_patch_size", 1)
        return float(together) / film.fps

    def _to_model(self, value: torch.Tensor) -> torch.Tensor:
        dtype = self.model.dtype if value.is_floating_point() else value.dtype
        return value.to(self.model.device, dtype)
