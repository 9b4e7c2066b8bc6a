"""What recording ablations costs: 64 masks of a prompt against plain generations of its answer.

A thinker of Qwen2.5-Omni's proportions and random weights, n prompt tokens in units of 64, T tokens
of answer. Both in one process, in turn, medians of ratios. Also without the shared beginnings.

    python -m benchmarks.record_ablations [--device cpu] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.common import Claim, print_claims, save
from benchmarks.thinker import FULL, SMALL, Thinker, synchronise
from recorder.ablation.base import Base
from recorder.ablation.design import design
from recorder.models.adapter import Prepared
from recorder.passes import masked
from recorder.passes.masked import Masked

UNIT = 64
"""Tokens a unit."""


def base_of(n: int) -> Base:
    """n tokens in units of equal length, one part, the last of which asks."""
    unit_of = (np.arange(n) // UNIT).astype(np.int32)
    units = int(unit_of[-1]) + 1
    own = np.arange(units, dtype=np.int32)
    return Base(unit_of, np.zeros(units, np.int32), own, own == units - 1)


def plain(
    thinker: Thinker, prepared: Prepared, steps: int
) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The plain model's answer of `steps` tokens."""
    with torch.inference_mode():
        ids = thinker.model.generate(
            **prepared.inputs, max_new_tokens=steps, min_new_tokens=steps, do_sample=False
        )
    return np.asarray(ids[0, prepared.prompt.n :].cpu().numpy(), np.int32)


def timed(device: str, run: Callable[[], object]) -> float:
    synchronise(device)
    began = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - began


def main() -> None:
    options = parse_options()
    device = options.device
    full = device.startswith("cuda")
    thinker = Thinker(FULL if full else SMALL, device, torch.bfloat16 if full else torch.float32)
    n, steps, masks = (512, 32, 16) if options.quick else (options.n, options.steps, 64)
    prepared, base = thinker.prompt(n), base_of(n)
    made = design(base, masks, 0, np.zeros(len(base)))
    visible = base.visible(made.kept)
    thinker.attend("sdpa")
    response = plain(thinker, prepared, steps)
    rows: list[dict[str, float]] = []
    for _ in range(1 if options.quick else options.rounds):
        thinker.attend("sdpa")
        row = {"plain": timed(device, lambda: plain(thinker, prepared, steps))}
        thinker.attend("omnitrace")
        row["ablations"] = timed(
            device, lambda: Masked(thinker, prepared).log_odds(response, visible)
        )
        least, masked.LEAST_SHARED = masked.LEAST_SHARED, n + steps
        row["unshared"] = timed(
            device, lambda: Masked(thinker, prepared).log_odds(response, visible)
        )
        masked.LEAST_SHARED = least
        rows.append(row)
        print(row, flush=True)
    ratio = statistics.median(row["ablations"] / row["plain"] for row in rows)
    shared = statistics.median(row["ablations"] / row["unshared"] for row in rows)
    found = {"n": n, "T": steps, "masks": len(visible), "rounds": rows,
             "in_plain_generations": ratio, "shared_over_unshared": shared}  # fmt: skip
    print(f"{len(visible)} ablations: {ratio:.2f} plain generations; sharing takes {shared:.2f}×")
    if not options.quick:
        save("record_ablations", {"device": device, **found}, f"-{device.split(':')[0]}")
    if options.json:
        print_claims([Claim("64 ablations in plain generations", ratio, 8.0, "lower")])


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--n", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small case, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    return parser.parse_args()


if __name__ == "__main__":
    main()
