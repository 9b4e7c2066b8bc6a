"""What does each group of signals cost on the released models, beside plain generation?

SmolLM2-135M-Instruct and Gemma 3 270M continue prompts of prose: plainly (sdpa), and recorded with
ever more signals. Ways take turns, round by round; each ratio is the median over rounds of its CPU
seconds to the plain ones of the same round. Peak memory is that of a fresh process that does one
thing. Needs the checkpoints that `make real` makes.

    python -m benchmarks.signal_cost [--quick] [--rounds N] [--model smollm2|gemma3]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import ROOT, peak_bytes, save
from omnitrace.prompt import Prompt
from omnitrace.timeline import Timeline
from recorder.models.adapter import Adapter, Prepared, describe_model, load_adapter
from recorder.models.settings import Weights
from recorder.passes.capture import install
from recorder.passes.generate import GenerationOptions, generate
from recorder.passes.observers import CaptureOptions
from recorder.signals import FLOW_SIGNALS, GRADIENT_SIGNALS, SIGNALS

MODELS = ("smollm2", "gemma3")
TEXT = ROOT / "benchmarks" / "data" / "real" / "ewt_documents.txt"
STEPS = 32
USUAL = {name: signal for name, signal in SIGNALS.items() if signal.usual and not signal.by_layer}
OLD = {name: USUAL[name] for name in ("attmean", "rawatt", "attnorm")}
REDUCED = {name: one for name, one in GRADIENT_SIGNALS.items() if not one.by_layer}
LOGITS = {name: one for name, one in REDUCED.items() if not one.log_odds}
PLAIN = "plain"
WAYS = {
    "activation alone": CaptureOptions({}, prompt_mean=False),
    "attmean, rawatt, attnorm": CaptureOptions(OLD, prompt_mean=False),
    "and attfull": CaptureOptions(USUAL, prompt_mean=False),
    "and attvisible": CaptureOptions(
        {**USUAL, "attvisible": SIGNALS["attvisible"]}, prompt_mean=False
    ),
    "attfull and all before, gradients of logits": CaptureOptions(USUAL, LOGITS, prompt_mean=False),
    "the same, and of log-odds": CaptureOptions(USUAL, REDUCED, prompt_mean=False),
    "activation and flow": CaptureOptions({}, flows=FLOW_SIGNALS, prompt_mean=False),
}


def load(model: str) -> Adapter:
    """The adapter of a checkpoint in float32, watched."""
    torch.set_num_threads(1)
    adapter = load_adapter(describe_model(str(folder(model))), Weights("float32", "cpu"))
    install(adapter.model, adapter.decoder)
    return adapter


def folder(model: str) -> Path:
    return ROOT / ".real" / model


def prompt(adapter: Adapter, n: int) -> Prepared:
    """The first n tokens of prose."""
    ids = np.array(adapter.encode(TEXT.read_text("utf-8")[: 12 * n])[:n], np.int32)
    row = torch.from_numpy(ids.astype(np.int64))[None]
    line = Timeline.blank(len(ids))
    made = Prompt(id="", prompt_text="", prompt_ids=ids, timeline=line, parts=(), media=())
    return Prepared({"input_ids": row, "attention_mask": torch.ones_like(row)}, made)


def run(adapter: Adapter, way: str, n: int, steps: int = STEPS) -> float:
    """CPU seconds of one answer of so many tokens."""
    prepared = prompt(adapter, n)
    began = time.process_time()
    if way == PLAIN:
        kept: dict[str, Any] = {"max_new_tokens": steps, "do_sample": False}
        with torch.inference_mode():
            adapter.model.generate(**prepared.inputs, **kept)
    else:
        generate(adapter, [prepared], GenerationOptions(max_new_tokens=steps), WAYS[way])
    return time.process_time() - began


def time_ratios(adapter: Adapter, n: int, rounds: int) -> dict[str, float]:
    """Median over rounds of each way's CPU seconds to the plain way's."""
    names = [PLAIN, *WAYS]
    for way in names:
        run(adapter, way, 16, 2)
    ratios: dict[str, list[float]] = {way: [] for way in names}
    for _ in range(rounds):
        seconds = {way: run(adapter, way, n) for way in names}
        for way in names:
            ratios[way].append(seconds[way] / seconds[PLAIN])
    return {way: round(statistics.median(values), 3) for way, values in ratios.items()}


def memory_ratios(model: str, n: int) -> dict[str, float]:
    """Peak memory of each way to the plain way's, the weights counted in both."""
    peaks = {}
    for way in (PLAIN, *WAYS):
        command = [sys.executable, "-m", "benchmarks.signal_cost", "--peak", model, way, str(n)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[way] = int(done.stdout.split()[-1])
    return {way: round(peak / peaks[PLAIN], 3) for way, peak in peaks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="400 tokens and no memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", choices=MODELS, help="one of the two; both without it")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        model, way, n = given.peak
        run(load(model), way, int(n))
        return print(peak_bytes())
    found: dict[str, Any] = {}
    chosen = (given.model,) if given.model else MODELS
    for model in [name for name in chosen if folder(name).is_dir()]:
        adapter = load(model)
        for n in (400,) if given.quick else (400, 1000):
            entry: dict[str, Any] = {"time": time_ratios(adapter, n, given.rounds)}
            if not given.quick:
                entry["memory"] = memory_ratios(model, n)
            found.setdefault(model, {})[str(n)] = entry
            print(model, n, entry, file=sys.stderr, flush=True)
    suffix = f"-{given.model}" if given.model else ""
    measured = {"steps": STEPS, "rounds": given.rounds, "ratios": found}
    save("signal_cost", measured, suffix + ("-quick" if given.quick else ""))
    return None


if __name__ == "__main__":
    main()
