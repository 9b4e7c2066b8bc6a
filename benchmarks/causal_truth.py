"""Is the benchmark's truth causal? Answers are generated again with units of the prompt hidden.

For each right sentence of planted answers of every modality and axis: hiding all of its
stated causes must change it, hiding any other unit alone must leave it.

    python -m benchmarks.causal_truth [--samples 8] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common import Claim, print_claims, save
from omnitrace import Run, Trace, UnitConfig, open_run
from recorder.cli.record import record
from recorder.config import TINY_OMNI
from recorder.inputs.samples import read_samples
from recorder.models.adapter import Adapter, describe_model, load_adapter
from recorder.models.settings import Weights
from recorder.passes.capture import install
from recorder.passes.masked import Masked
from recorder.planted.hard import AXES, MODALITIES, make_hard
from recorder.planted.samples import SPLITS, PlantedSample, write_samples
from replay.evaluation.truth import Truth, read_truths, true_units

Bool = npt.NDArray[np.bool_]
UNITS = UnitConfig(request="leave-out")
LONGEST = 80


@dataclass(frozen=True)
class Checked:
    """One hidden set of units and one sentence: whether the set is its `cause`, and whether the
    answer still has it."""

    id: str
    cause: bool
    unit: str
    stays: bool


def recorded(samples: Sequence[PlantedSample], folder: Path) -> tuple[Run, dict[str, Truth]]:
    """The samples as a run, and their truths."""
    write_samples(samples, folder)
    little = {"signals": "attmean", "first_step": "query"}
    record(folder / "samples.jsonl", folder / "run", given=little)
    return open_run(folder / "run"), read_truths(folder / "truth.jsonl")


def load() -> Adapter:
    """The bundled model."""
    adapter = load_adapter(describe_model(str(TINY_OMNI)), Weights("float32", "cpu"))
    install(adapter.model, adapter.decoder)
    return adapter


def check(folder: Path, run: Run, truths: dict[str, Truth], adapter: Adapter) -> Iterator[Checked]:
    """All that is hidden and what becomes of it, of the samples whose answer is right."""
    samples = {sample.id: sample for sample in read_samples(folder / "samples.jsonl")}
    for id, trace in run.items():
        truth = truths[id]
        if trace.response == truth.answer:
            passing = Masked(adapter, adapter.prepare(samples[id]))
            yield from _check(trace, truth, passing)


def _check(trace: Trace, truth: Truth, passing: Masked) -> Iterator[Checked]:
    units = trace.units(UNITS)
    owner = units.owner_of_tokens(trace.n)
    causes = [frozenset(true_units(units, trace, s.evidence)) for s in truth.sentences]
    wanted = {frozenset({unit}) for unit in range(len(units))} | {c for c in causes if c}
    hidden = sorted(wanted, key=sorted)
    visible = np.array([~np.isin(owner, list(gone)) for gone in hidden])
    answers = [passing.adapter.decode(ids) for ids in passing.answers(visible, LONGEST)]
    for sentence, cause in zip(truth.sentences, causes, strict=True):
        for gone, answer in zip(hidden, answers, strict=True):
            if gone == cause or not gone & cause:
                names = " + ".join(units.text[u] or units.label[u] for u in sorted(gone))
                if gone == cause or len(gone) == 1:
                    yield Checked(trace.id, gone == cause, names, sentence.text in answer)


def shares(found: Sequence[Checked]) -> dict[str, dict[str, float | int]]:
    """By group: how often a hidden cause changed the sentence, another unit left it."""
    groups: dict[str, list[Checked]] = {}
    for one in found:
        modality, axis = one.id.rsplit("-", 1)[0].split("-", 1)
        for name in ("all", modality, f"{modality} {axis}"):
            groups.setdefault(name, []).append(one)
    return {
        name: {
            "causes": sum(one.cause for one in group),
            "changed": _share([not one.stays for one in group if one.cause]),
            "others": sum(not one.cause for one in group),
            "left": _share([one.stays for one in group if not one.cause]),
        }
        for name, group in sorted(groups.items())
    }


def _share(flags: list[bool]) -> float:
    return round(float(np.mean(flags)), 4) if flags else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=8, help="of each modality and axis")
    parser.add_argument("--quick", action="store_true", help="one of each, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    options = parser.parse_args()
    count = 1 if options.quick else options.samples
    seeds = SPLITS["test"][:count]
    samples = [make_hard(seed, m, axis) for m in MODALITIES for axis in AXES for seed in seeds]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, truths = recorded(samples, folder)
        right = sum(trace.response == truths[id].answer for id, trace in run.items())
        found = list(check(folder, run, truths, load()))
    table = shares(found)
    for group, row in table.items():
        print(f"{group:24}", *(f"{key} {value}" for key, value in row.items()))
    felt = Counter(one.unit for one in found if not one.cause and not one.stays)
    print("changed though no cause:", felt.most_common(12))
    if not options.quick:
        counts = {"samples": len(samples), "right": right}
        save("causal_truth", {"split": "test", **counts, "shares": table, "felt": dict(felt)})
    if options.json:
        print_claims(
            [
                Claim("hidden causes that change it", table["all"]["changed"], 0.95, "higher"),
                Claim("others that leave it", table["all"]["left"], 0.95, "higher"),
            ]
        )


if __name__ == "__main__":
    main()
