"""Do the presets find the causes? Span F1 and Time-F1 on planted evidence, by modality.

Records fresh planted samples of all kinds with the bundled model and scores each preset against
the planted truth. The `test` split decides no setting: defaults are chosen on `choose`
(benchmarks.choose).

    python -m benchmarks.planted [--samples 200] [--quick] [--json] [--readme]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common import ROOT, Claim, print_claims, put_between, save
from omnitrace import Run, open_run
from recorder.cli.record import record
from recorder.planted.samples import KINDS, SPLITS, make_sample, write_samples
from replay import PRESETS, ReplayConfig, attribute
from replay.evaluation import COLUMNS, Gold, Scores, evaluate, golds_of_truths, read_truths

QUICK_SAMPLES = 12


def record_split(split: str, count: int, folder: Path) -> tuple[Run, Mapping[str, Gold]]:
    """A run of `count` samples of `split`, the kinds in turn, and what is true of their answers."""
    seeds = list(SPLITS[split])
    samples = [make_sample(seeds[i // len(KINDS)], KINDS[i % len(KINDS)]) for i in range(count)]
    write_samples(samples, folder)
    record(folder / "samples.jsonl", folder / "run")
    run = open_run(folder / "run")
    return run, golds_of_truths(run, read_truths(folder / "truth.jsonl"))


def score(run: Run, golds: Mapping[str, Gold], config: ReplayConfig) -> Scores:
    """Scores of the whole run under `config`."""
    return evaluate((attribute(run[id], config) for id in run), golds)


def markdown(scores: Mapping[str, Scores], count: int) -> str:
    """The README's table."""
    head = "| preset | " + " | ".join(COLUMNS) + " |\n|---|" + "--:|" * len(COLUMNS) + "\n"
    rows = [
        f"| `{name}` | " + " | ".join(f"{s.micro[c].f1:.3f}" for c in COLUMNS) + " |\n"
        for name, s in scores.items()
    ]
    any_scores = next(iter(scores.values()))
    spoken = any_scores.judged + any_scores.wrong
    note = (
        f"\n*F1, micro-averaged, on {count} fresh planted samples: span F1 for text and images, "
        f"Time-F1 on 1 s bins for audio and video. {any_scores.judged} of {spoken} sentences of "
        "the answers were right; the others have no truth to score.*\n"
    )
    return head + "".join(rows) + note


def main() -> None:
    options = parse_options()
    count = QUICK_SAMPLES if options.quick else options.samples
    with tempfile.TemporaryDirectory() as folder:
        run, golds = record_split("test", count, Path(folder))
        scores = {name: score(run, golds, config) for name, config in PRESETS.items()}
    table = markdown(scores, count)
    print(table)
    if not options.quick:
        f1 = {n: {c: round(s.micro[c].f1, 4) for c in COLUMNS} for n, s in scores.items()}
        any_scores = scores["default"]
        counts = {"samples": count, "judged": any_scores.judged, "wrong": any_scores.wrong}
        save("planted", {"split": "test", **counts, "f1_micro": f1})
    if options.readme:
        put_between(ROOT / "README.md", "planted", table)
    if options.json:
        print_claims(claims(scores))


def claims(scores: Mapping[str, Scores]) -> list[Claim]:
    """The default must find more than either preset that it departs from."""
    best = {name: s.micro["all"].f1 for name, s in scores.items()}
    return [
        Claim(f"F1 of default over {name}", best["default"] / max(best[name], 1e-9), 1.0, "higher")
        for name in ("paper", "release")
    ]


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="a dozen samples, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
