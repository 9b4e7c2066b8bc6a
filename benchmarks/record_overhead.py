"""What does recording cost beside plain generation? Time and peak memory, as ratios.

A thinker with Qwen2.5-Omni's proportions and random weights answers random prompts: plainly (sdpa),
recorded in several ways, and as the paper's release does (eager, all attention kept). Ways take
turns, round by round; each ratio is the median over rounds of its seconds to the plain ones of the
same round. Peak memory is that of a fresh process (on a GPU, torch's own peak) that does one thing.

    python -m benchmarks.record_overhead [--device cuda] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from benchmarks.common import Claim, peak_bytes, print_claims, save
from benchmarks.thinker import FULL, SMALL, Thinker, synchronise
from recorder.passes.generate import GenerationOptions, generate
from recorder.passes.observers import CaptureOptions
from recorder.signals import GRADIENT_SIGNALS, SIGNALS

STEPS = 64
ATTENTION = {name: signal for name, signal in SIGNALS.items() if not signal.by_layer}
GRADIENTS = {name: signal for name, signal in GRADIENT_SIGNALS.items() if not signal.by_layer}
WAYS = {
    "attention": CaptureOptions(ATTENTION, prompt_mean=False),
    "attention and prompt mean": CaptureOptions(ATTENTION),
    "all, with gradients": CaptureOptions(ATTENTION, GRADIENTS),
}
EAGER = "eager, as the release"
EAGER_AT_MOST = 4096
CPU_TARGETS = {"time": 1.15, "memory": 1.05}
GPU_TARGETS = {"time": 1.05, "memory": 1.03}


def ways(n: int, device: str) -> list[str]:
    """Plain first; the release's way where it fits."""
    return ["plain", *WAYS, *([EAGER] if n <= EAGER_AT_MOST and device == "cpu" else [])]


def run(thinker: Thinker, way: str, n: int) -> float:
    """Seconds of one answer."""
    prepared, device = thinker.prompt(n), str(thinker.model.device)
    thinker.attend({"plain": "sdpa", EAGER: "eager"}.get(way, "omnitrace"))
    synchronise(device)
    began = time.perf_counter()
    if way in WAYS:
        generate(thinker, [prepared], GenerationOptions(max_new_tokens=STEPS), WAYS[way])
    else:
        kept: dict[str, Any] = {"output_attentions": True} if way == EAGER else {}
        with torch.inference_mode():
            thinker.model.generate(
                **prepared.inputs,
                max_new_tokens=STEPS,
                do_sample=False,
                return_dict_in_generate=True,
                **kept,
            )
    synchronise(device)
    return time.perf_counter() - began


def load(device: str) -> Thinker:
    if device == "cpu":
        return Thinker(SMALL, device, torch.float32)
    return Thinker(FULL, device, torch.bfloat16)


def time_ratios(thinker: Thinker, n: int, rounds: int) -> dict[str, float]:
    """Median over rounds of each way's seconds to the plain way's."""
    names = ways(n, thinker.model.device.type)
    for way in names:
        run(thinker, way, min(n, 256))
    ratios: dict[str, list[float]] = {way: [] for way in names}
    for _ in range(rounds):
        seconds = {way: run(thinker, way, n) for way in names}
        for way in names:
            ratios[way].append(seconds[way] / seconds["plain"])
    return {way: round(statistics.median(values), 3) for way, values in ratios.items()}


def memory_ratios(device: str, n: int) -> dict[str, float]:
    """Peak memory of each way to the plain way's, the weights counted in both."""
    peaks = {}
    for way in ways(n, device):
        command = [sys.executable, "-m", __spec__.name, "--device", device, "--peak", way, str(n)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[way] = int(done.stdout.split()[-1])
    return {way: round(peak / peaks["plain"], 3) for way, peak in peaks.items()}


def print_peak(device: str, way: str, n: int) -> None:
    thinker = load(device)
    run(thinker, way, n)
    if device == "cpu":
        print(peak_bytes())
    else:
        print(torch.cuda.max_memory_allocated())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", nargs=2, metavar=("WAY", "N"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        return print_peak(given.device, given.peak[0], int(given.peak[1]))
    on_cpu = given.device == "cpu"
    sizes = [1024, 4096, 8192] if on_cpu else [1024, 10_000, 30_000]
    thinker = load(given.device)
    found: dict[str, Any] = {}
    claims = []
    for n in sizes[:1] if given.quick else sizes:
        found[str(n)] = {
            "time": time_ratios(thinker, n, 1 if given.quick else given.rounds),
            "memory": memory_ratios(given.device, n),
        }
        print(n, found[str(n)], file=sys.stderr, flush=True)
        for what, target in (CPU_TARGETS if on_cpu else GPU_TARGETS).items():
            value = found[str(n)][what]["attention"]
            claims.append(Claim(f"recorded to plain, {what}, n={n}", value, target, "lower"))
    if not given.quick:
        save("record_overhead", {"steps": STEPS, "ratios": found}, f"-{given.device.split(':')[0]}")
    if given.json:
        print_claims(claims)
    return None


if __name__ == "__main__":
    main()
