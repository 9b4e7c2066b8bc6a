"""Toy checkpoints of models of images and audio: Gemma 3n, Gemma 4 and Phi-4 multimodal."""

from __future__ import annotations

from typing import Any

from tests.recorder.toys import tokenizers, vision_chat
from tests.recorder.toys.common import ROPE, hf, sizes
from tests.recorder.toys.vision import IMAGE, VIDEO, ids, tower, toy

PUBLISHED_AUDIO_TOKENS = 188
"""Gemma 3n's tokens for each audio, whatever its length: 30 s at 160 ms a token."""
MEL_BINS = 32
SLIDING = ["sliding_attention", "full_attention"] * 2


def _gemma3n() -> tuple[Any, Any]:
    tokens = vision_chat.gemma3n()
    named = ids(
        tokens,
        boi_token_id="<start_of_image>",
        eoi_token_id="<end_of_image>",
        image_token_id="<image_soft_token>",
        boa_token_id="<start_of_audio>",
        eoa_token_id="<end_of_audio>",
        audio_token_id="<audio_soft_token>",
    )
    image, audio = named["eoi_token_id"], named["eoa_token_id"]
    decoder = sizes(
        tokens,
        sliding_window=24,
        layer_types=SLIDING,
        vocab_size_per_layer_input=image,
        hidden_size_per_layer_input=8,
        num_kv_shared_layers=2,
        laurel_rank=4,
        altup_num_inputs=2,
        activation_sparsity_pattern=[0.5, 0.0, 0.0, 0.0],
        rope_parameters={"full_attention": ROPE, "sliding_attention": ROPE},
    )
    images = {
        "architecture": "resnet10t",
        "initializer_range": 0.2,
        "model_args": {"channels": [8, 8, 16, 32], "stem_width": 8},
        "hidden_size": 32,
        "vocab_size": vision_chat.GEMMA3N_SPAN,
        "vocab_offset": image,
    }
    config = hf.Gemma3nConfig(
        text_config=decoder,
        vision_config=images,
        audio_config={
            "vocab_size": vision_chat.GEMMA3N_SPAN,
            "vocab_offset": audio,
            "input_feat_size": MEL_BINS,
            "hidden_size": 32,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "initializer_range": 0.2,
            "sscp_conv_channel_size": (8, 4),
        },
        vision_soft_tokens_per_image=16,
        audio_soft_tokens_per_image=PUBLISHED_AUDIO_TOKENS,
        initializer_range=0.2,
        **named,
    )
    processor = hf.Gemma3nProcessor(
        feature_extractor=hf.Gemma3nAudioFeatureExtractor(feature_size=MEL_BINS),
        image_processor=hf.SiglipImageProcessor(size={"height": 128, "width": 128}),
        tokenizer=tokens,
        image_seq_length=16,
        audio_seq_length=PUBLISHED_AUDIO_TOKENS,
        chat_template=vision_chat.GEMMA3N,
    )
    return hf.Gemma3nForConditionalGeneration(config), processor


def _gemma4() -> tuple[Any, Any]:
    tokens = tokenizers.gemma(
        "<|turn>",
        "<turn|>",
        "<|video|>",
        boi_token="<|image>",
        eoi_token="<image|>",
        image_token="<|image|>",
        boa_token="<|audio>",
        eoa_token="<audio|>",
        audio_token="<|audio|>",
    )
    decoder = sizes(
        tokens,
        sliding_window=24,
        layer_types=SLIDING,
        vocab_size_per_layer_input=len(tokens),
        hidden_size_per_layer_input=8,
        num_kv_shared_layers=2,
        global_head_dim=32,
        final_logit_softcapping=30.0,
    )
    images = tower(num_key_value_heads=2, head_dim=16, patch_size=4, position_embedding_size=256)
    del images["image_size"]
    config = hf.Gemma4Config(
        text_config=decoder,
        vision_config=images,
        audio_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "subsampling_conv_channels": [MEL_BINS, 4],
            "output_proj_dims": 32,
            "initializer_range": 0.2,
        },
        initializer_range=0.2,
        **ids(
            tokens,
            boi_token_id="<|image>",
            eoi_token_id="<image|>",
            image_token_id="<|image|>",
            video_token_id="<|video|>",
            boa_token_id="<|audio>",
            eoa_token_index="<audio|>",
            audio_token_id="<|audio|>",
        ),
    )
    processor = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(feature_size=MEL_BINS),
        image_processor=hf.Gemma4ImageProcessor(patch_size=4, max_soft_tokens=70),
        video_processor=hf.Gemma4VideoProcessor(patch_size=4, max_soft_tokens=70),
        tokenizer=tokens,
        image_seq_length=70,
        chat_template=vision_chat.GEMMA4,
    )
    return hf.Gemma4ForConditionalGeneration(config), processor


def _phi4_multimodal() -> tuple[Any, Any]:
    tokens = tokenizers.phi4_mini(image_token="<|image|>", audio_token="<|audio|>")
    # The class counts 32 by 32 patches a crop, whatever the settings.
    crop, patch = 128, 4
    decoder = sizes(
        tokens,
        rope_parameters={**ROPE, "partial_rotary_factor": 0.75},
        original_max_position_embeddings=4096,
    )
    del decoder["head_dim"]
    config = hf.Phi4MultimodalConfig(
        **decoder,
        vision_config={
            **tower(image_size=crop, patch_size=patch),
            "crop_size": crop,
            "image_token_id": tokens.image_token_id,
        },
        audio_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_blocks": 2,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 32,
            "depthwise_separable_out_channel": 32,
            "nemo_conv_channels": 8,
            "input_size": MEL_BINS,
            "bias_max_distance": 100,
            "initializer_range": 0.2,
            "audio_token_id": tokens.audio_token_id,
        },
    )
    processor = hf.Phi4MultimodalProcessor(
        image_processor=hf.Phi4MultimodalImageProcessor(
            size={"height": crop, "width": crop}, patch_size=patch, dynamic_hd=2
        ),
        audio_processor=hf.Phi4MultimodalFeatureExtractor(feature_size=MEL_BINS),
        tokenizer=tokens,
        chat_template=vision_chat.PHI4_MULTIMODAL,
    )
    return hf.Phi4MultimodalForCausalLM(config), processor


TOYS = {
    "gemma3n": toy(_gemma3n, IMAGE | {"audio"}, "<eos>", "<end_of_turn>", group="omni"),
    "gemma4": toy(_gemma4, VIDEO | {"audio"}, "<eos>", "<turn|>", group="omni"),
    "phi4_multimodal": toy(
        _phi4_multimodal, IMAGE | {"audio"}, "<|endoftext|>", "<|end|>", group="omni"
    ),
}
