"""What the cheap mode of ablation is worth: units hidden from the answer's queries alone.

For each sample of a run that has exact ablations (those of `omnitrace ablate-inputs` or `omnitrace
confirm`, mode mask), the same masks are passed in mode answer-mask. Agreement by spans: Spearman's
rank correlation of the losses of leaving each unit out, whether the same unit is best, whether a
unit loses a nat in both; LDS of either mode's losses on the exact held-out masks, where there are
any. Cost of all masks in CPU seconds over a plain generation of the answer, in turn in one process.

    python -m benchmarks.answer_mask RUN --samples FILE --model FOLDER [--exact NAME]
        [--limit N] [--timed N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.common import save
from omnitrace import Trace, open_run
from omnitrace.ablations import Ablations
from omnitrace.errors import OmniTraceError
from recorder.config import AblateConfig
from recorder.identity import RecordedSamples, reload_model
from recorder.models.adapter import Adapter, Prepared
from recorder.passes.capture import install
from recorder.passes.masked import Masked
from replay import PRESETS
from replay.faithfulness import METRICS, Case, Unanswerable, case_of
from replay.methods import METHODS, AttributionTask
from replay.stats import spearman

NO_REQUEST = replace(
    PRESETS["default"], units=replace(PRESETS["default"].units, request="leave-out")
)
EXACT, CHEAP = "mask", "answer-mask"  # modes
NAT = 1.0


def cpu_seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def cheap_rows(adapter: Adapter, prepared: Prepared, trace: Trace, exact: Ablations) -> Ablations:
    """The exact ablations of a trace with the log-odds of the cheap mode."""
    passing = Masked(adapter, prepared)
    odds = passing.log_odds(trace.response_ids, visible(exact), mode=CHEAP)
    return replace(exact, name=CHEAP, mode=CHEAP, log_odds=odds)


def visible(ablations: Ablations) -> np.ndarray[Any, np.dtype[np.bool_]]:
    shown = np.concatenate([ablations.kept, np.ones((len(ablations.kept), 1), bool)], axis=1)
    found: np.ndarray[Any, np.dtype[np.bool_]] = shown[:, ablations.unit_of]
    return found


def agreement(trace: Trace) -> Iterator[dict[str, float]]:
    """A row a span of a trace with both modes; none where its masks do not answer."""
    exact, cheap = (AttributionTask(trace, NO_REQUEST, name) for name in (EXACT, CHEAP))
    losses, cheaper = (METHODS["loo"].scores(task) for task in (exact, cheap))
    named = ~exact.units.unnamed
    for own, one, other in zip(exact.steps, losses, cheaper, strict=True):
        if not own.any() or named.sum() < 3:
            continue
        cases = [case_of(exact.recorded, scores, own, named) for scores in (one, other)]
        lds, cheap_lds = map(lds_of, cases)
        yield {
            "spearman": spearman(one[named], other[named]),
            "same_best": float(one[named].argmax() == other[named].argmax()),
            "same_nat": float(((one >= NAT) == (other >= NAT))[named].mean()),
            "nats_exact": float((one[named] >= NAT).sum()),
            "nats_cheap": float((other[named] >= NAT).sum()),
            "lds_exact": lds,
            "lds_cheap": cheap_lds,
        }


def lds_of(case: Case) -> float:
    """LDS, NaN where no masks are held out."""
    try:
        return METRICS["lds"].value(case)
    except Unanswerable:
        return float("nan")


def cost(adapter: Adapter, prepared: Prepared, trace: Trace, exact: Ablations) -> dict[str, float]:
    """CPU seconds of a plain generation of the answer's length, and of all masks in both modes."""
    rows, ids = visible(exact), trace.response_ids

    def plain() -> None:
        with torch.inference_mode():
            adapter.model.generate(
                **prepared.inputs, max_new_tokens=trace.T, min_new_tokens=trace.T, do_sample=False
            )

    found = {"plain": cpu_seconds(plain)}
    for mode in (EXACT, CHEAP):
        found[mode] = cpu_seconds(
            lambda mode=mode: Masked(adapter, prepared).log_odds(ids, rows, mode=mode)  # type: ignore[misc]
        )
    return found | {"masks": float(len(rows)), "n": float(trace.n), "T": float(trace.T)}


def main() -> None:
    options = parse_options()
    run = open_run(options.run)
    adapter = reload_model(run.identity, AblateConfig(model=options.model))
    install(adapter.model, adapter.decoder, run.identity.get("attention", "sdpa"))
    samples = RecordedSamples.read(options.samples)
    spans: list[dict[str, float]] = []
    costs: list[dict[str, float]] = []
    ids = [id for id in run if options.exact in run[id].ablations][: options.limit or None]
    for id in ids:
        trace = run[id]
        exact, prepared = trace.ablation(options.exact), samples.prepare(adapter, trace)
        if len(costs) < options.timed:
            costs.append(cost(adapter, prepared, trace, exact))
            print(id, costs[-1], flush=True)
        both = {
            EXACT: replace(exact, name=EXACT),
            CHEAP: cheap_rows(adapter, prepared, trace, exact),
        }
        try:
            spans += agreement(replace(trace, ablations=both))
        except OmniTraceError as error:
            print(id, error, flush=True)
    values = {name: np.array([span[name] for span in spans]) for name in spans[0]}
    means = {
        name: float(np.nanmean(each)) if not np.isnan(each).all() else None
        for name, each in values.items()
    }
    ratios = {
        mode: statistics.median(one[mode] / one["plain"] for one in costs)
        for mode in ((EXACT, CHEAP) if costs else ())
    }
    about = {"model": run.identity["model"], "samples": len(ids), "spans": len(spans)}
    found = {**about, "agreement": means, "in_plain_generations": ratios, "costs": costs}
    print(found)
    if options.save:
        save("answer_mask", found, f"-{options.save}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--samples", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--exact", default=EXACT, help="the name of the exact ablations")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--timed", type=int, default=3)
    parser.add_argument("--save", default="", help="suffix of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
