"""A thinker with Qwen2.5-Omni-7B's proportions at any size, random weights, and prompts for it.

Knows how such a model is built and recorded; nothing of what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from omnitrace.prompt import Prompt
from omnitrace.timeline import Timeline
from recorder.inputs.samples import Sample
from recorder.models.adapter import Prepared
from recorder.models.settings import AS_STORED
from recorder.passes.capture import install

hf: Any = transformers
"""Its constructors are untyped."""


@dataclass(frozen=True)
class Shape:
    """Layers, width, heads and key-value heads of 128 each, and words, of the text decoder."""

    layers: int
    width: int
    heads: int
    groups: int
    words: int


SMALL = Shape(layers=8, width=512, heads=4, groups=1, words=152_064 // 7)
FULL = Shape(layers=28, width=3584, heads=28, groups=4, words=152_064)
"""Qwen2.5-Omni-7B's own; `SMALL` has its proportions at a seventh of its width."""


class Thinker:
    """A model with random weights, with what recording asks of an adapter."""

    decoder = "text_config"
    max_tokens = 65_536
    settings = AS_STORED

    def __init__(self, shape: Shape, device: str, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        config = _config(shape)
        with torch.device(device):
            torch.set_default_dtype(dtype)
            self.model = hf.Qwen2_5OmniThinkerForConditionalGeneration(config)
            torch.set_default_dtype(torch.float32)
        self.model.requires_grad_(False).eval()
        self.layers = shape.layers
        self.eos_ids = frozenset({shape.words - 1})
        self.words = shape.words

    def attend(self, how: str) -> None:
        """`omnitrace`, or one of transformers' own."""
        if how == "omnitrace":
            install(self.model, self.decoder)
        else:
            self.model.set_attn_implementation({self.decoder: how})

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def prompt(self, n: int, seed: int = 0) -> Prepared:
        """n random tokens of text."""
        return self._prepared(np.random.default_rng(seed).integers(0, self.words - 100, n))

    def prepare(self, sample: Sample) -> Prepared:
        """A sample whose words are the numbers of tokens."""
        words = " ".join(part.text for message in sample.messages for part in message.parts)
        return self._prepared(np.array(self.encode(words)))

    def _prepared(self, numbers: npt.NDArray[np.int64]) -> Prepared:
        ids = numbers.astype(np.int32)
        tokens = torch.from_numpy(ids.astype(np.int64))[None].to(self.model.device)
        inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        line = Timeline.blank(len(ids))
        prompt = Prompt(id="", prompt_text="", prompt_ids=ids, timeline=line, parts=(), media=())
        return Prepared(inputs, prompt)


def _config(shape: Shape) -> Any:
    return hf.Qwen2_5OmniThinkerConfig(
        text_config={
            "vocab_size": shape.words,
            "hidden_size": shape.width,
            "intermediate_size": round(shape.width * 18_944 / 3584),
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.groups,
            "max_position_embeddings": 65_536,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1_000_000.0,
                "mrope_section": [16, 24, 24],
            },
        },
        vision_config={"depth": 1, "hidden_size": 64, "num_heads": 2, "intermediate_size": 64,
                       "out_hidden_size": shape.width},
        audio_config={"encoder_layers": 1, "d_model": 64, "encoder_attention_heads": 2,
                      "encoder_ffn_dim": 64, "output_dim": shape.width},
        pad_token_id=shape.words - 2,
        eos_token_id=shape.words - 1,
        image_token_index=shape.words - 3,
        video_token_index=shape.words - 4,
        audio_token_index=shape.words - 5,
        vision_start_token_id=shape.words - 6,
        vision_end_token_id=shape.words - 7,
        audio_start_token_id=shape.words - 8,
        audio_end_token_id=shape.words - 9,
    )  # fmt: skip


def synchronise(device: str) -> None:
    """Wait for the device, so that a clock tells the truth."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
