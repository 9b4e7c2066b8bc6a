"""How fast is replay beside the paper's listing in plain loops, and what does a sweep take?

A synthetic run: 759 samples of T = 256 steps, n = 2,000 prompt tokens and 60 source units (text,
images, audio), in a real store. Measured: one configuration from masses in memory; 1,000
configurations on all samples by `replay.sweep` with its kept masses; masses from scores in memory
beside numpy's sum of the same array; peak memory of sweeps over 100 and over all samples, each a
fresh process. The literal side is `benchmarks.literal_listing` on a few of the samples, in turn
with ours in this process; its time for the whole is scaled from these.

    python -m benchmarks.replay_speed [--samples 759] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from omnitrace.arrays import Float32

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.common import Claim, peak_bytes, print_claims, save
from benchmarks.literal_listing import curate_sources_with_conf, map_steps
from benchmarks.stack import Stack
from omnitrace import Run, Trace, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Medium, Modality, Part, Timeline
from omnitrace.trace import SignalRows
from replay import PRESETS, CurationConfig, ReplayConfig, Replayer
from replay.batch.curation import CurationPlan, curate_many
from replay.batch.vote_table import VoteTable, vote_table
from replay.cache import MassCache
from replay.chunk import chunk
from replay.evaluation.gold import Gold, steps_of_sentences
from replay.evaluation.space import judging_space
from replay.mass import mass
from replay.rows import rows_of
from replay.sweep.blocks import Work, Worker, blocks_of, process_pool
from replay.sweep.sweep import Aim, sweep

SAMPLES, QUICK, STEPS, PROMPT = 759, 48, 256, 2000
TEXTS, IMAGES, SECONDS = 40, 4, 16
SENTENCE = 16
"""Steps of a sentence of the answer, about."""
LITERAL = 24
"""Samples on which the literal side is timed."""
CORES, STACK = 2, 96
CONFIG = PRESETS["paper"]
GRID = tuple(
    replace(CONFIG, curation=CurationConfig(coverage, p_min, run_min, alpha, gamma))
    for coverage, p_min, run_min, alpha, gamma in product(
        (0.7, 0.8, 0.85, 0.9, 1.0),
        (0.03, 0.05, 0.07, 0.1, 0.15),
        (0.05, 0.1, 0.2, 0.5),
        (0.5, 0.8),
        (1.0, 1.5, 2.0, 3.0, 4.0),
    )
)
DICE = np.random.default_rng(1)
RANDOM = tuple(
    replace(
        CONFIG,
        curation=CurationConfig(*DICE.uniform((0.5, 0, 0, 0.3, 0), (1, 0.2, 0.5, 1, 4)).tolist()),
    )
    for _ in range(1000)
)


def timeline() -> tuple[Timeline, str, tuple[Part, ...], tuple[Medium, ...]]:
    """2,000 tokens: 40 sentences of 20, 4 images of 200, 16 s of audio at 25 a second."""
    kinds = [Modality.TEXT] * TEXTS * 20 + [Modality.IMAGE] * IMAGES * 200
    kinds += [Modality.AUDIO] * SECONDS * 25
    line = Timeline.blank(PROMPT)
    columns = {name: getattr(line, name).copy() for name in Timeline.dtypes()}
    columns["modality"][:] = kinds
    texts, images = TEXTS * 20, TEXTS * 20 + IMAGES * 200
    columns["part"][:texts] = 0
    columns["chars"][:texts] = np.arange(texts)[:, None] * 2 + (0, 2)
    columns["chars"][texts:] = texts * 2
    columns["medium"][texts:images] = np.repeat(np.arange(IMAGES), 200)
    columns["part"][texts:images] = 1 + np.repeat(np.arange(IMAGES), 200)
    columns["row"][texts:images] = columns["column"][texts:images] = 0
    columns["medium"][images:], columns["part"][images:] = IMAGES, 1 + IMAGES
    columns["start_s"][images:] = np.arange(SECONDS * 25) / 25
    columns["end_s"][images:] = (np.arange(SECONDS * 25) + 1) / 25
    media = [Medium("image", f"{i}.png", "0" * 64, width=56, height=56) for i in range(IMAGES)]
    media += [Medium("audio", "a.wav", "0" * 64, duration_s=float(SECONDS))]
    parts = [Part("user", "text"), *(Part("user", m.kind, i) for i, m in enumerate(media))]
    return Timeline(**columns), "w " * texts, tuple(parts), tuple(media)


def make_trace(seed: int) -> Trace:
    """A sample whose sentences each look at a few places more than elsewhere."""
    dice = np.random.default_rng(seed)
    line, text, parts, media = timeline()
    starts = np.unique([0, *dice.choice(STEPS, STEPS // SENTENCE - 1, replace=False).tolist()])
    ends = np.append(starts[1:], STEPS)
    values = dice.random(STEPS * PROMPT + STEPS * (STEPS - 1) // 2, np.float32) / PROMPT
    row = np.arange(STEPS) * PROMPT + np.arange(STEPS) * (np.arange(STEPS) - 1) // 2
    favourites = dice.integers(0, PROMPT, (len(starts), 4))
    sentence = np.searchsorted(starts, np.arange(STEPS), side="right") - 1
    values[row + favourites[sentence, dice.integers(0, 4, STEPS)]] += dice.random(STEPS, np.float32)
    tags = ("NOUN", "VERB", "DET", "ADP", "PUNCT", "ADJ", "PROPN", "PRON", "AUX", "NUM")
    return Trace(
        id=f"sample-{seed}",
        prompt_text=text,
        response="y " * STEPS,
        prompt_ids=np.zeros(PROMPT, np.int32),
        response_ids=np.zeros(STEPS, np.int32),
        chars=(np.arange(STEPS)[:, None] * 2 + (0, 2)).astype(np.int32),
        logprob=np.zeros(STEPS, np.float32),
        entropy=np.zeros(STEPS, np.float32),
        pos=tuple(dice.choice(tags, STEPS).tolist()),
        sentences=np.stack([starts * 2, ends * 2 - 1], axis=1).astype(np.int32),
        prompt_sentences=(np.arange(TEXTS)[:, None] * 40 + (0, 39)).astype(np.int32),
        timeline=line,
        parts=parts,
        media=media,
        signals={CONFIG.signal: SignalRows(values.astype(np.float32))},
    )


@dataclass(frozen=True)
class RandomGolds:
    """Random truth about the first `count` samples."""

    count: int

    def __contains__(self, id: str) -> bool:
        return int(id.split("-")[1]) < self.count

    def gold(self, trace: Trace, seconds: float = 1.0) -> Gold:
        space, sentences = judging_space(trace, seconds), len(trace.sentences)
        dice = np.random.default_rng(int(trace.id.split("-")[1]))
        return Gold(
            id=trace.id,
            space=space,
            sentences=trace.sentences,
            steps=steps_of_sentences(trace),
            true=dice.random((sentences, len(space))) < 0.05,
            judged=np.ones(sentences, bool),
            scored=space.present,
        )


def write_run(path: Path, count: int) -> Run:
    """In segments of about 15 samples, as recording commits them every few minutes: a reader holds
    what it needs of four segments, which 100 samples fill as all do."""
    with RunWriter.open(path, {"model": "synthetic"}, segment_bytes=2**25) as writer:
        for seed in range(count):
            writer.add(make_trace(seed), f"key-{seed}")
    return open_run(path)


@dataclass(frozen=True)
class Prepared:
    """The two sides' inputs of one sample: masses in memory, spans, tags."""

    part: tuple[VoteTable, Float32]
    pos: list[str]
    spans: list[tuple[int, int]]


def prepare(trace: Trace) -> Prepared:
    replayer = Replayer(trace)
    masses, units = replayer.mass(CONFIG), replayer.units(CONFIG.units)
    assert len(units) == TEXTS + IMAGES + SECONDS
    pieces = chunk(trace, CONFIG.chunker)
    table = vote_table(trace, units, masses, "together", pieces)
    spans = [piece.steps for piece in pieces]
    return Prepared((table, masses), list(trace.pos), spans)


Listed = list[tuple[Prepared, list[list[float]]]]


def listed(prepared: Sequence[Prepared]) -> Listed:
    """The literal side's inputs: masses as lists."""
    return [(one, one.part[1].tolist()) for one in prepared]


def literal(few: Listed, config: ReplayConfig) -> list[list[int]]:
    """The listing, sample by sample, from masses as lists."""
    found = []
    for one, rows in few:
        ids, conf = map_steps(rows)
        for first, last in one.spans:
            part = slice(first, last)
            found.append(
                curate_sources_with_conf(ids[part], one.pos[part], conf[part], config.curation)
            )
    return found


def ours(stack: Stack, config: ReplayConfig) -> Any:
    """The same of a stack of samples, mapping included."""
    return curate_many(stack.mapped(), CurationPlan([config.curation]))


def one_configuration(prepared: Sequence[Prepared], rounds: int) -> dict[str, float]:
    """Microseconds a sample of the literal side, of ours on one thread and on `CORES`."""
    few, parts = listed(prepared[:LITERAL]), [one.part for one in prepared]
    stacks = [Stack.of(parts[at : at + STACK]) for at in range(0, len(parts), STACK)]
    check(few)
    seconds: dict[str, list[float]] = {"literal": [], "one thread": [], "threads": []}
    with ThreadPoolExecutor(CORES) as pool:
        for number in range(rounds):
            of_stack = partial(ours, config=GRID[number])
            plain = timed(partial(literal, few, GRID[number]))
            alone = timed(partial(do_all, map, of_stack, stacks))
            both = timed(partial(do_all, pool.map, of_stack, stacks))
            seconds["literal"].append(plain / len(few))
            seconds["one thread"].append(alone / len(parts))
            seconds["threads"].append(both / len(parts))
    ratio = {
        name: statistics.median(a / b for a, b in zip(seconds["literal"], own, strict=True))
        for name, own in seconds.items()
    }
    return {
        "literal, us a sample": statistics.median(seconds["literal"]) * 1e6,
        "ours, us a sample, one thread": statistics.median(seconds["one thread"]) * 1e6,
        "times the literal, one thread": ratio["one thread"],
        f"times the literal, {CORES} threads": ratio["threads"],
    }


def do_all(
    each: Callable[..., Iterable[Any]], work: Callable[..., Any], things: Sequence[Any]
) -> None:
    for _ in each(work, things):
        pass


def check(few: Listed) -> None:
    """Both sides select the same sources, in the same order."""
    stack = Stack.of([one.part for one, _ in few])
    for config in (*GRID[::100], *RANDOM[:5]):
        found = ours(stack, config)
        cells = range(stack.votes.cells)
        assert [found.sources(0, cell) for cell in cells] == literal(few, config)


def sweeps(run: Run, count: int, folder: Path, literal_s: float) -> dict[str, float]:
    """Seconds of 1,000 configurations on all samples, cold and with masses kept; a grid, draws.

    Reading traces and golds, scoring, ranking and intervals of the best are part of it.
    """
    cache = MassCache(folder, memory=0)
    found: dict[str, float] = {}
    for name, configs in (("grid, cold", GRID), ("grid", GRID), ("random", RANDOM)):
        work = Work(run, RandomGolds(count), configs, cache=cache)
        found[f"{name}, s"] = timed(partial(sweep, work, Aim(jobs=CORES)))
    for name in ("grid", "random"):
        found[f"{name}, times the literal"] = literal_s * len(GRID) * count / found[f"{name}, s"]
    return found


def mass_rate(trace: Trace, rounds: int) -> dict[str, float]:
    """How fast masses are made of scores in memory, beside numpy's sum of them: GB/s, share."""
    rows, units = rows_of(trace, CONFIG), trace.units(CONFIG.units)
    copies = [replace(rows, values=rows.values.copy()) for _ in range(24)]
    own, read = [], []
    for _ in range(rounds):
        read.append(timed(lambda: [float(copy.values.sum()) for copy in copies]))
        own.append(timed(lambda: [mass(copy, units, "sum") for copy in copies]))
    nbytes = rows.values.nbytes * len(copies)
    return {
        "numpy sum, GB/s": nbytes / statistics.median(read) / 1e9,
        "mass, GB/s": nbytes / statistics.median(own) / 1e9,
        "mass, share of sum": statistics.median(r / o for r, o in zip(read, own, strict=True)),
    }


def peak_memory(run: Path, count: int) -> float:
    """MiB that a fresh process held at most while it swept over `count` samples, by itself."""
    command = [sys.executable, "-m", "benchmarks.replay_speed", "--peak", str(run), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak(run: Path, count: int) -> None:
    cache = MassCache(run.parent / "masses", memory=0)
    with process_pool(Work(open_run(run), RandomGolds(count), GRID, cache=cache), 1) as workers:
        ids = [f"sample-{seed}" for seed in range(count)]
        for _ in workers(Worker.summed, blocks_of(ids, len(GRID))):
            pass
    print(peak_bytes() / 2**20)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    run = write_run(folder / "run", count)
    prepared = [prepare(run[f"sample-{seed}"]) for seed in range(count)]
    one = one_configuration(prepared, rounds)
    literal_s = one["literal, us a sample"] / 1e6
    del prepared
    few = min(100, count // 4)
    return {
        "samples": count,
        "one configuration": one,
        "sweep of 1,000": sweeps(run, count, folder / "masses", literal_s),
        "mass": mass_rate(make_trace(0), rounds),
        "peak MiB": {n: peak_memory(folder / "run", n) for n in (few, count)},
    }


def claims(found: dict[str, Any]) -> list[Claim]:
    swept, (few, many) = found["sweep of 1,000"], found["peak MiB"].values()
    one = found["one configuration"][f"times the literal, {CORES} threads"]
    whole = swept["grid, s"] * SAMPLES / found["samples"]
    return [
        Claim("one configuration from kept mass, times the literal", one, 20, "higher"),
        Claim(f"1,000 configurations on {SAMPLES} samples, s", whole, 60, "lower"),
        Claim("1,000, times the literal", swept["grid, times the literal"], 50, "higher"),
        Claim("mass, share of numpy's sum", found["mass"]["mass, share of sum"], 0.6, "higher"),
        Claim("peak memory, all samples over few", many / few, 1.1, "lower"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="48 samples, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    parser.add_argument("--peak", nargs=2, metavar=("RUN", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        return print_peak(Path(given.peak[0]), int(given.peak[1]))
    with tempfile.TemporaryDirectory() as folder:
        count = QUICK if given.quick else given.samples
        found = measure(Path(folder), count, 3 if given.quick else given.rounds)
    for name, value in found.items():
        print(f"{name}: {value}")
    if not given.quick:
        save("replay_speed", found)
    if given.json:
        print_claims(claims(found))
    return None


if __name__ == "__main__":
    main()
