"""Toy checkpoints of vision models that cut an image: into tiles, into rows, with newlines."""

from __future__ import annotations

from typing import Any

from tests.recorder.toys import tokenizers, vision_chat
from tests.recorder.toys.common import hf, sizes
from tests.recorder.toys.vision import IMAGE, QWEN_EOS, VIDEO, ids, tower, toy

PINPOINTS = [[56, 112], [112, 56], [112, 112]]
"""The sizes that LLaVA-NeXT and LLaVA-OneVision cut into tiles of 56 by 56."""


def _square(edge: int) -> dict[str, int]:
    return {"height": edge, "width": edge}


def _llava_next() -> tuple[Any, Any]:
    tokens = tokenizers.mistral(pad_token="<pad>", image_token="<image>")
    config = hf.LlavaNextConfig(
        text_config=hf.MistralConfig(**sizes(tokens, sliding_window=None)),
        vision_config=hf.CLIPVisionConfig(**tower()),
        image_token_index=tokens.image_token_id,
        image_grid_pinpoints=PINPOINTS,
        image_seq_length=16,
    )
    processor = hf.LlavaNextProcessor(
        image_processor=hf.LlavaNextImageProcessor(
            size={"shortest_edge": 56}, crop_size=_square(56), image_grid_pinpoints=PINPOINTS
        ),
        tokenizer=tokens,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=vision_chat.LLAVA_NEXT,
    )
    return hf.LlavaNextForConditionalGeneration(config), processor


def _llava_onevision() -> tuple[Any, Any]:
    tokens = tokenizers.qwen(image_token="<image>", video_token="<video>")
    config = hf.LlavaOnevisionConfig(
        text_config=hf.Qwen2Config(**sizes(tokens)),
        vision_config=hf.SiglipVisionConfig(**tower(), vision_use_head=False),
        image_token_index=tokens.image_token_id,
        video_token_index=tokens.video_token_id,
        image_grid_pinpoints=PINPOINTS,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(
            size=_square(56), image_grid_pinpoints=PINPOINTS
        ),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=_square(56)),
        tokenizer=tokens,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=vision_chat.LLAVA_ONEVISION,
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def _internvl() -> tuple[Any, Any]:
    tokens = tokenizers.qwen(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = hf.InternVLConfig(
        text_config=hf.Qwen2Config(**sizes(tokens)),
        vision_config=tower(image_size=[112, 112], patch_size=[14, 14]),
        image_token_id=tokens.context_image_token_id,
        image_seq_length=16,
    )
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=_square(112), max_patches=4),
        video_processor=hf.InternVLVideoProcessor(size=_square(112)),
        tokenizer=tokens,
        image_seq_length=16,
        chat_template=vision_chat.INTERNVL,
    )
    return hf.InternVLForConditionalGeneration(config), processor


def _idefics_parts(tokens: Any) -> dict[str, Any]:
    """The settings of both configurations: tiles of 56 by 56, each of 16 tokens."""
    return {
        "text_config": hf.LlamaConfig(**sizes(tokens)),
        "vision_config": tower(patch_size=7),
        "image_token_id": tokens.convert_tokens_to_ids("<image>"),
        "scale_factor": 2,
        "pad_token_id": tokens.pad_token_id,
    }


def _idefics3() -> tuple[Any, Any]:
    tokens = vision_chat.idefics3()
    processor = hf.Idefics3Processor(
        image_processor=hf.Idefics3ImageProcessor(
            size={"longest_edge": 112}, max_image_size={"longest_edge": 56}
        ),
        tokenizer=tokens,
        image_seq_len=16,
        chat_template=vision_chat.IDEFICS3,
    )
    config = hf.Idefics3Config(**_idefics_parts(processor.tokenizer))
    return hf.Idefics3ForConditionalGeneration(config), processor


def _smolvlm() -> tuple[Any, Any]:
    tokens = vision_chat.smolvlm()
    processor = hf.SmolVLMProcessor(
        image_processor=hf.SmolVLMImageProcessor(
            size={"longest_edge": 112}, max_image_size={"longest_edge": 56}
        ),
        video_processor=hf.SmolVLMVideoProcessor(
            size={"longest_edge": 56}, max_image_size={"longest_edge": 56}
        ),
        tokenizer=tokens,
        image_seq_len=16,
        chat_template=vision_chat.SMOLVLM,
    )
    config = hf.SmolVLMConfig(**_idefics_parts(processor.tokenizer))
    return hf.SmolVLMForConditionalGeneration(config), processor


def _mistral3() -> tuple[Any, Any]:
    tokens = tokenizers.tekken("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    image = tower(image_size=168, head_dim=16)
    config = hf.Mistral3Config(
        text_config=hf.MistralConfig(**sizes(tokens, sliding_window=None)),
        vision_config=hf.PixtralVisionConfig(**image),
        image_token_index=tokens.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    processor = hf.PixtralProcessor(
        image_processor=hf.PixtralImageProcessor(size={"longest_edge": 168}, patch_size=14),
        tokenizer=tokens,
        patch_size=14,
        spatial_merge_size=2,
        chat_template=vision_chat.MISTRAL3,
    )
    return hf.Mistral3ForConditionalGeneration(config), processor


def _llama4() -> tuple[Any, Any]:
    tokens = tokenizers.llama4(
        "<|image_start|>",
        "<|image_end|>",
        "<|image|>",
        "<|patch|>",
        "<|tile_x_separator|>",
        "<|tile_y_separator|>",
    )
    decoder = sizes(
        tokens,
        num_local_experts=2,
        intermediate_size_mlp=96,
        interleave_moe_layer_step=2,
        attention_chunk_size=64,
    )
    config = hf.Llama4Config(
        text_config=decoder,
        vision_config={
            **tower(image_size=112),
            "intermediate_size": 128,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
        },
        **ids(
            tokens,
            boi_token_index="<|image_start|>",
            eoi_token_index="<|image_end|>",
            image_token_index="<|patch|>",
        ),
    )
    processor = hf.Llama4Processor(
        image_processor=hf.Llama4ImageProcessor(size=_square(112), max_patches=4),
        tokenizer=tokens,
        patch_size=14,
        chat_template=vision_chat.LLAMA4,
    )
    return hf.Llama4ForConditionalGeneration(config), processor


def _lfm2_vl() -> tuple[Any, Any]:
    tokens = vision_chat.lfm2()
    image = tower(patch_size=8, num_patches=64)
    del image["image_size"]
    config = hf.Lfm2VlConfig(
        text_config=hf.Lfm2Config(
            **sizes(tokens, layer_types=["conv", "full_attention", "conv", "full_attention"])
        ),
        vision_config=hf.Siglip2VisionConfig(**image),
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        projector_hidden_size=64,
    )
    processor = hf.Lfm2VlProcessor(
        image_processor=hf.Lfm2VlImageProcessor(
            encoder_patch_size=8,
            tile_size=64,
            min_image_tokens=4,
            max_image_tokens=16,
            max_tiles=4,
        ),
        tokenizer=tokens,
        chat_template=vision_chat.LFM2_VL,
    )
    return hf.Lfm2VlForConditionalGeneration(config), processor


TOYS = {
    "llava_next": toy(_llava_next, IMAGE, "</s>"),
    "llava_onevision": toy(_llava_onevision, VIDEO, *QWEN_EOS),
    "internvl": toy(_internvl, VIDEO, *QWEN_EOS),
    "idefics3": toy(_idefics3, IMAGE, "<end_of_utterance>", "<|end_of_text|>"),
    "smolvlm": toy(_smolvlm, VIDEO, "<end_of_utterance>", "<|endoftext|>"),
    "mistral3": toy(_mistral3, IMAGE, "</s>"),
    "llama4": toy(_llama4, IMAGE, "<|eot|>", "<|end_of_text|>"),
    "lfm2_vl": toy(_lfm2_vl, IMAGE, "<|im_end|>", "<|endoftext|>"),
}
