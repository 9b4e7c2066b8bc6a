"""Toy text decoders of transformers' own classes, one for each way of attending, random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from omnitrace.prompt import Prompt
from omnitrace.timeline import Timeline
from recorder.inputs.samples import Sample
from recorder.models.adapter import Prepared
from recorder.models.settings import AS_STORED, Settings

hf: Any = transformers
"""Its constructors are untyped."""

VOCABULARY = 320
ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
WINDOW = 8
CALM = {"initializer_range": 0.08}
"""Where 0.2 makes steps of a state and a whole pass differ by more than 1e-6 in float32."""
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "full_attention_interval": 2,
}
QUERIES = {"gemma4_text": ("q_norm", 0.5), "nemotron_h": ("q_proj", 4.0)}
"""Model type → the parameters of its queries and what multiplies them, so that attention is neither
uniform nor on one token."""
MAMBA = {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_d_state": 16,
    "mamba_chunk_size": 16,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
ALTERNATING = ["sliding_attention", "full_attention"] * 2


def _decoder(make: str, configuration: str, **more: Any) -> Callable[[], Any]:
    """A function that makes the model anew, each time with the same weights."""

    def made() -> Any:
        torch.manual_seed(0)
        given = {name: value for name, value in {**SIZES, **more}.items() if value is not ...}
        model = getattr(hf, make)(getattr(hf, configuration)(**given))
        _spread(model)
        # No token ends an answer, so that every test has as many steps as it asks for.
        model.generation_config.eos_token_id = None
        model.generation_config.pad_token_id = 0
        return model.eval().requires_grad_(False)

    return made


def _spread(model: Any) -> None:
    """Draw what the classes initialise to a constant, so that nothing passes through as it is."""
    constant = ("sinks", "dt_bias", "conv1d.bias", ".D")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() or name.endswith(constant):
                parameter += 0.3 * torch.randn_like(parameter)
            part, factor = QUERIES.get(model.config.model_type, ("q_proj", 1.0))
            if part in name:
                parameter *= factor


DECODERS: dict[str, Callable[[], Any]] = {
    "llama": _decoder("LlamaForCausalLM", "LlamaConfig"),
    "mistral": _decoder("MistralForCausalLM", "MistralConfig", sliding_window=WINDOW),
    "qwen3": _decoder("Qwen3ForCausalLM", "Qwen3Config"),
    "phi3": _decoder("Phi3ForCausalLM", "Phi3Config", rope_parameters=ROPE),
    "olmo2": _decoder("Olmo2ForCausalLM", "Olmo2Config"),
    "granite": _decoder(
        "GraniteForCausalLM",
        "GraniteConfig",
        **CALM,
        embedding_multiplier=3.0,
        attention_multiplier=0.3,
        residual_multiplier=0.5,
        logits_scaling=2.0,
    ),
    "cohere2": _decoder(
        "Cohere2ForCausalLM", "Cohere2Config", sliding_window=WINDOW, layer_types=ALTERNATING
    ),
    "gemma2": _decoder(
        "Gemma2ForCausalLM",
        "Gemma2Config",
        sliding_window=WINDOW,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=20.0,
        query_pre_attn_scalar=16,
    ),
    "gemma3": _decoder(
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        sliding_window=WINDOW,
        layer_types=ALTERNATING,
        query_pre_attn_scalar=16,
    ),
    "gemma3n": _decoder(
        "Gemma3nForCausalLM",
        "Gemma3nTextConfig",
        vocab_size_per_layer_input=VOCABULARY,
        hidden_size_per_layer_input=8,
        num_kv_shared_layers=2,
        laurel_rank=4,
        altup_num_inputs=2,
        activation_sparsity_pattern=[0.9, 0.0, 0.5, 0.0],
        layer_types=ALTERNATING,
        intermediate_size=[96] * 4,
        sliding_window=WINDOW,
    ),
    "gemma4": _decoder(
        "Gemma4ForCausalLM",
        "Gemma4TextConfig",
        vocab_size_per_layer_input=VOCABULARY,
        hidden_size_per_layer_input=8,
        num_kv_shared_layers=2,
        layer_types=ALTERNATING,
        sliding_window=WINDOW,
        global_head_dim=32,
    ),
    "deepseek_v3": _decoder(
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        head_dim=...,
        num_key_value_heads=4,
        kv_lora_rank=16,
        q_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=24,
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
    ),
    "gpt_oss": _decoder(
        "GptOssForCausalLM",
        "GptOssConfig",
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=WINDOW,
        rope_parameters=ROPE,
    ),
    "llama4": _decoder(
        "Llama4ForCausalLM",
        "Llama4TextConfig",
        num_local_experts=2,
        intermediate_size_mlp=96,
        attention_chunk_size=16,
        no_rope_layers=[1, 1, 1, 0],
    ),
    "qwen3_next": _decoder(
        "Qwen3NextForCausalLM",
        "Qwen3NextConfig",
        shared_expert_intermediate_size=32,
        **LINEAR,
        **EXPERTS,
    ),
    "qwen3_5": _decoder(
        "Qwen3_5ForCausalLM",
        "Qwen3_5TextConfig",
        rope_parameters={
            **ROPE,
            "mrope_section": [2, 1, 1],
            "mrope_interleaved": True,
            "partial_rotary_factor": 0.5,
        },
        **LINEAR,
        **CALM,
    ),
    "lfm2": _decoder("Lfm2ForCausalLM", "Lfm2Config", layer_types=["conv", "full_attention"] * 2),
    "granitemoehybrid": _decoder(
        "GraniteMoeHybridForCausalLM",
        "GraniteMoeHybridConfig",
        layer_types=["mamba", "attention"] * 2,
        num_local_experts=4,
        num_experts_per_tok=2,
        shared_intermediate_size=96,
        mamba_expand=2,
        **MAMBA,
        **CALM,
    ),
    "falcon_h1": _decoder("FalconH1ForCausalLM", "FalconH1Config", mamba_d_ssm=128, **MAMBA),
    "nemotron_h": _decoder(
        "NemotronHForCausalLM",
        "NemotronHConfig",
        num_hidden_layers=...,
        layers_block_type=["mamba", "attention", "mlp", "moe", "attention"],
        mamba_num_heads=8,
        mamba_head_dim=16,
        ssm_state_size=16,
        chunk_size=16,
        n_groups=1,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        moe_shared_expert_intermediate_size=32,
        **CALM,
    ),
}
"""Name → function that makes the model in float32, its attention as it is by default."""


@dataclass
class TextAdapter:
    """A decoder whose samples are token ids: what the passes ask of an adapter."""

    model: Any
    decoder: str = ""
    settings: Settings = AS_STORED

    @property
    def layers(self) -> int:
        return int(self.model.config.get_text_config().num_hidden_layers)

    @property
    def max_tokens(self) -> int:
        return int(SIZES["max_position_embeddings"])

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset({VOCABULARY})  # none of the vocabulary

    def prepare(self, sample: Sample) -> Prepared:
        raise NotImplementedError

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(0x4E00 + token) for token in ids)

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - 0x4E00 for letter in text]


def prepared(ids: Sequence[int]) -> Prepared:
    """A prompt of token ids."""
    every = np.array(ids, np.int32)
    row = torch.tensor([list(ids)])
    inputs = {"input_ids": row, "attention_mask": torch.ones_like(row)}
    line = Timeline.blank(len(every))
    prompt = Prompt(id="", prompt_text="", prompt_ids=every, timeline=line, parts=(), media=())
    return Prepared(inputs, prompt)


def drawn_ids(count: int, seed: int = 0) -> list[int]:
    """Token ids that are no special ones."""
    ids: list[int] = np.random.default_rng(seed).integers(3, VOCABULARY, count).tolist()
    return ids
