"""The tiny omni model before training: tokenizer, processor and thinker, Qwen2.5-Omni's classes.

Knows the words of planted evidence (the tokenizer is trained on them), nothing of the training.
"""

from __future__ import annotations

import json
from typing import Any

import torch
import transformers
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from recorder.planted import text as wording
from recorder.planted.samples import KINDS, SPLITS, make_plan

hf: Any = transformers
"""Its constructors are typed for strings where they take arrays."""

SPECIAL = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
    "message_bos_token": "<|im_start|>",
}
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif content['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif content['type'] == 'video' %}<|vision_bos|><|VIDEO|><|vision_eos|>"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH = 128
MEL_BINS = 80
LOCAL_LAYERS = 2
PIXELS = {"shortest_edge": 84 * 84, "longest_edge": 112 * 112}


def build_tokenizer(seed: int) -> Any:
    """A byte-level BPE tokenizer on planted prompts: any UTF-8 text encodes, common words are one
    token, and Qwen's special tokens carry Qwen's names."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        min_frequency=20,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    # "size" reaches the image and the video processor on every call: Any's own
    # default for videos (at least 100,352 pixels a frame) would drown a toy model in tokens.
    return hf.Qwen2Tokenizer(
        vocab=trained["vocab"],
        merges=merges,
        extra_special_tokens=SPECIAL,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        size=PIXELS,
    )


def _corpus(seed: int) -> list[str]:
    lines = ["system\nYou are a helpful assistant.\nuser\nassistant\n"] * 20
    for kind in KINDS:
        for offset in range(500):
            plan = make_plan(SPLITS["train"][seed * 1000 + offset], kind)
            lines += [part for part in plan.parts if isinstance(part, str)]
            lines.append(" ".join(text for text, _ in wording.answer(plan.questions, plan.facts)))
            lines.append(" ".join(q.absent for q in plan.questions))
    return lines


def build_processor(seed: int) -> Any:
    """Qwen2.5-Omni's processor; images and frames of 9 to 16 tokens, audio up to five minutes."""
    return hf.Qwen2_5OmniProcessor(
        image_processor=hf.Qwen2VLImageProcessor(size=PIXELS),
        video_processor=hf.Qwen2VLVideoProcessor(size=PIXELS, cap_pixels_per_frame=False),
        feature_extractor=hf.WhisperFeatureExtractor(
            feature_size=MEL_BINS, chunk_length=300, return_attention_mask=True
        ),
        tokenizer=build_tokenizer(seed),
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: Any, seed: int) -> Any:
    """The thinker at toy size, untrained."""
    torch.manual_seed(seed)
    config = hf.Qwen2_5OmniThinkerConfig(
        text_config=_text_config(tokenizer),
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [1],
        },
        audio_config={
            "num_mel_bins": MEL_BINS,
            "encoder_layers": 1,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 128,
            "d_model": 64,
            "output_dim": WIDTH,
            # Chunks of 8 s: the encoder's positions then tell the second within the recording.
            "n_window": 400,
        },
        audio_token_index=tokenizer.audio_token_id,
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        audio_start_token_id=tokenizer.audio_bos_token_id,
        audio_end_token_id=tokenizer.audio_eos_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
        vision_end_token_id=tokenizer.vision_eos_token_id,
        user_token_id=tokenizer.convert_tokens_to_ids("user"),
        tie_word_embeddings=False,
    )
    model = hf.Qwen2_5OmniThinkerForConditionalGeneration(config)
    for layer in model.model.language_model.layers[:LOCAL_LAYERS]:
        _attend_locally(layer.self_attn, model.model.language_model.rotary_emb.inv_freq)
    return model


@torch.no_grad()
def _attend_locally(attention: Any, frequencies: torch.Tensor, strength: float = 2.4) -> None:
    """Biases with which head h starts by attending about h + 1 tokens back.

    Binding a value to its object is the first thing to learn from text, and needs heads that look
    back a few tokens; from uniform attention they take thousands of steps to appear.
    """
    half, size = len(frequencies), attention.head_dim
    fast = frequencies * (torch.arange(half) < half // 2)
    loud = strength * (fast > 0)
    for head in range(attention.num_heads):
        start = head * size
        angle = fast * (head + 1)
        attention.q_proj.bias[start : start + half] = loud * angle.cos()
        attention.q_proj.bias[start + half : start + size] = -loud * angle.sin()
    for head in range(attention.num_key_value_heads):
        attention.k_proj.bias[head * size : head * size + half] = loud


def _text_config(tokenizer: Any) -> dict[str, object]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32_768,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [8, 4, 4],
        },
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "initializer_range": 0.05,
    }
