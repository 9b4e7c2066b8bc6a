"""The sound tower's own first lessons: every token of sound names its second and what sounds in it.

Knows nothing of the language model. The heads are thrown away.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from recorder import planted_text as wording
from recorder.planted import Stock
from recorder.planted_media import Audio, render
from training.omni_data import MEL_FRAMES_PER_SECOND, TOKENS_PER_SECOND, Encoder

LONGEST = len(wording.SECONDS)
SILENCE = len(wording.PITCHES)


def listen(model: Any, encoder: Encoder, seed: int, steps: int, size: int = 32) -> None:
    """Train the sound tower of `model` for `steps` batches of `size` recordings."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 3])
    tower = model.model.audio_tower
    head = torch.nn.Linear(model.config.text_config.hidden_size, LONGEST + SILENCE + 1)
    head = head.to(model.device)
    weights = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.98))
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.05)
    kept = [_heard(encoder, rng) for _ in range(4 * size)]
    for step in range(steps):
        kept = kept[size // 2 :] + [_heard(encoder, rng) for _ in range(size // 2)]
        drawn = [kept[i] for i in rng.choice(len(kept), size=size, replace=False)]
        mels, labels = zip(*drawn, strict=True)
        lengths = torch.tensor([mel.shape[1] for mel in mels], device=model.device)
        features = torch.cat(mels, dim=1).to(model.device)
        tokens = tower(features, feature_lens=lengths).last_hidden_state
        logits = head(functional.layer_norm(tokens, tokens.shape[-1:]))
        second, pitch = torch.cat(labels, dim=1).to(model.device)
        loss = functional.cross_entropy(logits[:, :LONGEST], second)
        loss = loss + functional.cross_entropy(logits[:, LONGEST:], pitch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rates.step()
        if (step + 1) % 100 == 0:
            right = (logits[:, LONGEST:].argmax(-1) == pitch).float().mean().item()
            timed = (logits[:, :LONGEST].argmax(-1) == second).float().mean().item()
            print(f"listen {step + 1}  pitch {right:.2f}  second {timed:.2f}", file=sys.stderr)


def _heard(encoder: Encoder, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mel frames and, for every token, the numbers of its second and of the pitch there."""
    recording = Stock(rng).recording()
    sound = render(recording)
    assert isinstance(sound, Audio)
    mel = encoder.mel(sound)
    pitches = torch.full((LONGEST,), SILENCE)
    for pitch, second in recording.tones:
        pitches[second] = wording.PITCHES.index(pitch)
    tokens = mel.shape[1] * TOKENS_PER_SECOND // MEL_FRAMES_PER_SECOND
    seconds = torch.arange(tokens) // TOKENS_PER_SECOND
    return mel, torch.stack([seconds, pitches[seconds]])
