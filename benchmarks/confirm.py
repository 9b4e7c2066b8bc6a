"""What testing a replay's best units is worth: sources by votes, and the same confirmed.

A run whose units were removed one at a time, as many as possible (`omnitrace confirm RUN --top
60`), and the evidence of its answers. Of each span only the removals of its `--top` best units
count, as if no more had been made. F1 and hit@1 over the units that hold evidence, 95 % intervals
by bootstrap over spans; `caused`: only spans whose log-odds fall by a nat without their evidence.

    python -m benchmarks.confirm RUN --evidence FILE [--top 5] [--config FILE.toml ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import save
from omnitrace import Trace, open_run
from omnitrace.arrays import Bool, Float64
from omnitrace.config import load_toml
from omnitrace.errors import SampleError
from omnitrace.evidence import EvidenceRow, quoted_tokens, read_evidence, steps_of, supported
from replay import PRESETS, Replayer
from replay.attribution import Attribution, Span
from replay.config import CauseStage, ReplayConfig, stage
from replay.confirm import ranked
from replay.faithfulness.verdict import judge, removals
from replay.mapping import visible_steps
from replay.stats import pooled

CONFIGS = {
    "default": PRESETS["default"],
    "attgrads": replace(PRESETS["default"], signal="attgrads"),
}


@dataclass(frozen=True)
class Answered:
    """Sources of a span, best first, by votes and confirmed; its evidence (m,) bool; by how many
    nats its log-odds fall without the unit of evidence that it needs most, NaN if untested."""

    votes: list[int]
    confirmed: list[int]
    gold: Bool
    fall: float


def answered(trace: Trace, row: EvidenceRow, config: ReplayConfig, top: int) -> Iterator[Answered]:
    """The spans of a trace that have evidence; SampleError as of `supported`."""
    found = Replayer(trace).attribute(config)
    done = removals(trace, found.units, visible_steps(trace))
    if not done.tested.any():
        return  # it was not recorded yet
    owner = found.units.owner_of_tokens(trace.n)
    for part in supported(trace, row):
        steps = np.flatnonzero(steps_of(trace, part) & visible_steps(trace))
        gold = np.zeros(len(found.units), bool)
        held = owner[quoted_tokens(trace, part.quotes)]
        gold[held[held >= 0]] = True
        span = _span_at(found, int(steps[0]))
        if not gold.any() or span is None:
            continue
        effects = np.where(found.units.unnamed, np.nan, done.effects(span.steps))
        fall = float(np.nanmax(effects[gold])) if (~np.isnan(effects[gold])).any() else np.nan
        confirmed = _confirmed(found, span, effects, top)
        yield Answered([source.unit for source in span.sources], confirmed, gold, fall)


def _span_at(found: Attribution, step: int) -> Span | None:
    return next((s for s in found.spans if s.steps[0] <= step < s.steps[1]), None)


def _confirmed(found: Attribution, span: Span, effects: Float64, top: int) -> list[int]:
    """The sources of `confirmed = only` where the `top` best units are tested."""
    tested = np.full(len(effects), np.nan)
    best = ranked(found, span)[:top]
    tested[best] = effects[best]
    how = replace(stage(found.config, CauseStage), confirmed="only")
    return [source.unit for source in judge(span.sources, span.dropped, tested, how).sources]


def scores(spans: Sequence[tuple[list[int], Bool]]) -> dict[str, list[float]]:
    """F1 and hit@1, each with its interval."""
    right = np.array([sum(bool(gold[unit]) for unit in units) for units, gold in spans], float)
    size = np.array([len(units) + gold.sum() for units, gold in spans], float)
    hit = np.array([bool(units) and bool(gold[units[0]]) for units, gold in spans], float)
    f1, first = pooled(2 * right, size), pooled(hit, np.ones(len(spans)))
    return {name: [one.value, one.low, one.high] for name, one in (("f1", f1), ("hit", first))}


def table(spans: Sequence[Answered]) -> dict[str, object]:
    """Votes and confirmed sources of the same spans."""
    if not spans:
        return {"spans": 0}
    return {
        "spans": len(spans),
        "votes": scores([(one.votes, one.gold) for one in spans]),
        "confirmed": scores([(one.confirmed, one.gold) for one in spans]),
    }


def measure(
    traces: Mapping[str, Trace], rows: Mapping[str, EvidenceRow], config: ReplayConfig, top: int
) -> dict[str, object]:
    """All spans, and those that their evidence caused."""
    spans: list[Answered] = []
    for id, row in rows.items():
        if id in traces and traces[id].ablations:
            try:
                spans += answered(traces[id], row, config, top)
            except SampleError as error:
                print(id, error)
    caused = [one for one in spans if one.fall >= config.cause_nats]
    return {"all": table(spans), "caused": table(caused)}


def main() -> None:
    options = parse_options()
    run, rows = open_run(options.run), read_evidence(options.evidence)
    configs = CONFIGS | {p.stem: load_toml(PRESETS["default"], p) for p in options.config}
    found = {name: measure(run, rows, config, options.top) for name, config in configs.items()}
    for name, one in found.items():
        print(name, one)
    if options.save:
        about = {"model": run.identity["model"], "top": options.top}
        save("confirm", {**about, "configs": found}, f"-{options.save}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--evidence", type=Path, required=True)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--config", type=Path, action="append", default=[])
    parser.add_argument("--save", default="", help="suffix of a file in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
