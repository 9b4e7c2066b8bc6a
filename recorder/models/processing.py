"""A rendered prompt and its media through a model's processor, as `apply_chat_template` does it,
and what the processor reports of the layout of images and videos.

Knows the processors of transformers and the names in their outputs and configurations; not what the
tokens mean, and no model.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from omnitrace.arrays import Int32
from omnitrace.errors import SampleError
from recorder.inputs.loaded import Loaded
from recorder.models.placing import Geometry, Shape
from recorder.models.settings import first_sentence
from recorder.passes.batch import is_out_of_memory

NOT_INPUTS = ("text_replacement_offsets", "offset_mapping", "video_metadata")
KINDS = ("image", "video", "audio")


@dataclass(frozen=True)
class Processed:
    """What a processor made of one prompt.

    `ids` (n,) int32; `inputs`: keyword arguments of the model, tensors on the CPU, batch size 1;
    `options`: the keyword arguments of its tokenizer; `report`: the placeholders and their
    replacements, in order, None where the processor does not report them.
    """

    ids: Int32
    inputs: dict[str, Any]
    options: dict[str, Any]
    report: list[dict[str, Any]] | None


def audio_processor(processor: Any) -> Any:
    """The part of a processor that takes audio; None if it has none."""
    return getattr(processor, "audio_processor", getattr(processor, "feature_extractor", None))


def takes(processor: Any) -> dict[str, str]:
    """The kinds of media that a processor takes, each with the placeholder that it replaces."""
    parts = {
        "image": getattr(processor, "image_processor", None),
        "video": getattr(processor, "video_processor", None),
        "audio": audio_processor(processor),
    }
    tokens = {kind: getattr(processor, f"{kind}_token", None) for kind in KINDS}
    return {kind: str(tokens[kind]) for kind in KINDS if tokens[kind] and parts[kind] is not None}


def process(processor: Any, prompt: str, media: Sequence[Loaded]) -> Processed:
    """Ids and features of a prompt; SampleError where the processor does not take it.

    As transformers does: a tokenizer adds nothing to what the chat template wrote; a processor lets
    its tokenizer add what it adds, unless the prompt begins with BOS.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    begun = tokenizer.bos_token is not None and prompt.startswith(tokenizer.bos_token)
    options = {"add_special_tokens": False} if begun or tokenizer is processor else {}
    more = {} if tokenizer is processor else {"return_text_replacement_offsets": True}
    try:
        with warnings.catch_warnings():
            # transformers hands torch scalars to numpy 2; harmless.
            warnings.filterwarnings("ignore", "__array__ impl", DeprecationWarning)
            given = {**_media(processor, media), **options, **more}
            batch = processor(text=[prompt], return_tensors="pt", **given)
    except Exception as error:
        # Processors raise exceptions of any kind; the sample is refused, not the recording.
        if is_out_of_memory(error):
            raise
        raise SampleError(
            f"the model's processor refuses the sample: {first_sentence(error)}"
        ) from error
    report = batch.get("text_replacement_offsets")
    inputs = {key: value for key, value in batch.items() if key not in NOT_INPUTS}
    ids = batch["input_ids"][0].numpy().astype(np.int32)
    return Processed(ids, inputs, options, None if report is None else _of_one(report))


def _of_one(report: Any) -> list[dict[str, Any]]:
    """What is reported of the one prompt: nothing where there is no medium."""
    return list(report[0]) if len(report) else []


def _media(processor: Any, media: Sequence[Loaded]) -> dict[str, Any]:
    """The media as keyword arguments, images and videos in one list for the one prompt."""
    images = [one.image for one in media if one.image is not None]
    videos = [one.video for one in media if one.video is not None]
    audio = [one.audio for one in media if one.audio is not None and one.video is None]
    given: dict[str, Any] = {"images": [images]} if images else {}
    if videos:
        given["videos"] = [[video.frames for video in videos]]
        # The frames are those that were decoded, at even intervals: as a video of these alone.
        given["do_sample_frames"] = False
        given["video_metadata"] = [
            {
                "total_num_frames": len(video.frames),
                "fps": video.fps,
                "duration": video.duration_s,
                "frames_indices": list(range(len(video.frames))),
                "height": video.frames.shape[1],
                "width": video.frames.shape[2],
            }
            for video in videos
        ]
    if audio:
        given["audio"] = audio
        given["sampling_rate"] = audio_processor(processor).sampling_rate
    return given


def to_model(value: Any, model: Any) -> Any:
    """An input on the model's device, features in its dtype."""
    if isinstance(value, torch.Tensor):
        return value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
    return [to_model(one, model) for one in value] if isinstance(value, list) else value


def media_ids(processor: Any, config: Any) -> frozenset[int]:
    """The ids of the tokens whose embeddings are those of media, as configurations name them."""
    inner = (getattr(config, f"{part}_config", None) for part in ("text", "vision", "audio"))
    for owners in ((config, *inner), (processor,)):
        names = [f"{kind}_token_{suffix}" for kind in KINDS for suffix in ("id", "index")]
        found = [getattr(owner, name, None) for owner in owners for name in names]
        ids = frozenset(id for id in found if isinstance(id, int) and id >= 0)
        if ids:
            return ids
    return frozenset()


class Layouts:
    """The layouts of a prompt's media of one kind, taken in the order of the media.

    A processor gives one grid of frames, rows and columns a medium (`image_grid_thw`), or one shape
    a run of tokens (`spatial_shapes`, `image_position_ids`); others take every image at one size.
    """

    def __init__(self, processor: Any, config: Any, processed: Processed, kind: str) -> None:
        owner = getattr(processor, f"{kind}_processor", processor)
        self._merge = int(getattr(owner, "merge_size", None) or 1)
        self._together = int(getattr(owner, "temporal_patch_size", None) or 0)
        self._grids = _rows(processed.inputs.get(f"{kind}_grid_thw"))
        self._shapes = _run_shapes(processed, kind)
        self._side = side_of(processor, config)
        self._by_row = getattr(processor, "image_break_token", None) is not None
        self._tilings = _tilings(config) if kind == "image" else ()
        self._media = self._runs = 0

    def next(self, lengths: Sequence[int]) -> Geometry:
        """The next medium's, whose tokens are runs of these lengths."""
        number, first = self._media, self._runs
        self._media, self._runs = number + 1, first + len(lengths)
        grid = None
        if number < len(self._grids):
            frames, rows, columns = self._grids[number]
            grid = (frames, rows // self._merge, columns // self._merge)
        shapes = self._shapes[first : self._runs]
        merged = [_merged(shape, n) for shape, n in zip(shapes, lengths, strict=False)]
        found = tuple(shape for shape in merged if shape is not None)
        if len(found) != len(lengths):
            found = ()
        return Geometry(grid, self._side, found, self._by_row, self._tilings, self._together)


def side_of(processor: Any, config: Any) -> int:
    """Tokens that an image or tile of one size is high and wide; 0 if that is not known."""
    named = [
        getattr(owner, name, None)
        for owner, name in [
            (processor, "image_seq_length"),
            (processor, "image_seq_len"),
            (processor, "num_image_tokens"),
            (config, "mm_tokens_per_image"),
        ]
    ]
    vision = getattr(config, "vision_config", None)
    size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if isinstance(size, int) and isinstance(patch, int):
        ratio = getattr(vision, "pixel_shuffle_ratio", None) or 1
        named.append(round(size // patch * ratio) ** 2)
    counts = [n for n in named if isinstance(n, int) and n > 0 and math.isqrt(n) ** 2 == n]
    return math.isqrt(counts[0]) if counts else 0


def _tilings(config: Any) -> tuple[Shape, ...]:
    """Into how many rows and columns of tiles an image may be cut, () if unknown."""
    points = getattr(config, "image_grid_pinpoints", None) or ()
    tile = getattr(getattr(config, "vision_config", None), "image_size", None)
    if not isinstance(tile, int):
        return ()
    return tuple((height // tile, width // tile) for height, width in points)


def _rows(values: torch.Tensor | None) -> list[Any]:
    return [] if values is None else values.tolist()


def _run_shapes(processed: Processed, kind: str) -> list[Shape]:
    """Rows and columns of patches of each image, tile or frame, before patches are merged."""
    if kind == "image" and "spatial_shapes" in processed.inputs:
        return [(int(h), int(w)) for h, w in processed.inputs["spatial_shapes"].tolist()]
    positions = processed.inputs.get(f"{kind}_position_ids")  # (images, patches, 2): column, row
    if not isinstance(positions, torch.Tensor) or positions.dim() != 3:
        return []
    return [(int(row) + 1, int(column) + 1) for column, row in positions.amax(dim=1).tolist()]


def _merged(patches: Shape, count: int) -> Shape | None:
    """The shape of `count` tokens that each are a square of patches; None if there is none."""
    factor = math.isqrt(patches[0] * patches[1] // max(1, count))
    if not factor:
        return None
    shape = (patches[0] // factor, patches[1] // factor)
    return shape if shape[0] * shape[1] == count else None
