"""Folders as vLLM-Hook writes them, from chunks of queries and keys; and the file of tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

Chunks = Sequence[torch.Tensor]
"""Of each forward pass, (tokens, heads · d)."""


def write_hook(
    folder: Path,
    layers: Mapping[int, tuple[Chunks, Chunks]],
    heads: tuple[int, int],
    mode: str = "all_tokens",
    ranks: int = 1,
) -> None:
    """`layers`: number → (queries, keys) of every pass; `heads`: of queries and of keys."""
    for rank in range(ranks):
        path = folder / f"tp_rank_{rank}"
        path.mkdir(parents=True)
        tensors, order = {}, []
        for number, (queries, keys) in layers.items():
            name = f"model.layers.{number}.self_attn.attn"
            flat = name.replace(".", "__")
            q = [_share(chunk, rank, ranks, ranks) for chunk in queries]
            k = [_share(chunk, rank, ranks, heads[1]) for chunk in keys]
            last = torch.stack([chunk[-1] for chunk in q])
            tensors[f"{flat}__q"] = last if mode == "last_token" else _padded(q)
            tensors[f"{flat}__k"] = _padded(k)
            order.append({
                "key_q": f"{flat}__q",
                "key_k": f"{flat}__k",
                "module_name": name,
                "layer_num": number,
            })  # fmt: skip
        lengths = [len(chunk) for chunk in next(iter(layers.values()))[1]]
        save_file(tensors, path / "qk.safetensors")
        saved = {
            "config": {
                "num_attention_heads": heads[0],
                "num_key_value_heads": heads[1],
                "hidden_size": 32,
                "head_dim": 8,
                "attention_multiplier": 8**-0.5,
            },
            "layer_order": order,
            "batch_size": len(lengths),
            "hookq_mode": mode,
            "tp_rank": rank,
            "seq_lens": lengths,
        }
        (path / "qk.json").write_text(json.dumps(saved))


def _share(chunk: torch.Tensor, rank: int, ranks: int, parts: int) -> torch.Tensor:
    """A rank's columns; where there are more ranks than parts, several hold the same part."""
    held = min(ranks, parts)
    return chunk.chunk(held, dim=-1)[rank * held // ranks]


def _padded(chunks: Chunks) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(chunks), batch_first=True)


def request(n: int, steps: int, layers: int, **over: Any) -> dict[str, Any]:
    """A line of the tokens file."""
    return {
        "run_id": "a-run",
        "model": "tiny",
        "config": {"model_type": "qwen2", "num_hidden_layers": layers, "sliding_window": None},
        "prompt_token_ids": list(range(n)),
        "prompt_tokens": [f"Ġp{i}" for i in range(n)],
        "token_ids": list(range(steps)),
        "tokens": [f"Ġa{i}" for i in range(steps)],
    } | over


def write_requests(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
