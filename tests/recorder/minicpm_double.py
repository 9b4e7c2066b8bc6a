"""A small double of MiniCPM-o 4.5's published code: its interface, none of its networks.

Copied into a checkpoint's folder it is that model's own code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoTokenizer, ProcessorMixin, Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM, Qwen3PreTrainedModel

QUERIES = 4
POOL = 5
HOP = 160
STATISTICS = 4


class MiniCPMOConfig(Qwen3Config):
    model_type = "minicpmo"
    audio_chunk_length: float = 1.0
    init_vision: bool = True
    init_audio: bool = True
    init_tts: bool = True


class MiniCPMO(Qwen3PreTrainedModel):
    config_class = MiniCPMOConfig
    terminators = ("<|im_end|>", "<|endoftext|>")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.llm: Any = Qwen3ForCausalLM(config)
        self.vision = nn.Linear(12, QUERIES * config.hidden_size)
        self.audio = nn.Linear(STATISTICS, config.hidden_size)
        self.post_init()

    def get_vllm_embedding(self, data: Any) -> Any:
        embeds = self.llm.model.embed_tokens(data["input_ids"]).clone()
        for row, slices in enumerate(data["pixel_values"]):
            for pixels, bound in zip(slices, data["image_bound"][row], strict=True):
                seen = self.vision(functional.adaptive_avg_pool2d(pixels, 2).flatten())
                embeds[row, bound[0] : bound[1]] = seen.view(QUERIES, -1)
        return embeds, []

    def get_omni_embedding(self, data: Any, input_embeddings: Any, chunk_length: float) -> Any:
        assert chunk_length == 1.0
        for row, lengths in enumerate(data["audio_feature_lens"]):
            pooled = [
                functional.avg_pool1d(features[:, :length], 2 * POOL, 2 * POOL).T
                for features, length in zip(data["audio_features"], lengths, strict=True)
            ]
            bounds = [torch.arange(*bound) for bound in data["audio_bounds"][row].tolist()]
            if bounds:
                input_embeddings[row, torch.cat(bounds)] = self.audio(torch.cat(pooled))
        return input_embeddings


class ImageProcessor:
    def slices(self, picture: Any, most: int | None) -> int:
        return 1 if most == 1 else 1 + (picture.width > 300)

    def get_slice_image_placeholder(
        self, size: Any, number: int, most: int | None, use_image_id: bool | None
    ) -> str:
        name = "" if use_image_id is False else f"<image_id>{number}</image_id>"
        more = "" if most == 1 or size[0] <= 300 else f"<slice>{'<unk>' * QUERIES}</slice>\n"
        return f"{name}<image>{'<unk>' * QUERIES}</image>{more}"


class MiniCPMOProcessor(ProcessorMixin):
    """`__call__` is positional, as the model's own `chat` calls it."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any
    ) -> MiniCPMOProcessor:
        processor = cls.__new__(cls)
        processor.tokenizer = AutoTokenizer.from_pretrained(
            pretrained_model_name_or_path, trust_remote_code=True
        )
        processor.image_processor = ImageProcessor()
        return processor

    tokenizer: Any
    image_processor: Any

    def get_audio_placeholder(self, length: int, chunk_input: bool, chunk_length: int) -> str:
        def wrapped(count: int) -> str:
            return f"<|audio_start|>{'<unk>' * count}<|audio_end|>"

        def tokens(frames: int) -> int:
            return (((frames - 1) // 2 + 1) - POOL) // POOL + 1

        left, chunk = tokens(math.ceil(length / HOP)), tokens(chunk_length * 100)
        if not chunk_input:
            return wrapped(left)
        sizes = [min(chunk, left - start) for start in range(0, left, chunk)]
        return "".join(map(wrapped, sizes))

    def __call__(
        self,
        text: list[str],
        images: list[list[Any]],
        audios: list[list[Any]],
        audio_parts: list[list[int]],
        max_length: int,
        max_slice_nums: int | None,
        use_image_id: bool | None,
        chunk_input: bool,
        return_tensors: str,
    ) -> dict[str, Any]:
        [prompt], [pictures], [sounds], [parts] = text, images, audios, audio_parts
        for number, picture in enumerate(pictures):
            new = self.image_processor.get_slice_image_placeholder(
                picture.size, number, max_slice_nums, use_image_id
            )
            prompt = prompt.replace("(<image>./</image>)", new, 1)
        for sound in sounds:
            new = self.get_audio_placeholder(len(sound), chunk_input, 1)
            prompt = prompt.replace("(<audio>./</audio>)", new, 1)
        ids = torch.tensor(self.tokenizer.encode(prompt)[:max_length], dtype=torch.int32)
        heard = [
            np.concatenate([s for s, p in zip(sounds, parts, strict=True) if p == part])
            for part in dict.fromkeys(parts)
        ]
        features = [_statistics(sound) for sound in heard]
        slices = [
            torch.from_numpy(np.asarray(picture, np.float32) / 255).movedim(-1, 0)
            for picture in pictures
            for _ in range(self.image_processor.slices(picture, max_slice_nums))
        ]
        longest = max((f.shape[1] for f in features), default=0)
        padded = [functional.pad(f, (0, longest - f.shape[1])) for f in features]
        return {
            "input_ids": ids[None],
            "attention_mask": torch.ones(1, len(ids), dtype=torch.bool),
            "pixel_values": [slices],
            "image_sizes": [[picture.size for picture in pictures]],
            "tgt_sizes": [torch.ones(len(slices), 2, dtype=torch.int32)],
            "image_bound": [self._bounds(ids, ("<image>", "<slice>"), ("</image>", "</slice>"))],
            "audio_bounds": [self._bounds(ids, ("<|audio_start|>",), ("<|audio_end|>",))],
            "audio_features": torch.stack(padded) if padded else [],
            "audio_feature_lens": [torch.tensor([f.shape[1] for f in features])],
        }

    def _bounds(self, ids: Any, starts: Any, ends: Any) -> Any:
        first, last = (
            torch.where(torch.isin(ids, torch.tensor(self.tokenizer.convert_tokens_to_ids(names))))
            for names in (list(starts), list(ends))
        )
        return torch.stack([first[0] + 1, last[0]], dim=1)


def _statistics(sound: Any) -> Any:
    """(STATISTICS, frames): how loud each frame is, at four offsets."""
    frames = math.ceil(len(sound) / HOP)
    whole = np.zeros(frames * HOP, np.float32)
    whole[: len(sound)] = np.abs(sound)
    return torch.from_numpy(whole.reshape(frames, STATISTICS, -1).mean(-1).T.copy())
