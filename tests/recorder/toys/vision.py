"""Toy checkpoints of vision chat models whose images become one grid of tokens."""

from __future__ import annotations

from typing import Any

from tests.recorder.toys import tokenizers, vision_chat
from tests.recorder.toys.common import ROPE, Toy, checkpoint, hf, sizes

IMAGE = frozenset({"text", "image"})
VIDEO = IMAGE | {"video"}
MULTIMODAL = "AutoModelForMultimodalLM"
NEEDS = {"gemma3n": "timm", "smolvlm": "num2words"}
"""Packages without which transformers can neither make nor load a family's checkpoint."""
QWEN_TOWER = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 64,
    "initializer_range": 0.2,
}
MROPE = {**ROPE, "mrope_section": [4, 2, 2]}
INTERLEAVED = {**MROPE, "mrope_interleaved": True}
PIXELS = {"shortest_edge": 112 * 112, "longest_edge": 168 * 168}
"""Bounds of an image's pixels: 16 to 36 tokens where one takes 28 pixels by 28."""
VIDEO_PIXELS = {"shortest_edge": 8 * 84 * 84, "longest_edge": 8 * 112 * 112}
"""Bounds of the pixels of a video where they count for all its frames."""


def tower(**more: Any) -> dict[str, Any]:
    """A vision transformer of two layers and width 32; images of 56 by 56, patches of 14."""
    return {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "initializer_range": 0.2,
        **more,
    }


def ids(tokens: Any, **names: str) -> dict[str, int]:
    """The tokens' ids, by the configuration's names."""
    return {name: tokens.convert_tokens_to_ids(token) for name, token in names.items()}


def _qwen_ids(tokens: Any) -> dict[str, int]:
    return ids(
        tokens,
        image_token_id="<|image_pad|>",
        video_token_id="<|video_pad|>",
        vision_start_token_id="<|vision_start|>",
        vision_end_token_id="<|vision_end|>",
    )


def _qwen2_vl() -> tuple[Any, Any]:
    tokens = vision_chat.qwen()
    config = hf.Qwen2VLConfig(
        text_config=sizes(tokens, rope_parameters=MROPE),
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 64,
            "mlp_ratio": 1,
            "num_heads": 2,
            "initializer_range": 0.2,
        },
        **_qwen_ids(tokens),
    )
    processor = hf.Qwen2VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(size=PIXELS),
        video_processor=hf.Qwen2VLVideoProcessor(size=PIXELS, cap_pixels_per_frame=False),
        tokenizer=tokens,
        chat_template=vision_chat.QWEN2_VL,
    )
    return hf.Qwen2VLForConditionalGeneration(config), processor


def _qwen2_5_vl() -> tuple[Any, Any]:
    tokens = vision_chat.qwen()
    config = hf.Qwen2_5_VLConfig(
        text_config=sizes(tokens, rope_parameters=MROPE),
        vision_config={**QWEN_TOWER, "fullatt_block_indexes": [1]},
        **_qwen_ids(tokens),
    )
    processor = hf.Qwen2_5_VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(size=PIXELS),
        video_processor=hf.Qwen2VLVideoProcessor(size=PIXELS, cap_pixels_per_frame=False),
        tokenizer=tokens,
        chat_template=vision_chat.QWEN2_VL,
    )
    return hf.Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_processor(tokens: Any, template: str) -> Any:
    return hf.Qwen3VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(size=PIXELS, patch_size=16),
        video_processor=hf.Qwen3VLVideoProcessor(size=VIDEO_PIXELS),
        tokenizer=tokens,
        chat_template=template,
    )


def _qwen3_vl() -> tuple[Any, Any]:
    tokens = vision_chat.qwen()
    config = hf.Qwen3VLConfig(
        text_config=sizes(tokens, rope_parameters=INTERLEAVED),
        vision_config={
            **QWEN_TOWER,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_qwen_ids(tokens),
    )
    processor = _qwen3_processor(tokens, vision_chat.QWEN3_VL)
    return hf.Qwen3VLForConditionalGeneration(config), processor


def _qwen3_5() -> tuple[Any, Any]:
    tokens = vision_chat.qwen()
    decoder = sizes(
        tokens,
        rope_parameters={**INTERLEAVED, "partial_rotary_factor": 1.0},
        layer_types=["linear_attention", "full_attention"] * 2,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
    )
    config = hf.Qwen3_5Config(
        text_config=decoder,
        vision_config={**QWEN_TOWER, "num_position_embeddings": 64},
        **_qwen_ids(tokens),
    )
    processor = _qwen3_processor(tokens, vision_chat.QWEN3_5)
    return hf.Qwen3_5ForConditionalGeneration(config), processor


def _glm4v() -> tuple[Any, Any]:
    tokens = vision_chat.glm()
    config = hf.Glm4vConfig(
        text_config=sizes(tokens, rope_parameters={**MROPE, "partial_rotary_factor": 1.0}),
        vision_config={**QWEN_TOWER, "image_size": 112},
        **ids(
            tokens,
            image_token_id="<|image|>",
            video_token_id="<|video|>",
            image_start_token_id="<|begin_of_image|>",
            image_end_token_id="<|end_of_image|>",
            video_start_token_id="<|begin_of_video|>",
            video_end_token_id="<|end_of_video|>",
        ),
    )
    processor = hf.Glm4vProcessor(
        image_processor=hf.Glm4vImageProcessor(size=PIXELS),
        video_processor=hf.Glm4vVideoProcessor(size=VIDEO_PIXELS, max_image_size=VIDEO_PIXELS),
        tokenizer=tokens,
        chat_template=vision_chat.GLM4V,
    )
    return hf.Glm4vForConditionalGeneration(config), processor


def _gemma3() -> tuple[Any, Any]:
    tokens = tokenizers.gemma(
        boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>"
    )
    config = hf.Gemma3Config(
        text_config=sizes(
            tokens, sliding_window=24, layer_types=["sliding_attention", "full_attention"] * 2
        ),
        vision_config=tower(image_size=112),
        mm_tokens_per_image=16,
        boi_token_index=tokens.boi_token_id,
        eoi_token_index=tokens.eoi_token_id,
        image_token_index=tokens.image_token_id,
        initializer_range=0.2,
    )
    processor = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size={"height": 112, "width": 112}),
        tokenizer=tokens,
        image_seq_length=16,
        chat_template=vision_chat.GEMMA3,
    )
    return hf.Gemma3ForConditionalGeneration(config), processor


def _llava() -> tuple[Any, Any]:
    tokens = tokenizers.llama2(image_token="<image>")
    config = hf.LlavaConfig(
        text_config=hf.LlamaConfig(**sizes(tokens)),
        vision_config=hf.CLIPVisionConfig(**tower()),
        image_token_index=tokens.image_token_id,
        image_seq_length=16,
    )
    processor = hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(
            size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}
        ),
        tokenizer=tokens,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=vision_chat.LLAVA,
    )
    return hf.LlavaForConditionalGeneration(config), processor


def toy(build: Any, takes: frozenset[str], *eos: str, group: str = "vision") -> Toy:
    """The family's toy, which the multimodal auto class loads; `eos` end a generation."""
    return Toy(checkpoint(build, eos), takes, group, MULTIMODAL)


QWEN_EOS = ("<|im_end|>", "<|endoftext|>")
TOYS = {
    "qwen2_vl": toy(_qwen2_vl, VIDEO, *QWEN_EOS),
    "qwen2_5_vl": toy(_qwen2_5_vl, VIDEO, *QWEN_EOS),
    "qwen3_vl": toy(_qwen3_vl, VIDEO, *QWEN_EOS),
    "qwen3_5": toy(_qwen3_5, VIDEO, *QWEN_EOS),
    "glm4v": toy(_glm4v, VIDEO, "<|endoftext|>", "<|user|>"),
    "gemma3": toy(_gemma3, IMAGE, "<eos>", "<end_of_turn>"),
    "llava": toy(_llava, IMAGE, "</s>"),
}
