"""Toy checkpoints over the bundled tokenizer: omni models, and a Llama without BOS.

`minicpm_o` brings its own code.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from recorder.config import TINY_OMNI
from tests.recorder import minicpm_double
from tests.recorder.minicpm_double import MiniCPMO, MiniCPMOConfig
from tests.recorder.toys.common import ROPE, TEXT, Toy, hf, sizes
from training.omni_model import CHAT_TEMPLATE, PIXELS

EVERYTHING = frozenset({"text", "image", "audio", "video"})
TEXT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Any:
    """The bundled model's: a byte-level BPE with Qwen's special tokens."""
    return hf.AutoTokenizer.from_pretrained(TINY_OMNI)


def special(tokens: Any) -> dict[str, int]:
    """Ids of the placeholders, as configurations name them."""
    return {
        "image_token_id": tokens.image_token_id,
        "video_token_id": tokens.video_token_id,
        "vision_start_token_id": tokens.vision_bos_token_id,
        "vision_end_token_id": tokens.vision_eos_token_id,
    }


def _text(make: str, configuration: str, **more: Any) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        torch.manual_seed(0)
        tokens = tokenizer()
        tokens.chat_template = TEXT_TEMPLATE
        config = getattr(hf, configuration)(**sizes(tokens, **more))
        _save(getattr(hf, make)(config), tokens, folder)

    return save


def _save(model: Any, processor: Any, folder: Path) -> None:
    model.generation_config.eos_token_id = model.config.get_text_config().eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _qwen3_omni(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = tokenizer()
    rope = {**ROPE, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config = hf.Qwen3OmniMoeThinkerConfig(
        text_config=sizes(
            tokens,
            rope_parameters=rope,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
            decoder_sparse_step=1,
        ),
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 64,
            "patch_size": 14,
            "deepstack_visual_indexes": [0, 1],
        },
        audio_config={
            "num_mel_bins": 80,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "d_model": 32,
            "output_dim": 64,
            "downsample_hidden_size": 8,
        },
        **special(tokens),
        audio_token_id=tokens.audio_token_id,
        audio_start_token_id=tokens.audio_bos_token_id,
        audio_end_token_id=tokens.audio_eos_token_id,
    )
    processor = hf.Qwen3OmniMoeProcessor(
        image_processor=hf.Qwen2VLImageProcessor(size=PIXELS),
        video_processor=hf.Qwen2VLVideoProcessor(size=PIXELS, cap_pixels_per_frame=False),
        feature_extractor=hf.WhisperFeatureExtractor(
            feature_size=80, chunk_length=300, return_attention_mask=True
        ),
        tokenizer=tokens,
        chat_template=CHAT_TEMPLATE,
    )
    _save(hf.Qwen3OmniMoeThinkerForConditionalGeneration(config), processor, folder)


def _minicpm_o(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = tokenizer()
    marks = ["image", "/image", "slice", "/slice", "image_id", "/image_id", "unit", "unk"]
    marks = [f"<{mark}>" for mark in marks] + ["<|audio_start|>", "<|audio_end|>"]
    tokens.add_special_tokens({"additional_special_tokens": marks})
    tokens.chat_template = TEXT_TEMPLATE
    config = MiniCPMOConfig(**sizes(tokens, rope_parameters=ROPE, tie_word_embeddings=False))
    MiniCPMO(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    code = "modeling_minicpmo"
    shutil.copy(minicpm_double.__file__, folder / f"{code}.py")
    path = folder / "config.json"
    own = {"AutoConfig": f"{code}.MiniCPMOConfig", "AutoModel": f"{code}.MiniCPMO"}
    about = json.loads(path.read_text()) | {"model_type": "minicpmo", "auto_map": own}
    path.write_text(json.dumps(about))
    processor = {"auto_map": {"AutoProcessor": f"{code}.MiniCPMOProcessor"}}
    (folder / "processor_config.json").write_text(json.dumps(processor))


TOYS: dict[str, Toy] = {
    "llama": Toy(_text("LlamaForCausalLM", "LlamaConfig", rope_parameters=ROPE), TEXT, "text"),
    "qwen3_omni": Toy(_qwen3_omni, EVERYTHING, "omni", "AutoModelForMultimodalLM"),
    "minicpm_o": Toy(_minicpm_o, EVERYTHING, "omni", "AutoModel"),
}
