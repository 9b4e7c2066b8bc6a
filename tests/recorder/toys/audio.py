"""Toy checkpoints of chat models that take text and audio.

The feature extractors keep the published frame rates (100 a second, windows of 30 seconds); where
the class allows it they have 16 mel bands instead of 80 or 128.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import torch

from tests.recorder.toys import templates, tokenizers
from tests.recorder.toys.common import ROPE, Toy, checkpoint, draw, hf, sizes

TAKES = frozenset({"text", "audio"})
MELS = 16
TOWER = {"num_mel_bins": MELS, "initializer_range": 0.2}
WHISPER = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}

QWEN2_AUDIO_TEMPLATE = r"""
{%- set audios = namespace(count=0) %}
{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\n' }}
    {%- if message['content'] is string %}
        {{- message['content'] }}
    {%- else %}
        {%- for part in message['content'] %}
            {%- if part['type'] == 'audio' %}
                {%- set audios.count = audios.count + 1 %}
                {{- 'Audio ' + audios.count | string }}
                {{- ': <|audio_bos|><|AUDIO|><|audio_eos|>\n' }}
            {%- elif 'text' in part %}
                {{- part['text'] }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""
"""As published: every audio is counted, and a line break follows it."""

FLAMINGO_TEMPLATE = r"""
{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\n' }}
    {%- if message['content'] is string %}
        {{- message['content'] }}
    {%- else %}
        {%- if message['content'] | selectattr('type', 'equalto', 'audio') | list %}
            {{- '<sound>' }}
        {%- endif %}
        {%- for part in message['content'] if part['type'] == 'text' %}
            {{- part['text'] }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""
"""As published: one placeholder a message, before its texts, however many audios it has."""


def _whisper() -> Any:
    return hf.WhisperFeatureExtractor(feature_size=MELS, return_attention_mask=True)


def _qwen2_audio() -> tuple[Any, Any]:
    tokens = tokenizers.qwen("<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>")
    processor = hf.Qwen2AudioProcessor(
        feature_extractor=_whisper(), tokenizer=tokens, chat_template=QWEN2_AUDIO_TEMPLATE
    )
    config = hf.Qwen2AudioConfig(
        text_config={**_text(tokens), "model_type": "qwen2"},
        audio_config={**TOWER, **WHISPER},
        audio_token_index=processor.audio_token_id,
    )
    return hf.Qwen2AudioForConditionalGeneration(config), processor


def _audioflamingo3() -> tuple[Any, Any]:
    tokens = tokenizers.qwen("<sound>")
    processor = hf.AudioFlamingo3Processor(
        feature_extractor=_whisper(), tokenizer=tokens, chat_template=FLAMINGO_TEMPLATE
    )
    config = hf.AudioFlamingo3Config(
        text_config={**_text(tokens), "model_type": "qwen2"},
        audio_config={
            **TOWER,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        audio_token_id=processor.audio_token_id,
    )
    return hf.AudioFlamingo3ForConditionalGeneration(config), processor


def _granite_speech() -> tuple[Any, Any]:
    """As published: the template takes strings, in which the user writes the placeholder."""
    # 80 mel bands, two frames a column: 5.23 does not save another number of bands.
    tokens = tokenizers.granite("<|audio|>")
    tokens.chat_template = templates.GRANITE
    processor = hf.GraniteSpeechProcessor(
        audio_processor=hf.GraniteSpeechFeatureExtractor(), tokenizer=tokens
    )
    settings = {
        "embedding_multiplier": 2.0,
        "attention_multiplier": 0.2,
        "residual_multiplier": 0.5,
        "logits_scaling": 4.0,
    }
    config = hf.GraniteSpeechConfig(
        text_config={**_text(tokens, **settings), "model_type": "granite"},
        encoder_config={
            "num_layers": 2,
            "hidden_dim": 32,
            "num_heads": 2,
            "output_dim": 8,
        },
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "encoder_hidden_size": 32,
            "initializer_range": 0.2,
        },
        audio_token_index=tokens.convert_tokens_to_ids("<|audio|>"),
        has_lora_adapter=False,
        initializer_range=0.2,
    )
    return hf.GraniteSpeechForConditionalGeneration(config), processor


TURNS = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
TOOLS = (
    *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    "[TOOL_CALLS]",
)
IMAGES = ("[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]")
OTHERS = ("[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")
UNUSED = ("[TOOL_CONTENT]", *(f"<SPECIAL_{number}>" for number in range(20, 24)))
AUDIO = ("[AUDIO]", "[BEGIN_AUDIO]", "[TRANSCRIBE]")
MARKS = (*TURNS, *TOOLS, *IMAGES, *OTHERS, *UNUSED, *AUDIO)
"""Voxtral's special tokens: `VoxtralProcessor` takes number 24 as the audio's."""


def tekken_file() -> dict[str, Any]:
    """The content of a `tekken.json`: bytes and the merged pieces after the special tokens."""
    pieces = [bytes([byte]) for byte in range(256)]
    pieces += [piece.encode() for piece in (" the", "What", "do", "you", " hear", " in")]
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
        for rank, piece in enumerate(pieces)
    ]
    marks = [
        {"rank": rank, "token_str": mark, "is_control": True} for rank, mark in enumerate(MARKS)
    ]
    return {
        "config": {
            "pattern": r"\w+|[^\w\s]+|\s+",
            "num_vocab_tokens": len(pieces),
            "default_vocab_size": len(pieces) + len(marks),
            "default_num_special_tokens": len(marks),
            "version": "v7",
        },
        "vocab": vocabulary,
        "special_tokens": marks,
        "audio": {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {
                "num_mel_bins": MELS,
                "hop_length": 160,
                "window_size": 400,
            },
            "chunk_length_s": 30.0,
        },
    }


def _voxtral(folder: Path) -> None:
    """As published: the tokenizer is a `tekken.json`, which mistral_common alone can apply."""
    torch.manual_seed(0)
    tekken = tekken_file()
    decoder = {
        "vocab_size": tekken["config"]["default_vocab_size"],
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "initializer_range": 0.2,
        "rope_parameters": ROPE,
    }
    config = hf.VoxtralConfig(
        text_config={**decoder, "model_type": "llama"},
        audio_config={
            **TOWER,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            # Four frames of the tower become one token.
            "intermediate_size": 128,
        },
        audio_token_id=MARKS.index("[AUDIO]"),
    )
    model = hf.VoxtralForConditionalGeneration(config)
    settings = model.generation_config
    settings.bos_token_id, settings.eos_token_id, settings.pad_token_id = 1, 2, 11
    draw(model).save_pretrained(folder)
    extractor = hf.WhisperFeatureExtractor(feature_size=MELS)
    extractor.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    about = json.loads(path.read_text()) | {"processor_class": "VoxtralProcessor"}
    path.write_text(json.dumps(about))
    (folder / "tekken.json").write_text(json.dumps(tekken))


def _text(tokens: Any, **more: Any) -> dict[str, Any]:
    """`sizes` for decoders whose width of a head follows from their width."""
    made = sizes(tokens, rope_parameters=ROPE, **more)
    del made["head_dim"]
    return made


QWEN_ENDS = ("<|im_end|>", "<|endoftext|>")
MULTIMODAL = "AutoModelForMultimodalLM"

TOYS: dict[str, Toy] = {
    "qwen2_audio": Toy(checkpoint(_qwen2_audio, QWEN_ENDS), TAKES, "audio", MULTIMODAL),
    # In transformers 5.23 the mapping of multimodal language models lacks it.
    "audioflamingo3": Toy(
        checkpoint(_audioflamingo3, QWEN_ENDS), TAKES, "audio", "AutoModelForSeq2SeqLM"
    ),
    "granite_speech": Toy(
        checkpoint(_granite_speech, ("<|end_of_text|>",)),
        TAKES,
        "audio",
        MULTIMODAL,
        needs=("torchaudio",),
    ),
    "voxtral": Toy(_voxtral, TAKES, "audio", MULTIMODAL, needs=("mistral_common",)),
}
