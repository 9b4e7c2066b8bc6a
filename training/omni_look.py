"""The vision tower's own first lessons: to name shape, colour, place and motion of what it sees.

Through the language model alone it learns colours soon but shapes and places slowly; with linear
heads on every one of its output tokens it learns them in minutes, and the language model then need
find only one token of a picture to know all of it. The heads are thrown away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from recorder import planted_text as wording
from recorder.planted import Stock
from recorder.planted_media import SCENE_SECONDS, render
from training.omni_data import Encoder, Features

NAMES = {
    "shape": wording.SHAPES,
    "colour": wording.COLOURS,
    "place": wording.PLACES,
    "direction": wording.DIRECTIONS,
}
UNKNOWN = -100


@dataclass(frozen=True)
class View:
    """A picture or a film, and for every frame of tokens the number of each of its `NAMES`."""

    features: Features
    labels: dict[str, list[int]]


def look(model: Any, encoder: Encoder, seed: int, steps: int, size: int = 48) -> None:
    """Train the vision tower of `model` for `steps` batches of `size` pictures and films."""
    torch.manual_seed(seed)
    width = model.config.text_config.hidden_size
    heads = torch.nn.ModuleDict(
        {name: torch.nn.Linear(width, len(words)) for name, words in NAMES.items()}
    )
    heads = heads.to(model.device)
    tower = model.model.visual
    weights = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.98))
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.05)
    right: dict[str, list[float]] = {name: [] for name in NAMES}
    for step, views in enumerate(_batches(encoder, seed, steps, size)):
        loss = _loss(tower, heads, views, right)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rates.step()
        if (step + 1) % 100 == 0:
            shares = "  ".join(f"{name} {100 * np.mean(r[-50:]):.0f}" for name, r in right.items())
            print(f"look {step + 1}  {shares}", file=sys.stderr, flush=True)


def _batches(encoder: Encoder, seed: int, steps: int, size: int) -> Iterator[list[View]]:
    """Each view is used about three times."""
    rng = np.random.default_rng([seed, 1])
    kept = [_view(encoder, rng) for _ in range(4 * size)]
    for _ in range(steps):
        kept = kept[size // 3 :] + [_view(encoder, rng) for _ in range(size // 3)]
        yield [kept[i] for i in rng.choice(len(kept), size=size, replace=False)]


def _view(encoder: Encoder, rng: np.random.Generator) -> View:
    stock = Stock(rng)
    if rng.random() < 0.6:
        picture = stock.picture()
        features = encoder.features(render(picture))
        return View(features, _labels([(picture.shape, picture.colour, picture.place, None)]))
    film = stock.film(False, 1)
    seen = [(shape, colour, None, way) for shape, colour, way in film.scenes]
    features = encoder.features(render(film))
    return View(features, _labels([each for each in seen for _ in range(SCENE_SECONDS)]))


def _labels(seen: list[tuple[str | None, ...]]) -> dict[str, list[int]]:
    return {
        name: [UNKNOWN if words[i] is None else NAMES[name].index(str(words[i])) for words in seen]
        for i, name in enumerate(NAMES)
    }


def _loss(tower: Any, heads: Any, views: list[View], right: dict[str, list[float]]) -> torch.Tensor:
    device = next(heads.parameters()).device
    grid = torch.tensor([view.features.grid for view in views], device=device)
    patches = torch.cat([v.features.patches for v in views if v.features.patches is not None])
    tokens = tower(patches.to(device), grid_thw=grid).pooler_output
    tokens = functional.layer_norm(tokens, tokens.shape[-1:])
    losses = []
    for name, head in heads.items():
        labels = torch.tensor(
            [n for v in views for n in v.labels[name] for _ in range(v.features.tokens_a_frame)],
            device=device,
        )
        logits = head(tokens)
        losses.append(functional.cross_entropy(logits, labels, ignore_index=UNKNOWN))
        known = labels != UNKNOWN
        right[name].append((logits.argmax(-1) == labels)[known].float().mean().item())
    return torch.stack(losses).sum()
