"""Toy checkpoints of text chat models."""

from __future__ import annotations

from typing import Any

from tests.recorder.toys import templates, tokenizers
from tests.recorder.toys.common import ROPE, TEXT, Toy, checkpoint, hf, sizes

WINDOW = 8
"""Of sliding attention: shorter than any prompt."""


def _toy(name: str, tokens: Any, template: str, eos: tuple[str, ...], **settings: Any) -> Toy:
    """A toy of the classes `{name}Config` and `{name}ForCausalLM`; a setting of None is left out.

    `published` among the settings goes to `checkpoint`; `config` names another configuration.
    """
    published = settings.pop("published", None)
    configuration = settings.pop("config", f"{name}Config")

    def build() -> tuple[Any, Any]:
        made = tokens()
        made.chat_template = template
        given = {key: value for key, value in sizes(made, **settings).items() if key not in without}
        model = getattr(hf, f"{name}ForCausalLM")
        return model(getattr(hf, configuration)(**given)), made

    without = {key for key, value in settings.items() if value is None}
    return Toy(checkpoint(build, eos, published=published), TEXT, "text")


LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1_000_000.0},
    "sliding_attention": ROPE,
}
ALTERNATING = ["sliding_attention", "full_attention"] * 2

TOYS: dict[str, Toy] = {
    "llama3": _toy(
        "Llama",
        tokenizers.llama3,
        templates.LLAMA3,
        ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        rope_parameters=LLAMA3_ROPE,
    ),
    "mistral": _toy(
        "Mistral",
        tokenizers.mistral,
        templates.MISTRAL,
        ("</s>",),
        rope_parameters=ROPE,
        sliding_window=WINDOW,
    ),
    "gemma2": _toy(
        "Gemma2",
        tokenizers.gemma,
        templates.GEMMA2,
        ("<eos>", "<end_of_turn>"),
        rope_parameters=ROPE,
        query_pre_attn_scalar=8,
        sliding_window=WINDOW,
        # Small, so that forgetting a cap would show in the rows and in the tokens.
        attn_logit_softcapping=2.0,
        final_logit_softcapping=5.0,
    ),
    "gemma3_text": _toy(
        "Gemma3",
        tokenizers.gemma,
        templates.GEMMA3,
        ("<eos>", "<end_of_turn>"),
        config="Gemma3TextConfig",
        rope_parameters=GEMMA3_ROPE,
        query_pre_attn_scalar=8,
        sliding_window=WINDOW,
        layer_types=ALTERNATING,
    ),
    "qwen3": _toy(
        "Qwen3",
        tokenizers.qwen,
        templates.QWEN3,
        ("<|im_end|>", "<|endoftext|>"),
        rope_parameters=ROPE,
        tie_word_embeddings=True,
    ),
    "deepseek_v3": _toy(
        "DeepseekV3",
        tokenizers.deepseek,
        templates.DEEPSEEK,
        ("<｜end▁of▁sentence｜>",),
        published="LlamaTokenizerFast",
        rope_parameters=ROPE,
        head_dim=None,
        num_key_value_heads=4,
        kv_lora_rank=16,
        q_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=16,
        n_routed_experts=4,
        n_group=2,
        topk_group=1,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
    ),
    "gpt_oss": _toy(
        "GptOss",
        tokenizers.gpt_oss,
        templates.GPT_OSS,
        ("<|return|>", "<|endoftext|>", "<|call|>"),
        rope_parameters=ROPE,
        intermediate_size=32,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=WINDOW,
        layer_types=ALTERNATING,
    ),
    "phi3": _toy(
        "Phi3",
        tokenizers.phi3,
        templates.PHI3,
        ("<|endoftext|>", "<|assistant|>", "<|end|>"),
        published="LlamaTokenizerFast",
        rope_parameters=ROPE,
        sliding_window=WINDOW,
    ),
    "phi4": _toy(
        "Phi3",
        tokenizers.phi4,
        templates.PHI4,
        ("<|endoftext|>", "<|im_end|>"),
        published="GPT2TokenizerFast",
        rope_parameters=ROPE,
    ),
    "olmo2": _toy(
        "Olmo2",
        tokenizers.olmo2,
        templates.OLMO2,
        ("<|endoftext|>",),
        published="GPT2TokenizerFast",
        rope_parameters=ROPE,
    ),
    "granite": _toy(
        "Granite",
        tokenizers.granite,
        templates.GRANITE,
        ("<|end_of_text|>",),
        published="GPT2TokenizerFast",
        rope_parameters=ROPE,
        tie_word_embeddings=True,
        embedding_multiplier=2.0,
        attention_multiplier=0.2,
        residual_multiplier=0.5,
        logits_scaling=4.0,
    ),
    "smollm": _toy(
        "Llama",
        tokenizers.smollm,
        templates.SMOLLM,
        ("<|im_end|>",),
        published="GPT2TokenizerFast",
        rope_parameters=ROPE,
        tie_word_embeddings=True,
    ),
}
