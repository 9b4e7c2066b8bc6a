"""GGUF files of toys, as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""transformers' names of a Llama layer's modules → GGUF's."""


def write_gguf(
    path: Path,
    tokens: Any,
    *,
    pre: str | None = "gpt-2",
    architecture: str = "llama",
    keys: Mapping[str, Any] | None = None,
    model: Any = None,
) -> Path:
    """A GGUF file of a tokenizer, with `keys` of the tokenizer set besides; its chat template and
    the Llama `model` if one is given."""
    writer = gguf.GGUFWriter(str(path), architecture)
    _write_tokenizer(writer, tokens, pre)
    for key, value in (keys or {}).items():
        add = writer.add_bool if isinstance(value, bool) else writer.add_uint32
        add(f"tokenizer.ggml.{key}", value)
    if tokens.chat_template:
        writer.add_chat_template(tokens.chat_template)
    if model is not None:
        _write_model(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_tokenizer(writer: Any, tokens: Any, pre: str | None) -> None:
    data = json.loads(tokens.backend_tokenizer.to_str())
    added = {token["id"]: token["special"] for token in data["added_tokens"]}
    pieces = bool(data["model"].get("byte_fallback"))
    words = tokens.convert_ids_to_tokens(range(len(tokens)))
    types = [
        (CONTROL if added[id] else USER_DEFINED) if id in added
        else BYTE if pieces and word.startswith("<0x") else NORMAL
        for id, word in enumerate(words)
    ]  # fmt: skip
    # As the converter does it: runs of spaces are written as such.
    spelled = [word.replace("▁", " ") if pieces and not word.strip("▁") else word for word in words]
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(spelled if pieces else words)
    writer.add_token_types(types)
    if pieces:
        writer.add_token_scores([-float(id) for id in range(len(words))])
    else:
        merges = data["model"]["merges"]
        writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    for name in ("bos", "eos", "unk", "pad"):
        id = getattr(tokens, f"{name}_token_id")
        if id is not None:
            getattr(writer, f"add_{name}_token_id")(id)


def _write_model(writer: Any, model: Any) -> None:
    config = model.config
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(shared)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    if not config.tie_word_embeddings:
        writer.add_tensor("output.weight", weights["lm_head.weight"])
    for layer in range(config.num_hidden_layers):
        for name, short in LAYER_TENSORS.items():
            value = weights[f"model.layers.{layer}.{name}.weight"]
            if short in {"attn_q", "attn_k"}:
                value = _interleaved(value, heads if short == "attn_q" else shared)
            writer.add_tensor(f"blk.{layer}.{short}.weight", value)


def _interleaved(value: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """The rows of each head in llama.cpp's order of rotary embeddings: pairs, not halves."""
    rows = value.shape[0] // heads // 2
    pairs = torch.from_numpy(value).reshape(heads, 2, rows, -1).transpose(1, 2)
    return pairs.reshape(value.shape).contiguous().numpy()
