"""Do attributions name the evidence on released language models? F1, hit@1, confidence, by set.

    python -m benchmarks.real [--choose] [--models smollm2,gemma3] [--ungated] [FILE.toml …]

Reads what `benchmarks.real_runs` recorded and gated; sentences are cut as today, whatever they were
when it was recorded. Scores the presets, a candidate, uninformed methods, and every configuration
file that is named. With --choose on the half for choosing, a table and nothing saved; else on the
half for reporting, to results/real.json.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.common import save
from benchmarks.real_runs import MODELS, REAL, Place
from benchmarks.real_sets import SETS
from omnitrace import open_run
from omnitrace.arrays import Bool, Float64
from omnitrace.config import load_toml
from omnitrace.errors import OmniTraceError, SampleError
from omnitrace.evidence import read_evidence, truth
from omnitrace.trace import Trace
from recorder.cli.gate import read_measured
from recorder.gate_rules import Funnel, GateConfig, funnel
from recorder.tags import Tagger, align_pos, load_tagger, prompt_sentences
from replay import PRESETS, ReplayConfig, Replayer
from replay.attribution import Attribution, Span
from replay.evaluation.gold import Gold, gold_of_truth
from replay.evaluation.scores import prf
from replay.evaluation.trust import ranked_right
from replay.evaluation.truth import Truth
from replay.methods import AttributionTask, attribution_of, large
from replay.methods.chance import random
from replay.reliability import calibration_error
from replay.stats import Estimate, divided, of_sums, pooled, resampled

WITHOUT_REQUEST = replace(
    PRESETS["paper"], units=replace(PRESETS["paper"].units, request="leave-out")
)
CANDIDATE = replace(
    WITHOUT_REQUEST,
    signal="attgrads",
    curation=replace(WITHOUT_REQUEST.curation, coverage=0.5),
)
"""The best of the first measurements (issue 15) that needs no filter of tokens."""
BASE = "default"
"""Other configurations are compared with it."""
PARTS = 10
"""Of a prompt, for the prior of positions."""
_WORD = re.compile(r"\w+")

Attribute = Callable[[AttributionTask], Attribution]


@dataclass(frozen=True)
class Case:
    """A recorded sample and what is true of it."""

    model: str
    set: str
    trace: Trace
    gold: Gold
    side: str
    kept: bool


@dataclass(frozen=True)
class Outcome:
    """What one method did with the J judged sentences of one sample.

    `counts` (J, 3): right, found and true labels; `hit` (J,) bool: the best source holds evidence;
    `confidence` (J,): the probability of that where the configuration gives one, else the share of
    the best source; 0 where there is none.
    """

    counts: Float64
    hit: Bool
    confidence: Float64


def read_cases(model: str, name: str) -> tuple[list[Case], Funnel | None]:
    """The recorded samples of one set, and the funnel of the gate; none where nothing is there."""
    place = Place(model, name)
    if not place.run.exists():
        return [], None
    sides = json.loads((REAL / "sets" / "sides.json").read_text("utf-8"))
    run, rows, tagger = open_run(place.run), read_evidence(place.evidence), load_tagger(None)
    measured = read_measured(place.gate)
    passed = funnel([one for id, one in measured.items() if id in run], GateConfig())
    cases = []
    for id in (id for id in rows if id in run):
        trace = run[id] if run.identity.get("tagger") == tagger.name else recut(run[id], tagger)
        try:
            gold = gold_of_truth(trace, msgspec.convert(truth(trace, rows[id]), Truth))
        except SampleError:  # no right sentence; the gate counts it
            continue
        cases.append(Case(model, name, trace, gold, sides[id], id in passed.kept))
    return cases, passed


def recut(trace: Trace, tagger: Tagger) -> Trace:
    """The trace with the tags and sentences of `tagger`, as `omnitrace tag` makes them."""
    tags = tagger.tag(trace.response)
    return replace(
        trace,
        pos=align_pos(trace.chars, tags),
        sentences=tags.sentences,
        prompt_sentences=prompt_sentences(trace.prompt_text, trace.timeline, tagger),
    )


def by_config(config: ReplayConfig) -> tuple[ReplayConfig, Attribute]:
    """A configuration as a method."""
    return config, lambda task: task.attribution


def by_scores(
    scores: Callable[[AttributionTask], Float64],
) -> tuple[ReplayConfig, Attribute]:
    """A method that scores units itself; it names those with half of the best score."""

    def attribute(task: AttributionTask) -> Attribution:
        found = scores(task)
        return attribution_of(task, found, large(task, found))

    return WITHOUT_REQUEST, attribute


def word_overlap(task: AttributionTask) -> Float64:
    """(K, m): the words that a span shares with a unit, rare ones of the prompt counting more."""
    texts = [text or "" for text in task.units.text]
    words = [_words(text) for text in texts]
    counts: dict[str, int] = {}
    for word in (word for own in words for word in own):
        counts[word] = counts.get(word, 0) + 1
    response = task.trace.response
    spans = [_words(response[span.start : span.end]) for span in task.spans]
    rows = [
        [sum(float(np.log(1 + len(texts) / counts[w])) for w in span & own) for own in words]
        for span in spans
    ]
    return np.array(rows).reshape(len(spans), len(words))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def position_prior(cases: Sequence[Case]) -> Callable[[AttributionTask], Float64]:
    """A method that scores units by how often evidence lay at their place in `cases`."""
    seen = np.ones(PARTS)
    for case in cases:
        space, n = case.gold.space, case.trace.n
        for label in np.flatnonzero(case.gold.true.any(axis=0)):
            at = np.flatnonzero(space.of_token == label).mean() / n
            seen[int(at * PARTS)] += 1

    def scores(task: AttributionTask) -> Float64:
        owner = task.units.owner_of_tokens(task.trace.n)
        places = [np.flatnonzero(owner == unit).mean() for unit in range(len(task.units))]
        at = (np.array(places) / task.trace.n * PARTS).astype(int)
        return np.tile(seen[at], (len(task.spans), 1))

    return scores


def outcome(attribution: Attribution, gold: Gold) -> Outcome:
    """How an attribution fares on the judged sentences that have evidence."""
    claims = gold.space.claims(attribution.units)
    spans = attribution.spans
    selected = np.zeros((len(spans), len(claims)), bool)
    for row, span in zip(selected, spans, strict=True):
        row[[source.unit for source in span.sources]] = True
    steps = np.array([span.steps for span in spans], np.int32).reshape(-1, 2)
    counts = gold.counts(gold.found(claims, selected, steps))[:, 0]
    judged = np.flatnonzero(gold.judged & gold.true.any(axis=1))
    best = [_span_of(spans, gold.steps[k].tolist()) for k in judged]
    hit = [
        bool(span and span.sources and (claims[span.sources[0].unit] & gold.true[k]).any())
        for k, span in zip(judged, best, strict=True)
    ]
    confidence = [_confidence(span) for span in best]
    return Outcome(counts[judged].astype(float), np.array(hit, bool), np.array(confidence))


def _confidence(span: Span | None) -> float:
    if span is None or not span.sources:
        return 0.0
    known = span.reliability.probability if span.reliability else None
    return span.sources[0].mass if known is None else known


def _span_of(spans: Sequence[Span], steps: Sequence[int]) -> Span | None:
    """The span that shares most steps with a sentence."""
    shared = [min(s.steps[1], steps[1]) - max(s.steps[0], steps[0]) for s in spans]
    return spans[int(np.argmax(shared))] if spans and max(shared) > 0 else None


def summary(found: Sequence[Outcome], base: Sequence[Outcome]) -> dict[str, Any]:
    """Scores with 95 % intervals of samples drawn again, and differences to `base`, paired."""
    sums, other = _sums(found), _sums(base)
    both = np.concatenate([sums, other], axis=1)
    size = sums.shape[1]
    spans = int(sums[:, 3].sum())
    confidence = np.concatenate([one.confidence for one in found])
    hit = np.concatenate([one.hit for one in found])

    def auc_of(numbers: np.ndarray[Any, np.dtype[np.int64]]) -> float:
        chosen = [found[number] for number in numbers]
        return ranked_right(
            np.concatenate([one.confidence for one in chosen]),
            np.concatenate([one.hit for one in chosen]).astype(float),
        )

    return {
        "samples": len(found),
        "sentences": spans,
        "f1": _plain(of_sums(sums, _f1)),
        "hit@1": _plain(pooled(sums[:, 4], sums[:, 3])),
        f"f1 over {BASE}": _plain(
            of_sums(both, lambda total: _f1(total[..., :size]) - _f1(total[..., size:]))
        ),
        f"hit@1 over {BASE}": _plain(
            of_sums(both, lambda total: _hit(total[..., :size]) - _hit(total[..., size:]))
        ),
        "auc": _plain(resampled(auc_of, len(found))),
        "ece": round(calibration_error(confidence, hit.astype(float)), 4),
    }


def _sums(found: Sequence[Outcome]) -> Float64:
    """(S, 5): right, found, true labels, sentences and hits of each sample."""
    return np.array(
        [[*one.counts.sum(axis=0), len(one.hit), one.hit.sum()] for one in found], float
    ).reshape(len(found), 5)


def _f1(total: Float64) -> Float64:
    return prf(total[..., :3])[..., 2]


def _hit(total: Float64) -> Float64:
    return divided(total[..., 4], total[..., 3])


def _plain(estimate: Estimate) -> list[float | None]:
    """Value, low, high; None where unknown."""
    values = (estimate.value, estimate.low, estimate.high)
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def methods(
    choosing: Sequence[Case], files: Sequence[Path]
) -> dict[str, tuple[ReplayConfig, Attribute]]:
    """All rows of the table; `choosing`: the samples that the prior of positions is made of."""
    return {
        **{name: by_config(config) for name, config in PRESETS.items()},
        "attgrads, request out, coverage .5": by_config(CANDIDATE),
        **{path.stem: by_config(load_toml(PRESETS[BASE], path)) for path in files},
        "word overlap": by_scores(word_overlap),
        "position prior": by_scores(position_prior(choosing)),
        "random": by_scores(random),
    }


def measure(
    cases: Sequence[Case], rows: Mapping[str, tuple[ReplayConfig, Attribute]]
) -> dict[str, list[Outcome]]:
    """The outcomes of every method on every case, in order."""
    found: dict[str, list[Outcome]] = {name: [] for name in rows}
    for case in cases:
        replayer = Replayer(case.trace)
        for name, (config, attribute) in rows.items():
            task = AttributionTask(case.trace, config, shared=replayer)
            try:
                found[name].append(outcome(attribute(task), case.gold))
            except OmniTraceError as error:
                raise SystemExit(f"{name}, sample {case.trace.id}: {error}") from error
    return found


def groups(cases: Sequence[Case]) -> Iterator[tuple[str, list[int]]]:
    """A set and its cases, those of needles also by length, and all together."""
    for name in SETS:
        yield name, [at for at, case in enumerate(cases) if case.set == name]
    lengths = dict.fromkeys(c.trace.id.split("-")[1] for c in cases if c.set == "needle")
    for length in lengths:
        own = [at for at, c in enumerate(cases) if c.trace.id.startswith(f"needle-{length}-")]
        yield f"needle {length}", own
    yield "all", list(range(len(cases)))


def tables(cases: Sequence[Case], found: Mapping[str, list[Outcome]]) -> dict[str, Any]:
    """Set → method → `summary`."""
    return {
        group: {
            name: summary([outcomes[at] for at in numbers], [found[BASE][at] for at in numbers])
            for name, outcomes in found.items()
        }
        for group, numbers in groups(cases)
        if numbers
    }


def print_table(title: str, table: Mapping[str, Mapping[str, Any]]) -> None:
    """F1 and hit@1 of every method (row) on every set (column); then AUC and ECE over all."""
    print(f"\n{title} (F1 / hit@1; sentences)")
    heads = [f"{group} ({next(iter(rows.values()))['sentences']})" for group, rows in table.items()]
    print(f"{'':36}" + "".join(f"{head:>18}" for head in heads) + f"{'AUC / ECE':>16}")
    for name in table["all"]:
        cells = [
            f"{rows[name]['f1'][0]:.2f} / {rows[name]['hit@1'][0]:.2f}" for rows in table.values()
        ]
        of_all = table["all"][name]
        sure = f"{of_all['auc'][0] or float('nan'):.2f} / {of_all['ece']:.2f}"
        print(f"{name:36}" + "".join(f"{cell:>18}" for cell in cells) + f"{sure:>16}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="*", type=Path, help="TOML files of configurations")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--choose", action="store_true", help="the half for choosing; not saved")
    parser.add_argument("--ungated", action="store_true", help="all samples, gated or not")
    options = parser.parse_args()
    side = "choose" if options.choose else "report"
    results: dict[str, Any] = {}
    for model in options.models.split(","):
        read = {name: read_cases(model, name) for name in SETS}
        every = [case for cases, _ in read.values() for case in cases]
        every = [case for case in every if case.kept or options.ungated]
        rows = methods([case for case in every if case.side == "choose"], options.configs)
        cases = [case for case in every if case.side == side]
        if not cases:
            print(f"{model}: there is nothing; run python -m benchmarks.real_runs")
            continue
        table = tables(cases, measure(cases, rows))
        print_table(f"{model}, {side}", table)
        passed = {name: found for name, (_, found) in read.items() if found}
        results[model] = {"funnel": {n: _funnel(f) for n, f in passed.items()}, "scores": table}
    if results and not options.choose and not options.ungated:
        save("real", {"side": side, "gate": _thresholds(), "models": results})


def _funnel(found: Funnel) -> dict[str, int]:
    return {"samples": found.samples, **found.passed}


def _thresholds() -> dict[str, float]:
    config = GateConfig()
    names = ("least_fall", "most_drift", "least_logprob")
    return {name: getattr(config, name) for name in names}


if __name__ == "__main__":
    main()
