"""The bundled thinker as a plain text model, for peers that take no other.

On a prompt of text alone the three axes of a thinker's positions are equal, and M-RoPE is plain
RoPE: with the same weights, Qwen2ForCausalLM says the same (tests/benchmarks/test_peers.py). Knows
no peer.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from omnitrace.arrays import Int32

AS_IT_IS = "{{ messages[0]['content'] }}"
"""A chat template that adds nothing: what peers are given has been through the model's own."""


def text_model(thinker: Any) -> Any:
    """A Qwen2ForCausalLM with the weights of the text part of a Qwen2.5-Omni `thinker`."""
    given = thinker.config.text_config.to_dict()
    shared = {
        name: given[name]
        for name in inspect.signature(Qwen2Config.__init__).parameters
        if name in given
    }
    theta = given["rope_parameters"]["rope_theta"]
    config = Qwen2Config(
        **shared
        | {
            "architectures": ["Qwen2ForCausalLM"],
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
            "tie_word_embeddings": False,
            "bos_token_id": given["eos_token_id"],  # inseq wants one; no prompt begins with it
        }
    )
    model: Any = Qwen2ForCausalLM(config)
    model.model.load_state_dict(thinker.get_decoder().state_dict())
    model.lm_head.load_state_dict(thinker.lm_head.state_dict())
    model.generation_config = thinker.generation_config
    return model.eval()


def export(adapter: Any, folder: Path) -> None:
    """Model and tokenizer in `folder`, as transformers' Auto classes load them."""
    text_model(adapter.model).save_pretrained(folder)
    adapter.tokenizer.save_pretrained(folder)


@torch.inference_mode()
def log_probabilities(model: Any, prompt: Int32, response: Int32) -> torch.Tensor:
    """(T, words) of what follows the prompt and each token of the response but the last."""
    ids = torch.from_numpy(np.concatenate([prompt, response]).astype(np.int64))[None]
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
    found: torch.Tensor = logits.float().log_softmax(-1)
    return found
