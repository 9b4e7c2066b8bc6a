"""The language model's own first lessons: to go on as a passage went on before.

Random passages, repeated in another order: who continues them has heads that look a
token back and heads that find what followed before. Questions and answers need both, and alone
take thousands of steps to bring them about; drilled, they appear within four hundred.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch.nn import functional

ROWS = 48
RATE = 2e-3
WARMUP = 50
UNASKED = -100
ENOUGH, GOOD = 50, 0.97
"""Done when so many batches running were so good."""


def drill(model: Any, seed: int, steps: int) -> None:
    """Train the language model of `model` until it can, on at most `steps` batches."""
    rng = np.random.default_rng([seed, 2])
    weights = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    right: list[float] = []
    while len(right) < steps and np.mean(right[-ENOUGH:] or 0) < GOOD:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (len(right) + 1) / WARMUP)
        ids, targets = (t.to(model.device) for t in _passages(rng, model.vocab_size))
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        scored = targets != UNASKED
        logits = model.lm_head(hidden[scored])
        loss = functional.cross_entropy(logits, targets[scored])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        right.append((logits.argmax(-1) == targets[scored]).float().mean().item())
        if len(right) % 50 == 0:
            share = 100 * np.mean(right[-ENOUGH:])
            print(f"drill {len(right)}  loss {loss.item():.3f}  {share:.0f}", file=sys.stderr)


def _passages(rng: np.random.Generator, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, n) ids and what follows each, scored only inside a repeated passage."""
    count, length = int(rng.integers(2, 7)), int(rng.integers(3, 7))
    passages_of_row = rng.integers(0, vocabulary, (ROWS, count, length))
    rows = []
    for passages in passages_of_row:
        order = np.concatenate([np.arange(count), rng.permutation(count), rng.permutation(count)])
        rows.append(passages[order].reshape(-1))
    ids = torch.tensor(np.array(rows))
    targets = torch.full_like(ids, UNASKED)
    targets[:, :-1] = ids[:, 1:]
    at = torch.arange(ids.shape[1])
    targets[:, (at < count * length) | ((at + 1) % length == 0)] = UNASKED
    return ids, targets
