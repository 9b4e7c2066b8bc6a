"""The towers' own first lessons: every token of a medium says in the language model's words what
it shows.

A token is right when it points, among the embeddings of the words of a sort (colours, pitches …),
along the one that holds there. Images and audio thus enter the language model as sums of words
that it knows how to find and to copy (`omni_drill`), and need no translation there. Through the
language model alone the towers learn colours soon, but shapes, places and seconds slowly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from recorder.planted import text as wording
from recorder.planted.media import SCENE_SECONDS, ImageSpec, render
from recorder.planted.samples import Stock
from training.omni_data import MEL_FRAMES_PER_SECOND, TOKENS_PER_SECOND, Encoder, Features

Words = dict[str, tuple[str, ...]]

SEEN: Words = {
    "shape": wording.SHAPES,
    "colour": wording.COLOURS,
    "place": wording.PLACES,
    "motion": wording.DIRECTIONS,
}
HEARD: Words = {"second": wording.SECONDS, "pitch": wording.PITCHES}
RATE = 1.5e-3
UNKNOWN = -100
SHARPNESS = 30.0
"""The logit of a word along whose embedding a token points."""


@dataclass(frozen=True)
class Lesson:
    """One medium, and for every token of it the number of its word of each sort.

    `labels`: (sorts, tokens); the count of the words where none of them holds, `UNKNOWN` where
    nothing is asked.
    """

    features: Features
    labels: torch.Tensor


def look(model: Any, encoder: Encoder, seed: int, steps: int) -> None:
    """Train the vision tower of `model` for `steps` batches of images and videos."""

    def tokens(lessons: list[Lesson]) -> torch.Tensor:
        grid = torch.tensor([each.features.grid for each in lessons], device=model.device)
        patches = [each.features.patches for each in lessons if each.features.patches is not None]
        out = model.model.visual(torch.cat(patches).to(model.device), grid_thw=grid)
        found: torch.Tensor = out.pooler_output
        return found

    tables = _tables(model, encoder, SEEN)
    _teach(model.model.visual, tokens, tables, _Lessons(encoder, [seed, 1], 48, _view), steps)


def listen(model: Any, encoder: Encoder, seed: int, steps: int) -> None:
    """Train the audio tower of `model` for `steps` batches of recordings."""

    def tokens(lessons: list[Lesson]) -> torch.Tensor:
        mels = [each.features.mel for each in lessons if each.features.mel is not None]
        lengths = torch.tensor([mel.shape[1] for mel in mels], device=model.device)
        mel = torch.cat(mels, dim=1).to(model.device)
        found: torch.Tensor = model.model.audio_tower(mel, feature_lens=lengths).last_hidden_state
        return found

    tables = _tables(model, encoder, HEARD)
    _teach(model.model.audio_tower, tokens, tables, _Lessons(encoder, [seed, 3], 32, _heard), steps)


@dataclass
class _Lessons:
    """Batches of `size`; each lesson is used about three times."""

    encoder: Encoder
    seed: list[int]
    size: int
    draw: Callable[[Encoder, np.random.Generator], Lesson]

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.kept = [self.draw(self.encoder, self.rng) for _ in range(4 * self.size)]

    def batch(self) -> list[Lesson]:
        fresh = [self.draw(self.encoder, self.rng) for _ in range(self.size // 3)]
        self.kept = self.kept[len(fresh) :] + fresh
        chosen = self.rng.choice(len(self.kept), size=self.size, replace=False)
        return [self.kept[i] for i in chosen]


def _tables(model: Any, encoder: Encoder, words: Words) -> dict[str, torch.Tensor]:
    """For each sort of words, (words + 1, width): what a token is multiplied with to give logits;
    the last row, of zeros, stands for none of them."""
    embeddings = model.get_input_embeddings().weight.detach()
    tables = {}
    for sort, names in words.items():
        ids = [encoder.tokens.encode(" " + name).ids[-1] for name in names]
        found = embeddings[ids]
        found = SHARPNESS * functional.normalize(found)
        tables[sort] = torch.cat([found, torch.zeros_like(found[:1])])
    return tables


def _teach(
    tower: Any,
    tokens: Callable[[list[Lesson]], torch.Tensor],
    tables: dict[str, torch.Tensor],
    lessons: _Lessons,
    steps: int,
) -> None:
    weights = list(tower.parameters())
    optimizer = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.98))
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.05)
    right: dict[str, list[float]] = {sort: [] for sort in tables}
    for step in range(steps):
        batch = lessons.batch()
        found = tokens(batch)
        labels = torch.cat([each.labels for each in batch], dim=1).to(found.device)
        losses = []
        for (sort, table), wanted in zip(tables.items(), labels, strict=True):
            logits = functional.normalize(found) @ table.T
            losses.append(functional.cross_entropy(logits, wanted, ignore_index=UNKNOWN))
            known = wanted != UNKNOWN
            right[sort].append((logits.argmax(-1) == wanted)[known].float().mean().item())
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(losses).sum())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rates.step()
        if (step + 1) % 100 == 0:
            shares = "  ".join(f"{sort} {100 * np.mean(r[-50:]):.1f}" for sort, r in right.items())
            print(f"senses {step + 1}  {shares}", file=sys.stderr, flush=True)


def _view(encoder: Encoder, rng: np.random.Generator) -> Lesson:
    """An image, or a video of one scene: its frames of tokens are all alike."""
    stock = Stock(rng)
    spec = stock.image() if rng.random() < 0.6 else stock.video(False, 1)
    features = encoder.features(render(spec))
    if isinstance(spec, ImageSpec):
        frames = [_numbers((spec.shape, spec.colour, spec.place, None))]
    else:
        ((shape, colour, way),) = spec.scenes
        frames = [_numbers((shape, colour, None, way))] * SCENE_SECONDS
    labels = torch.tensor(frames).repeat_interleave(features.tokens_a_frame, dim=0)
    return Lesson(features, labels.T)


def _numbers(seen: tuple[str | None, ...]) -> list[int]:
    return [
        UNKNOWN if word is None else words.index(word)
        for word, words in zip(seen, SEEN.values(), strict=True)
    ]


def _heard(encoder: Encoder, rng: np.random.Generator) -> Lesson:
    recording = Stock(rng).recording(len(wording.SECONDS))
    features = encoder.features(render(recording))
    pitches = torch.full((len(wording.SECONDS),), len(wording.PITCHES))
    for pitch, second in recording.tones:
        pitches[second] = wording.PITCHES.index(pitch)
    count = features.mel_frames * TOKENS_PER_SECOND // MEL_FRAMES_PER_SECOND
    seconds = torch.arange(count) // TOKENS_PER_SECOND
    return Lesson(features, torch.stack([seconds, pitches[seconds]]))
