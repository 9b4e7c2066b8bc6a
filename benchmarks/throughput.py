"""Samples an hour against the release's way on the same prompts: batched, and with given answers.

The release needs a run for each of `attmean`, `rawatt` and `attgrads`, a sample at a time; one of
ours records these three and more. Both sides are timed in one process, in turn, and must agree.

    python -m benchmarks.throughput [--device cuda] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from benchmarks import release
from benchmarks.common import Claim, print_claims, save
from benchmarks.record_overhead import ATTENTION, GRADIENTS, load
from benchmarks.thinker import Thinker, synchronise
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from recorder.passes.observers import CaptureOptions

PROMPT, STEPS, SAMPLES = 512, 32, 8
EVERYTHING = CaptureOptions(ATTENTION, GRADIENTS, prompt_mean=False)


def as_released(thinker: Thinker, count: int) -> list[list[int]]:
    """Three runs of every sample; the tokens of the answers."""
    thinker.attend("eager")
    answers = []
    for seed in range(count):
        prepared = thinker.prompt(PROMPT, seed)
        release.attention_signal(thinker, prepared, STEPS, last=False)
        release.attention_signal(thinker, prepared, STEPS, last=True)
        out = release.generate(thinker, prepared, STEPS)
        tokens = out.sequences[0, PROMPT:].tolist()
        release.gradient_signal(thinker, prepared, tokens)
        answers.append(tokens)
    return answers


def batched(thinker: Thinker, count: int) -> list[Answer]:
    thinker.attend("omnitrace")
    prompts = [thinker.prompt(PROMPT, seed) for seed in range(count)]
    return generate(thinker, prompts, GenerationOptions(max_new_tokens=STEPS), EVERYTHING)


def forced(thinker: Thinker, answers: list[Answer]) -> list[Answer]:
    thinker.attend("omnitrace")
    prompts = [thinker.prompt(PROMPT, seed) for seed in range(len(answers))]
    return force(thinker, prompts, [answer.ids for answer in answers], EVERYTHING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    count = 2 if given.quick else SAMPLES
    thinker = load(given.device)
    seconds: dict[str, list[float]] = {"release": [], "batched": [], "given": []}
    for _ in range(1 if given.quick else given.rounds):
        clock = [_now(given.device)]
        released = as_released(thinker, count)
        clock.append(_now(given.device))
        answers = batched(thinker, count)
        clock.append(_now(given.device))
        forced(thinker, answers)
        clock.append(_now(given.device))
        for name, began, ended in zip(seconds, clock, clock[1:], strict=False):
            seconds[name].append(ended - began)
        if given.device == "cpu":
            assert released == [answer.ids.tolist() for answer in answers]
    faster = {
        name: statistics.median(
            release / own for release, own in zip(seconds["release"], seconds[name], strict=True)
        )
        for name in ("batched", "given")
    }
    an_hour = {name: 3600 * count / statistics.median(s) for name, s in seconds.items()}
    found: dict[str, Any] = {
        "prompt": PROMPT,
        "steps": STEPS,
        "samples": count,
        "samples an hour": an_hour,
        "times the release's": faster,
    }
    print(found)
    if not given.quick:
        save("throughput", found, f"-{given.device.split(':')[0]}")
    if given.json:
        print_claims(
            [
                Claim("batched, times the release's", faster["batched"], 10, "higher"),
                Claim("given answers, times the release's", faster["given"], 20, "higher"),
            ]
        )


def _now(device: str) -> float:
    synchronise(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
