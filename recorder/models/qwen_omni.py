"""Qwen2.5-Omni, any size: the full model's checkpoint or a bare thinker (the bundled one is that).

Its own processor makes the ids and features; here every token of the result gets its meaning:
which content part, which medium, which second, which patch. Knows nothing of capture or stores.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers

from omnitrace.arrays import Float32, Int32
from omnitrace.errors import SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Modality, Timeline
from recorder.inputs.loaded import Loaded, frame_rate
from recorder.inputs.loaded import load as load_medium
from recorder.inputs.media import Limits
from recorder.inputs.samples import Content, Sample
from recorder.models import layout
from recorder.models.adapter import BaseAdapter, ModelSpec, Prepared
from recorder.models.day import fixed_day
from recorder.models.loading import load_model, load_processor
from recorder.models.render import parts_of, render
from recorder.models.settings import Settings, Weights

FLOAT_INPUTS = ("input_features", "pixel_values", "pixel_values_videos")
NONE = torch.zeros(0, 0, dtype=torch.long)
UNUSED_INPUTS = ("video_metadata", "num_audio_tokens")
NAMES_VIDEOS_WITH_AUDIO = hasattr(transformers.processing_utils, "OmniModalProcessorMixin")
"""Whether this transformers takes videos with and without audio in one prompt (5.17 does not)."""


@dataclass(frozen=True)
class Size:
    """Tokens of a medium: those of its merged patch `grid` (t, h, w), those of its audio, or both.

    A video with audio has two tokens more, which wrap the two.
    """

    grid: tuple[int, int, int]
    audio: int

    @property
    def tokens(self) -> int:
        patches = int(np.prod(self.grid))
        return patches + self.audio + (2 if patches and self.audio else 0)


def load(spec: ModelSpec, weights: Weights, settings: Settings) -> QwenOmni:
    """Load processor and thinker (never the talker), for inference."""
    thinker = load_model(spec, weights, transformers.Qwen2_5OmniThinkerForConditionalGeneration)
    processor = load_processor(spec, settings, transformers.Qwen2_5OmniProcessor)
    return QwenOmni(thinker, processor, settings)


class QwenOmni(BaseAdapter):
    """A thinker and its processor."""

    decoder = "text_config"

    def __init__(self, model: Any, processor: Any, settings: Settings) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.settings = settings
        self.rate = int(processor.feature_extractor.sampling_rate)
        frames = 1200  # a whole number of seconds, so that no token is cut
        hop_seconds = processor.feature_extractor.hop_length / self.rate
        self.token_seconds = hop_seconds * frames / self._audio_tokens(frames)

    def prepare(self, sample: Sample) -> Prepared:
        layout.refuse_control_tokens(sample.messages, self.tokenizer)
        loaded = self.load_media(sample)
        with fixed_day(self.processor, self.settings.date):
            rendered = render(sample, self._template, self.settings.template_args)
        batch = self._process(rendered.text, loaded)
        ids = batch["input_ids"][0].numpy().astype(np.int32)
        sizes = self._sizes(batch, loaded)
        parts = parts_of(sample.messages)
        media_parts = [index for index, part in enumerate(parts) if part.medium >= 0]
        template = layout.tokenize(self.tokenizer, rendered, self._placeholders, {})
        counts = [size.tokens for size in sizes]
        part = template.spread(ids, list(zip(media_parts, counts, strict=True)))
        prompt = layout.prompt_of_texts(
            sample, ids, part, self.decode, (one.medium for one in loaded)
        )
        timeline = prompt.timeline
        regions = [np.flatnonzero(part == index) for index in media_parts]
        for index, (medium, size) in enumerate(zip(loaded, sizes, strict=True)):
            self._place(timeline, ids, regions[index], medium, size)
            layout.place_medium(timeline, regions[index], parts, index)
        inputs = self._inputs(batch, loaded, regions)
        return Prepared(inputs, prompt, rendered.absent)

    def load_media(self, sample: Sample) -> list[Loaded]:
        """The media, decoded: videos at one frame rate, that of the longest, unless a part sets
        its own; SampleError if rates differ and one of the videos has audio."""
        wanted, contents = self.settings.fps, sample.media
        files = [one for one in contents if one.kind == "video" and not one.frames]
        shared = [frame_rate(one, wanted) for one in files if one.fps is None]
        loaded = [self._load(content, min([wanted, *shared])) for content in contents]
        videos = [one for one in loaded if one.video is not None]
        rates = {one.video.fps for one in videos if one.video is not None}
        if len(rates) > 1 and any(one.audio is not None for one in videos):
            raise SampleError(
                "the model's processor lays audio out beside its video at one frame rate a prompt, "
                f"and the videos have {', '.join(f'{rate:g}' for rate in sorted(rates))} frames a "
                "second: set one fps for all of them."
            )
        return loaded

    def _load(self, content: Content, fps: float) -> Loaded:
        limits = Limits(self.settings.min_pixels, self.settings.max_pixels)
        loaded = load_medium(content, fps, self.rate, limits)
        if loaded.audio is None or self._tokens_of(loaded.audio):
            return loaded
        if loaded.video is None:
            raise SampleError(
                f"{one_line(content.name)} is too short: {len(loaded.audio)} samples make no token."
            )
        return replace(loaded, audio=None)

    def _tokens_of(self, audio: Float32) -> int:
        hop = int(self.processor.feature_extractor.hop_length)
        return self._audio_tokens(-(-len(audio) // hop))

    def _audio_tokens(self, frames: int) -> int:
        """Tokens that the audio tower makes of this many mel frames."""
        inner = self.model.model  # in transformers 5.17 the towers hang on the outer model
        tower = inner.audio_tower if hasattr(inner, "audio_tower") else self.model.audio_tower
        return int(tower._get_feat_extract_output_lengths(torch.tensor(frames))[1])

    def _template(self, messages: list[dict[str, Any]], **options: Any) -> str:
        text: str = self.processor.apply_chat_template(messages, **options)
        return text

    def _process(self, prompt: str, loaded: Sequence[Loaded]) -> dict[str, Any]:
        """Ids and features by the model's own processor, as tensors on the CPU."""
        given: dict[str, Any] = {
            "images": [m.image for m in loaded if m.image is not None] or None,
            "videos": [m.video.frames for m in loaded if m.video is not None] or None,
            "audio": [m.audio for m in loaded if m.audio is not None] or None,
            "videos_kwargs": {"do_sample_frames": False},
            "audio_kwargs": {"max_length": self._padding(loaded)},
        }
        videos = [m.video for m in loaded if m.video is not None]
        if videos:
            given["videos_kwargs"]["fps"] = videos[0].fps
        given |= _audio_in_videos(loaded)
        try:
            with warnings.catch_warnings():
                # transformers hands torch scalars to numpy 2; harmless.
                warnings.filterwarnings("ignore", "__array__ impl", DeprecationWarning)
                batch = self.processor(text=[prompt], return_tensors="pt", **given)
        except ValueError as error:
            raise SampleError(f"the model's processor refuses the sample: {error}.") from error
        layout.refuse_length(batch["input_ids"].shape[1], self.max_tokens)
        if videos:  # The processor takes one frame rate for all.
            together = int(self.processor.video_processor.temporal_patch_size)
            seconds = [together / video.fps for video in videos]
            batch["video_second_per_grid"] = torch.tensor(seconds)
        return {k: v for k, v in batch.items() if k not in UNUSED_INPUTS}

    def _padding(self, loaded: Sequence[Loaded]) -> int:
        """Samples to pad audio to: silence enough that no frame is changed by the end.

        The processor's own five minutes give the same features, much slower, and cut off the rest.
        """
        extractor = self.processor.feature_extractor
        longest = max((len(m.audio) for m in loaded if m.audio is not None), default=0)
        hop, window = int(extractor.hop_length), int(extractor.n_fft)
        return math.ceil((longest + 2 * window) / hop) * hop

    def _sizes(self, batch: dict[str, Any], loaded: Sequence[Loaded]) -> list[Size]:
        """What each medium became, in order."""
        merge = int(self.processor.image_processor.merge_size)
        images, videos = (
            iter([(t, h // merge, w // merge) for t, h, w in batch.get(key, NONE).tolist()])
            for key in ("image_grid_thw", "video_grid_thw")
        )
        frames = batch.get("feature_attention_mask", NONE).sum(-1).tolist()
        audio = iter([self._audio_tokens(count) for count in frames])
        return [
            Size(
                next(images) if m.image else next(videos) if m.video else (0, 0, 0),
                next(audio) if m.audio is not None else 0,
            )
            for m in loaded
        ]

    @property
    def _placeholders(self) -> tuple[int, int, int]:
        config = self.model.config
        return config.image_token_id, config.video_token_id, config.audio_token_id

    def _place(
        self, timeline: Timeline, ids: Int32, region: layout.Indices, m: Loaded, size: Size
    ) -> None:
        """Fill in patches and seconds of one medium."""
        image, video, audio = (region[ids[region] == token] for token in self._placeholders)
        seconds = m.medium.duration_s or 0.0
        if m.image is not None:
            layout.place_patches(timeline, image, size.grid, Modality.IMAGE)
        if m.video is not None:
            layout.place_patches(timeline, video, size.grid, Modality.VIDEO)
            step = int(self.processor.video_processor.temporal_patch_size) / m.video.fps
            layout.place_seconds(timeline, video, timeline.frame[video] * step, step, seconds)
        if m.audio is not None:
            timeline.modality[audio] = Modality.AUDIO
            starts = np.arange(len(audio)) * self.token_seconds
            duration = len(m.audio) / self.rate
            layout.place_seconds(timeline, audio, starts, self.token_seconds, duration)

    def _inputs(
        self, batch: dict[str, Any], loaded: Sequence[Loaded], regions: Sequence[layout.Indices]
    ) -> dict[str, Any]:
        """The batch on the model's device, features in its dtype."""
        videos = [m for m in loaded if m.video is not None]
        with_audio = [m for m in videos if m.audio is not None]
        inputs = dict(batch)
        if with_audio:
            inputs["use_audio_in_video"] = True
        if 0 < len(with_audio) < len(videos):
            cuts = [int(region[-1]) + 2 for region in regions]
            inputs["position_ids"] = rope_positions(self.model, batch, loaded, cuts)
        return {key: self._to_model(key, value) for key, value in inputs.items()}

    def _to_model(self, key: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        dtype = self.model.dtype if key in FLOAT_INPUTS else value.dtype
        return value.to(self.model.device, dtype)


def _audio_in_videos(loaded: Sequence[Loaded]) -> dict[str, Any]:
    """The processor's arguments that say which audio belongs to videos; audio stands in order."""
    videos = [m for m in loaded if m.video is not None]
    with_audio = [index for index, m in enumerate(videos) if m.audio is not None]
    if not with_audio:
        return {}
    if NAMES_VIDEOS_WITH_AUDIO:
        order = iter(with_audio)
        slots = [next(order) if m.video else None for m in loaded if m.audio is not None]
        return {"load_audio_from_video": True, "audio_from_video_indices": slots}
    if len(with_audio) < len(videos):
        raise SampleError(
            f"films with and without sound in one prompt need a newer transformers than "
            f"{transformers.__version__}."
        )
    return {"use_audio_in_video": True}


def rope_positions(
    model: Any, batch: dict[str, Any], loaded: Sequence[Loaded], cuts: Sequence[int]
) -> torch.Tensor:
    """(4, 1, n) position ids, medium by medium; `cuts` end each medium's stretch of the prompt.

    The model's own function takes all videos of a prompt as with audio or all as silent. Called on
    stretches with one medium each, which follow one another, it is right for both.
    """
    ids = batch["input_ids"]
    images, videos = (iter(batch.get(k, NONE)) for k in ("image_grid_thw", "video_grid_thw"))
    seconds = iter(batch.get("video_second_per_grid", NONE))
    frames = iter(batch.get("feature_attention_mask", NONE).sum(-1))
    stretches = []
    start = offset = 0
    for m, end in zip([*loaded, None], [*cuts, ids.shape[1]], strict=True):
        piece = ids[:, start:end]
        video, audio = bool(m and m.video), bool(m and m.audio is not None)
        own, _ = model.get_rope_index(
            piece,
            image_grid_thw=next(images)[None] if m and m.image else None,
            video_grid_thw=next(videos)[None] if video else None,
            attention_mask=torch.ones_like(piece),
            use_audio_in_video=video and audio,
            audio_seqlens=next(frames)[None] if audio else None,
            second_per_grids=next(seconds)[None] if video else None,
        )
        if piece.shape[1]:
            stretches.append(own + offset)
            offset = int(stretches[-1].max()) + 1
        start = end
    text = torch.arange(ids.shape[1])[None, None]
    return torch.cat([text, torch.cat(stretches, dim=-1)])
