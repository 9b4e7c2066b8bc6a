"""Trains the bundled tiny omni model: Qwen2.5-Omni's real classes at toy size, planted evidence.

`python -m training.omni --seed 0 --out DIR` builds tokenizer, processor and model, trains, measures
the share of exactly right sentences on fresh seeds read back from files, and saves model and
processor to DIR. Knows nothing of the run store, the recorder's adapters or the replay.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from recorder.planted.samples import KINDS, SPLITS, ask_differently, make_plan
from training.omni_check import RESULTS, report
from training.omni_data import Encoded, Encoder, Example, branch, collate, hide
from training.omni_drill import drill
from training.omni_model import build_model, build_processor
from training.omni_senses import listen, look

SAVE_EVERY = 250
HIDING = 0.45
"""Share of the prompts in which some units are hidden."""
WHOLE_KINDS = (*KINDS, "image", "mixed", "audio", "video-silent")
SHORT_KINDS = ("text", *("image", "audio", "video-silent") * 2, "video")
"""What training draws from: most often what takes longest to learn."""
LAST_KINDS = (*KINDS, *("audio",) * 2, *("mixed",) * 5)
"""What the last course draws from: media among media, where one is taken for another."""


@dataclass(frozen=True)
class Schedule:
    """Steps, batch and learning rates.

    `drills`, `looks`, `listens`: steps of language, vision and audio alone, before; `last`: steps
    of the last course, which starts from the beginning; `short`: the share of short prompts before
    it; `branches`: requests to a prompt.
    """

    steps: int = 6000
    drills: int = 1000
    looks: int = 3000
    listens: int = 400
    short: float = 0.3
    batch: int = 10
    branches: int = 4
    peak: float = 1.5e-3
    warmup: int = 60
    last: int = 3000

    def rate(self, step: int) -> float:
        """Linear warm-up, a plateau, and a cosine to a fiftieth over the last two thirds.

        In the last course a lower peak, and a cosine at once.
        """
        if step >= self.steps:
            step -= self.steps
            return 0.6 * min(1.0, (step + 1) / self.warmup) * _cosine(1 - step / self.last)
        if step < self.warmup:
            return (step + 1) / self.warmup
        return _cosine(min(1.0, 1.5 * (1 - step / self.steps)))


def _cosine(left: float) -> float:
    """From 1, where all is left, to a fiftieth."""
    return 0.02 + 0.98 * 0.5 * (1 - math.cos(math.pi * left))


def examples(
    encoder: Encoder, seed: int, schedule: Schedule, start: int
) -> Iterator[list[Example]]:
    """Batches of whole and short prompts; nearly half of them with hidden units."""
    rng = np.random.default_rng([seed, start])
    kept: list[Encoded] = []
    for step in range(start, schedule.steps + schedule.last):
        if step == schedule.steps:
            rng, kept = np.random.default_rng([seed, step]), []
        fresh = schedule.batch // 2 if kept else 8 * schedule.batch
        kept += [_draw(encoder, rng, schedule, step >= schedule.steps) for _ in range(fresh)]
        del kept[: max(0, len(kept) - 12 * schedule.batch)]
        yield _pick(encoder, rng, kept, schedule)


def _draw(encoder: Encoder, rng: np.random.Generator, schedule: Schedule, last: bool) -> Encoded:
    train = SPLITS["train"]
    short = not last and bool(rng.random() < schedule.short)
    kinds = LAST_KINDS if last else SHORT_KINDS if short else WHOLE_KINDS
    kind = kinds[int(rng.integers(len(kinds)))]
    return encoder.encode(make_plan(int(rng.integers(train.start, train.stop)), kind, short=short))


def _pick(
    encoder: Encoder, rng: np.random.Generator, kept: list[Encoded], schedule: Schedule
) -> list[Example]:
    """A batch of kept prompts that are about equally long, so that little is padding."""
    size = schedule.batch
    by_length = sorted(rng.permutation(len(kept)), key=lambda i: len(kept[i].ids))
    first = int(rng.integers(0, len(kept) - 2 * size + 1))
    chosen = rng.choice(by_length[first : first + 2 * size], size=size, replace=False)
    return [_example(encoder, rng, kept[int(i)], schedule.branches) for i in chosen]


def _example(
    encoder: Encoder, rng: np.random.Generator, encoded: Encoded, branches: int
) -> Example:
    share = float(rng.uniform(0.05, 0.6)) if rng.random() < HIDING else 0.0
    hidden, known = hide(encoded, rng, share)
    plans = [ask_differently(encoded.plan, int(rng.integers(2**31))) for _ in range(branches)]
    return Example(
        encoded,
        hidden,
        tuple(
            branch(encoder.tokens, encoded.rest, plan.questions, str(plan.parts[-1]), known)
            for plan in plans
        ),
    )


def logits_and_targets(
    model: Any, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets and sentence numbers where an answer token is predicted."""
    inputs = {k: v for k, v in batch.items() if k not in ("targets", "sentence")}
    hidden = model.model(**inputs, use_cache=False).last_hidden_state
    scored = batch["targets"] != -100
    return model.lm_head(hidden[scored]), batch["targets"][scored], scored


def train(
    model: Any,
    processor: Any,
    seed: int,
    schedule: Schedule,
    checkpoint: Path | None = None,
) -> None:
    encoder = Encoder(processor, model)
    weights = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    optimizer = torch.optim.AdamW(weights, betas=(0.9, 0.98), weight_decay=0.01)
    start = _resume(model, optimizer, checkpoint)
    if start is None:
        start = 0
        drill(model, seed, schedule.drills)
        look(model, encoder, seed, schedule.looks)
        listen(model, encoder, seed, schedule.listens)
        _save(model, optimizer, checkpoint, start)
    # The towers stay as they were taught: through the language model they unlearn again.
    model.model.visual.requires_grad_(False)
    model.model.audio_tower.requires_grad_(False)
    seen: dict[str, list[float]] = defaultdict(list)
    began = time.monotonic()
    model.train()
    for step, drawn in enumerate(examples(encoder, seed, schedule, start), start):
        batch = collate(drawn, processor.tokenizer.pad_token_id)
        batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
        logits, targets, scored = logits_and_targets(model, batch)
        loss = functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = schedule.peak * schedule.rate(step)
        optimizer.step()
        seen["loss"].append(loss.item())
        _note(seen, drawn, batch, logits, scored)
        if (step + 1) % 100 == 0:
            _narrate(seen, step + 1, time.monotonic() - began)
        if (step + 1) % SAVE_EVERY == 0:
            _save(model, optimizer, checkpoint, step + 1)


def _note(
    seen: dict[str, list[float]],
    drawn: list[Example],
    batch: dict[str, torch.Tensor],
    logits: torch.Tensor,
    scored: torch.Tensor,
) -> None:
    """Which sentences would have come out right, given the words before."""
    right = torch.zeros_like(batch["targets"], dtype=torch.bool)
    right[scored] = logits.argmax(-1) == batch["targets"][scored]
    for row, example in enumerate(drawn):
        kind = example.encoded.plan.id.rsplit("-", 1)[0]
        if bool(example.hidden.any()):
            kind = "hidden"
        numbers = batch["sentence"][row]
        for number in set(numbers.tolist()):
            if number >= 0:
                seen[kind].append(float(right[row][numbers == number].all()))


def _narrate(seen: dict[str, list[float]], step: int, seconds: float) -> None:
    loss = np.mean(seen.pop("loss"))
    shares = "  ".join(f"{kind} {100 * np.mean(seen[kind]):.0f}" for kind in sorted(seen))
    print(f"{step} {seconds:.0f}s loss {loss:.3f}  {shares}", file=sys.stderr, flush=True)
    seen.clear()


def _save(
    model: Any,
    optimizer: torch.optim.AdamW,
    checkpoint: Path | None,
    step: int,
) -> None:
    if checkpoint is None:
        return
    checkpoint.mkdir(parents=True, exist_ok=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, checkpoint / "new.pt")
    (checkpoint / "new.pt").replace(checkpoint / "last.pt")


def _resume(
    model: Any,
    optimizer: torch.optim.AdamW,
    checkpoint: Path | None,
) -> int | None:
    """The step to go on from; None: nothing is learnt yet."""
    if checkpoint is None or not (checkpoint / "last.pt").exists():
        return None
    state = torch.load(checkpoint / "last.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def save(model: Any, processor: Any, out: Path) -> None:
    """Model and processor as `from_pretrained` reads them."""
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.to("cpu").save_pretrained(out)
    processor.save_pretrained(out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for model and processor")
    parser.add_argument(
        "--steps", type=int, default=Schedule.steps, help="before the last course, half as long"
    )
    parser.add_argument("--lessons", type=int, help="steps of each tower and of language alone")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--checkpoint", type=Path, help="folder to save to and go on from")
    parser.add_argument("--fresh", type=int, default=100, help="fresh samples of each kind")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    schedule = Schedule(arguments.steps, last=arguments.steps // 2)
    if arguments.lessons is not None:
        lessons = arguments.lessons
        schedule = replace(schedule, drills=lessons, looks=lessons, listens=lessons)
    began = time.monotonic()
    processor = build_processor(arguments.seed)
    model = build_model(processor.tokenizer, arguments.seed).to(arguments.device)
    train(model, processor, arguments.seed, schedule, arguments.checkpoint)
    seconds = time.monotonic() - began
    save(model, processor, arguments.out)
    print(f"trained in {seconds:.0f} s", file=sys.stderr)
    report(model, processor, arguments.fresh, arguments.results)


if __name__ == "__main__":
    main()
