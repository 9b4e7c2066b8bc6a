"""All steps' gradients in one pass against the release's way, a pass over the prefix for each step.

The answer is generated once; then both ways compute `attgrads` of the last layer for all its steps
(ours gives every layer's beside it). Prints how many times faster ours is, and the largest
difference relative to each step's largest product. On a GPU, at the full 7B shape, it also prints
our seconds to those of generating.

    python -m benchmarks.gradients [--device cuda] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import release
from benchmarks.common import Claim, print_claims, save
from benchmarks.record_overhead import load
from benchmarks.thinker import Thinker, synchronise
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from recorder.passes.observers import CaptureOptions
from recorder.signals import GRADIENT_SIGNALS

WANTED = CaptureOptions({}, {name: s for name, s in GRADIENT_SIGNALS.items() if not s.by_layer})


def timed(device: str, work: Callable[[], Any]) -> tuple[float, Any]:
    synchronise(device)
    began = time.perf_counter()
    result = work()
    synchronise(device)
    return time.perf_counter() - began, result


def ours(thinker: Thinker, n: int, response: Any) -> tuple[float, float, Answer]:
    """Seconds of a given answer's recording with gradients and without, and the answer."""
    prepared, device = thinker.prompt(n), str(thinker.model.device)
    without, _ = timed(device, lambda: force(thinker, [prepared], [response], CaptureOptions({})))
    with_all, answers = timed(device, lambda: force(thinker, [prepared], [response], WANTED))
    return with_all, without, answers[0]


def largest_difference(answer: Answer, rows: torch.Tensor, n: int) -> float:
    """Of each step's scores of prompt tokens, relative to the step's largest."""
    steps = len(rows)
    split = np.split(
        answer.signals["attgrads-last"].values, np.cumsum([n + t for t in range(steps)])
    )
    pairs = zip(split, rows.cpu().numpy(), strict=False)
    return max(float(np.abs(a[:n] - b).max() / np.abs(b).max()) for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    on_cpu = given.device == "cpu"
    n, steps = (1024, 64) if on_cpu else (10_000, 256)
    steps = 8 if given.quick else steps
    thinker = load(given.device)
    thinker.attend("omnitrace")
    options, device = GenerationOptions(max_new_tokens=steps), given.device
    generate(thinker, [thinker.prompt(256)], options, WANTED)
    generating, [answer] = timed(
        device, lambda: generate(thinker, [thinker.prompt(n)], options, CaptureOptions({}))
    )
    whole, without, recorded = ours(thinker, n, answer.ids)
    found: dict[str, Any] = {
        "n": n,
        "steps": steps,
        "seconds": {
            "generating": generating,
            "gradients alone": whole - without,
            "given answer recorded with gradients": whole,
        },
    }
    if on_cpu:
        thinker.attend("eager")
        repeated, rows = timed(
            device, lambda: release.gradient_signal(thinker, thinker.prompt(n), list(answer.ids))
        )
        found["seconds"]["a pass a step"] = repeated
        found["largest difference"] = largest_difference(recorded, rows, n)
        claims = [
            Claim("a pass a step to one pass, prompt and all", repeated / whole, 20, "higher"),
            Claim("largest relative difference", found["largest difference"], 1e-5, "lower"),
        ]
    else:
        claims = [Claim("gradients to generating", (whole - without) / generating, 1, "lower")]
    print(found)
    if not given.quick:
        save("gradients", found, f"-{device.split(':')[0]}")
    if given.json:
        print_claims(claims)


if __name__ == "__main__":
    main()
