"""Peers on the same model, samples and units: Captum, inseq, ContextCite, and as TokenSHAP does.

Needs an environment of its own (docs/faithfulness.md). Captum and what is like TokenSHAP ask the
live model in every modality; inseq and ContextCite take the same weights as a text model, on
prompts of text; ContextCite's solver also gets our masks, so that its weights must be ours.

    python -m benchmarks.peers.run [--samples 4] [--quick] [--json] [--docs]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, Claim, print_claims, put_between, save
from benchmarks.peers.entries import SINGLE_PASS, TEXT_ONLY, context_cite_weights, register
from benchmarks.peers.on_text import units_of_tokens
from benchmarks.peers.table import compete, differences, markdown, of_text, rows
from omnitrace import Run, Trace
from omnitrace.cli.benchmark import PlantedOptions, record_planted
from replay.evaluation import golds_of_truths, read_truths
from replay.methods import METHODS, AttributionTask
from replay.methods.contextcite import scores as contextcite
from replay.methods.leaderboard import CAUSAL, ENTRIES

PACKAGES = ("captum", "context-cite", "inseq")
RECORDED = ("loo", "contextcite", "context-cite-solver")
"""Methods whose passes were made when the masks were recorded."""


def measure(planted: PlantedOptions) -> dict[str, Any]:
    """All that is reported, of fresh samples."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, pass_seconds = record_planted(folder, planted)
        golds = golds_of_truths(run, read_truths(folder / "truth.jsonl"))
        register(folder)
        pairs = compete(run, golds, ENTRIES, TEXT_ONLY)
        texts = [run[id] for id in of_text(run, golds)]
        solver, attention = solver_difference(run, golds), attention_difference(texts)
    named = {pair.name: pair for pair in pairs}
    return {
        "peers": {package: version(package) for package in PACKAGES},
        "samples": len(golds),
        "texts": len(texts),
        "masks": planted.masks,
        "solver_difference": solver,
        "attention_difference": attention,
        "methods": rows(pairs, dict.fromkeys(RECORDED, pass_seconds)),
        "differences": differences(named["default"], [named[name] for name in SINGLE_PASS]),
    }


def solver_difference(run: Run, ids: Iterable[str]) -> float:
    """The largest of ContextCite's weights and ours, over the largest of a span's."""
    pairs = ((contextcite(q), context_cite_weights(q)) for q in _tasks(run[id] for id in ids))
    return max(
        float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))
        for all_ours, all_theirs in pairs
        for ours, theirs in zip(all_ours, all_theirs, strict=True)
    )


def attention_difference(texts: Iterable[Trace]) -> float:
    """The largest of inseq's attention and our `attmean`, of a unit and span."""
    ask = METHODS["inseq-attention"].scores
    pairs = (
        (ask(q), units_of_tokens(q, q.trace.scores("attmean")[:, : q.trace.n]))
        for q in _tasks(texts)
    )
    return max(float(np.abs(theirs - ours).max()) for theirs, ours in pairs)


def _tasks(traces: Iterable[Trace]) -> Iterator[AttributionTask]:
    return (AttributionTask(trace, CAUSAL) for trace in traces)


def claims(board: dict[str, Any]) -> list[Claim]:
    """That `default` is no worse than any single pass; that what must be equal is."""
    return [
        *(
            Claim(f"{metric.upper()} of default less {row['method']}'s, {on} prompts",
                  row[on][metric]["value"], 0.0, "higher")
            for row in board["differences"]
            for on in ("all", "text") if row[on]
            for metric in ("f1", "lds")
        ),
        Claim("difference to ContextCite's weights", board["solver_difference"], 1e-6, "lower"),
        Claim("difference of attmean to inseq's", board["attention_difference"], 1e-5, "lower"),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=4, help="of each modality and axis")
    parser.add_argument("--quick", action="store_true", help="a few texts, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/")
    options = parser.parse_args()
    planted = PlantedOptions(samples=options.samples, split="confirm")
    if options.quick:
        planted = PlantedOptions(samples=1, modality=("text",))
    board = measure(planted)
    tables = markdown(board)
    print(tables)
    if not options.quick:
        save("peers", board)
    if options.docs:
        put_between(ROOT / "docs" / "faithfulness.md", "peers", tables)
    if options.json:
        print_claims(claims(board))


if __name__ == "__main__":
    main()
