"""Qwen3-Omni's thinker: the prompt of Qwen2.5-Omni, with another audio tower.

Tested at toy size with transformers' own classes, not on a released checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe

from recorder.models.adapter import ModelSpec
from recorder.models.loading import load_model, load_processor
from recorder.models.qwen_omni import QwenOmni
from recorder.models.settings import Settings, Weights

hf: Any = transformers
_modeling: Any = modeling_qwen3_omni_moe


def load(spec: ModelSpec, weights: Weights, settings: Settings) -> Qwen3Omni:
    """Load processor and thinker (never the talker), for inference."""
    thinker = load_model(spec, weights, hf.Qwen3OmniMoeThinkerForConditionalGeneration)
    processor = load_processor(spec, settings, hf.Qwen3OmniMoeProcessor)
    return Qwen3Omni(thinker, processor, settings)


class Qwen3Omni(QwenOmni):
    """A thinker and its processor."""

    def _audio_tokens(self, frames: int) -> int:
        count = torch.tensor(frames)
        return int(_modeling._get_feat_extract_output_lengths(count, self.processor.n_window))
