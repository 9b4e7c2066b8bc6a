"""Peers on released language models: the same questions, units and answers as ours, in one table.

    python -m benchmarks.peers.real --score attnlrp [--models smollm2] [--minutes 30] [--cases 9]
    python -m benchmarks.peers.real [--docs] [FILE.toml …]

The first, in the peers' environment, lets peers score what benchmarks.real_runs recorded and the
gate kept, of the half for reporting; what is scored is kept in .real/peers, and the same command
goes on. LXT changes transformers' classes: let `attnlrp` score in a process of its own. The second
needs no peer: it makes results/peers-real.json, on the samples that AttnLRP and FlashTrace scored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, put_between, save
from benchmarks.peers.scored import PEERS, Scored, read_scored, score_cases
from benchmarks.peers.words import bm25
from benchmarks.real import (
    BASE,
    WITHOUT_REQUEST,
    Case,
    Outcome,
    by_scores,
    methods,
    outcome,
    read_cases,
    summary,
)
from benchmarks.real_runs import MODELS
from benchmarks.real_sets import SETS
from omnitrace.errors import OmniTraceError
from replay.config import ReplayConfig
from replay.methods import METHODS, AttributionTask, attribution_of

CORE = ("attnlrp", "flashtrace")
"""The strongest peers of a single pass: a sample counts once both have scored it."""
CAUSAL = ("loo", "contextcite")
"""Ours, of recorded ablations, where there are any."""
PACKAGES = ("flashtrace", "lxt", "inseq", "captum", "context-cite")
LONGEST = 2000
"""Tokens of a prompt beyond which no peer is asked, if no other number is given: attention weights
grow with their square."""
PAUSE = 20.0
"""Seconds to wait for recordings that are still being made."""

Row = tuple[ReplayConfig, Callable[[AttributionTask], Any]]


def cases_of(model: str, longest: int = LONGEST) -> list[Case]:
    """The recorded samples of the half for reporting that the gate kept, in a fixed order."""
    every = [case for name in SETS for case in read_cases(model, name)[0]]
    kept = [c for c in every if c.kept and c.side == "report" and c.trace.n <= longest]
    return sorted(kept, key=lambda case: sha256(case.trace.id.encode()).digest())


def score(
    models: Sequence[str], names: Sequence[str], minutes: float, most: int, longest: int = LONGEST
) -> None:
    """Let the peers score `most` samples, in turn, until the time is up: recordings may grow."""
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        for model in models:
            cases = cases_of(model, longest)[:most]
            for name in names:
                done = read_scored(model, name, cases)
                todo = [case for case in cases if case.trace.id not in done]
                if todo and time.monotonic() < until:
                    count = score_cases(model, name, PEERS[name](model), todo, until)
                    print(f"{model} {name}: {len(done) + count} of {len(cases)}", flush=True)
        time.sleep(PAUSE)


def by_scored(kept: Mapping[str, Scored]) -> Row:
    """A peer as a row: it names the units with half of its best score, none where it failed."""
    return by_scores(lambda task: kept[task.trace.id].of(task))


def by_ablations(name: str) -> Row:
    """A method of the registry that reads ablations; OmniTraceError where there are none."""
    method = METHODS[name]

    def attribute(task: AttributionTask) -> Any:
        scores = method.scores(task)
        return attribution_of(task, scores, method.sources(task, scores))

    return WITHOUT_REQUEST, attribute


def rows_of(
    choosing: Sequence[Case], files: Sequence[Path], scored: Mapping[str, Mapping[str, Scored]]
) -> dict[str, Row]:
    """Every row of the table, ours first."""
    ours = methods(choosing, files)
    uninformed = {name: ours.pop(name) for name in ("word overlap", "position prior", "random")}
    return {
        **ours,
        **{name: by_ablations(name) for name in CAUSAL},
        **{name: by_scored(kept) for name, kept in scored.items() if kept},
        "BM25": by_scores(bm25),
        **uninformed,
    }


def measure(row: Row, cases: Sequence[Case]) -> tuple[dict[str, Outcome], list[float]]:
    """Id → outcome of each case that the method can take, and the seconds that each took."""
    config, attribute = row
    found, seconds = dict[str, Outcome](), list[float]()
    for case in cases:
        task, began = AttributionTask(case.trace, config), time.process_time()
        try:
            attribution = attribute(task)
        except OmniTraceError:
            continue
        seconds.append(time.process_time() - began)
        found[case.trace.id] = outcome(attribution, case.gold)
    return found, seconds


def table_of(model: str, files: Sequence[Path]) -> dict[str, Any]:
    """The scores of every method on one model, by set and on all."""
    every = [case for name in SETS for case in read_cases(model, name)[0] if case.kept]
    asked = cases_of(model)
    scored = {name: read_scored(model, name, asked) for name in PEERS}
    cases = [case for case in asked if all(case.trace.id in scored[name] for name in CORE)]
    rows = rows_of([case for case in every if case.side == "choose"], files, scored)
    sets = {case.trace.id: case.set for case in cases}
    base, _ = measure(rows[BASE], cases)
    table = {}
    for name, row in rows.items():
        own = [c for c in cases if name not in scored or c.trace.id in scored[name]]
        found, seconds = measure(row, own)
        if not found:
            continue
        cost = [scored[name][id] for id in found] if name in scored else []
        groups = {"all": list(found)} | {
            group: [id for id in found if sets[id] == group] for group in SETS
        }
        table[name] = {
            "failed": sum(bool(one.failed) for one in cost),
            "passes": float(np.mean([one.passes for one in cost])) if cost else _passes(name, own),
            "seconds": float(np.mean([one.seconds for one in cost] if cost else seconds)),
            "scores": {
                group: summary([found[id] for id in ids], [base[id] for id in ids])
                for group, ids in groups.items()
                if ids
            },
        }
    return {"samples": len(cases), "methods": table}


def _passes(name: str, cases: Sequence[Case]) -> float:
    """The mean passes of a method that is no peer."""
    if name not in CAUSAL:
        return 0.0
    tasks = [AttributionTask(case.trace, WITHOUT_REQUEST) for case in cases]
    held = [task for task in tasks if task.ablations in task.trace.ablations]
    return float(np.mean([METHODS[name].calls(task) for task in held])) if held else 0.0


def markdown(result: Mapping[str, Any]) -> str:
    """A table a model: hit@1 / F1 by set, and cost."""
    return "".join(_table(model, one["methods"], one["samples"])
                   for model, one in result["models"].items())  # fmt: skip


def _table(model: str, table: Mapping[str, Any], samples: int) -> str:
    groups = [g for g in ("all", *SETS) if g in table[BASE]["scores"]]
    sizes = {group: table[BASE]["scores"][group]["sentences"] for group in groups}
    heads = " | ".join(f"{group} ({sizes[group]})" for group in groups)
    lines = [f"| method | {heads} | passes | CPU s |", "|---|" + "--:|" * (len(groups) + 2)]
    for name, row in table.items():
        cells = [_cell(row["scores"].get(g), sizes[g], g == "all") for g in groups]
        cost = f"{row['passes']:.0f} | {row['seconds']:.2f}"
        lines.append(f"| `{name}` | {' | '.join(cells)} | {cost} |")
    title = (
        f"`{model}`, {samples} samples that the gate kept of the half for reporting: hit@1 / F1; "
        "in brackets 95 % intervals over samples, and the number of sentences, where a method "
        "scored fewer its own:\n\n"
    )
    return title + "\n".join(lines) + "\n\n"


def _cell(found: Mapping[str, Any] | None, size: int, of_all: bool) -> str:
    if found is None:
        return "—"
    own = "" if found["sentences"] == size else f" ({found['sentences']})"
    (hit, low, high), f1 = found["hit@1"], found["f1"][0]
    bounds = f" [{low:.2f}, {high:.2f}]" if of_all else ""
    return f"{hit:.2f}{bounds} / {f1:.2f}{own}"


def versions() -> dict[str, str]:
    """Of the peers, as far as they are installed here."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="*", type=Path, help="TOML files of configurations")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--score", default="", help=f"peers that score: {', '.join(PEERS)}")
    parser.add_argument("--minutes", type=float, default=60.0, help="of scoring, all in all")
    parser.add_argument("--cases", type=int, default=1000, help="samples that a peer scores")
    parser.add_argument("--longest", type=int, default=LONGEST, help="tokens of their prompts")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/")
    options = parser.parse_args()
    models = options.models.split(",")
    if options.score:
        names = options.score.split(",")
        score(models, names, options.minutes, options.cases, options.longest)
        return
    tables = {model: table_of(model, options.configs) for model in models}
    tables = {model: table for model, table in tables.items() if table["samples"]}
    if not tables:
        print(f"no sample is scored by all of {', '.join(CORE)}: let them score with --score")
        return
    result = {"peers": versions(), "longest": LONGEST, "models": tables}
    print(markdown(result))
    save("peers-real", result)
    if options.docs:
        put_between(ROOT / "docs" / "faithfulness.md", "peers-real", markdown(result))


if __name__ == "__main__":
    main()
