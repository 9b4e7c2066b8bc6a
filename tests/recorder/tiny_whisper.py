"""A Whisper of random weights with a real tokenizer of a few words, made in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

SECONDS = 2
"""Whisper hears thirty seconds at a time; this one two, or the tests would take minutes."""

WORDS = ["Ġthe", "Ġlamp", "Ġis", "Ġred", "Ġtwo", ".", "?"]
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>",
           "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>",
           "<|notimestamps|>"]  # fmt: skip


def write_tiny_whisper(folder: Path) -> Path:
    hf: Any = transformers
    folder.mkdir()
    vocabulary = {word: number for number, word in enumerate(["!", *WORDS])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = hf.WhisperTokenizer.from_pretrained(folder)
    stamps = [f"<|{number * 0.02:.2f}|>" for number in range(1501)]
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.add_tokens(stamps)
    of = tokenizer.convert_tokens_to_ids
    extractor = hf.WhisperFeatureExtractor(feature_size=8, chunk_length=SECONDS)
    hf.WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = hf.WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=8, d_model=16, max_source_positions=50 * SECONDS,
        encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, max_target_positions=48,
        bos_token_id=of("<|endoftext|>"), eos_token_id=of("<|endoftext|>"),
        pad_token_id=of("<|endoftext|>"), decoder_start_token_id=of("<|startoftranscript|>"),
    )  # fmt: skip
    model = hf.WhisperForConditionalGeneration(config)
    model.generation_config = hf.GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id, decoder_start_token_id=config.decoder_start_token_id,
        max_length=24, is_multilingual=True, return_timestamps=False,
        lang_to_id={"<|en|>": of("<|en|>"), "<|de|>": of("<|de|>")},
        task_to_id={"translate": of("<|translate|>"), "transcribe": of("<|transcribe|>")},
        no_timestamps_token_id=of("<|notimestamps|>"), prev_sot_token_id=of("<|startofprev|>"),
        alignment_heads=[[0, 0], [1, 1]], max_initial_timestamp_index=50,
    )  # fmt: skip
    model.save_pretrained(folder)
    return folder
