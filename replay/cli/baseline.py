"""`omnitrace baseline RUN OUT --method NAME`: what a simpler method would have predicted."""

from __future__ import annotations

import json as json_format
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from rich.table import Table

from omnitrace import Run, Trace, open_run
from omnitrace.cli.console import narrate, out, table, tracked
from omnitrace.cli.flags import flags_of, layered
from omnitrace.errors import CommandError
from recorder.config import BaselineConfig
from replay.baselines.answers import STATES, question, read_answer
from replay.baselines.kept import keeping
from replay.baselines.run import compare, compute, kept_similarity
from replay.baselines.similarity import Similarity, Thresholds, same_threshold
from replay.baselines.sweep import Sweep, parse_thresholds, sweep
from replay.evaluation.labels import Labels, write_labels
from replay.evaluation.report import scores_json
from replay.evaluation.sources import read_golds
from replay.evaluation.space import MODALITIES

WEIGHTS = ("model", "revision", "dtype", "quantize")


@dataclass(frozen=True)
class Method:
    """The module that has `load(identity, config)`, the settings on which its results depend, and
    the usual threshold of its similarities, None if it is asked for labels outright."""

    module: str
    depends: tuple[str, ...]
    threshold: float | None


METHODS = {
    "random": Method("replay.baselines.random", ("seed", "time"), 0.5),
    "embedding": Method("recorder.baselines.embedding", WEIGHTS, 0.25),
    "clip": Method("recorder.baselines.clip", WEIGHTS, 0.25),
    "self": Method("recorder.baselines.self_attribution", (*WEIGHTS, "max_new_tokens"), None),
}
"""0.25 is the paper's; it does not say how many pairs chance keeps: half of them here."""

SCHEMA = "omnitrace.thresholds/1"
DRAWS = 1000


@dataclass(frozen=True)
class Choice:
    """Which pairs are kept.

    Parameters
    ----------
    threshold
        keep what is similar by at least this; by default 0.25, of random draws 0.5
    labels
        choose a threshold for each modality instead, by the F1 of half of the samples against this
        labels or truth file, and say what they reach on the other half
    thresholds
        the thresholds to choose among: FROM:TO:STEP, or numbers with commas
    json
        print what was chosen as JSON (schema omnitrace.thresholds/1) instead of a table
    """

    threshold: float | None = None
    labels: Path | None = None
    thresholds: str = "0:1:0.05"
    json: bool = False


@flags_of(BaselineConfig())
def baseline(
    run: Path,
    predictions: Path,
    *,
    method: Literal["random", "embedding", "clip", "self"],
    config: Path | None = None,
    choice: Annotated[Choice, Parameter(name="*")] = Choice(),
    given: dict[str, Any] | None = None,
) -> int:
    """Predict a run's sources by a baseline of the paper; `omnitrace evaluate` scores the file.

    What the method computes is kept beside PREDICTIONS, in a file NAME.kept.jsonl: running again
    resumes, and another threshold needs no model.

    Parameters
    ----------
    run
        the folder of a run
    predictions
        the labels file to write, such as random.jsonl
    method
        random: by chance; embedding: by the recorded model's own embeddings; clip: by CLIP's;
        self: the recorded model is asked
    config
        a TOML file of the keys below; flags are laid over it
    """
    chosen = layered(BaselineConfig(), config, given)
    opened, beside = open_run(run), predictions.with_suffix(".kept.jsonl")
    refuse(predictions, beside, METHODS[method], choice)
    with keeping(beside, about(opened, method, chosen)) as kept:
        failed = compute(opened, tracked(tuple(opened)), kept, making(opened, method, chosen))
    done = {id: kept.rows[id] for id in opened if id in kept.rows}
    if not opened:
        narrate(f"omnitrace: {run} holds no sample.")
    if done:
        asked = METHODS[method].threshold is None
        rows, said = told(opened, done) if asked else compared(opened, done, method, choice)
        write_labels(predictions, rows)
        narrate(f"{predictions}: {len(done)} samples, {said}.")
    for message in failed.values():
        narrate(f"omnitrace: {message}")
    return 0 if done and not failed else 1


def refuse(predictions: Path, beside: Path, method: Method, choice: Choice) -> None:
    """CommandError for what would overwrite another file, and for choices that contradict."""
    if predictions.exists() and not beside.exists():
        raise CommandError(f"{predictions} is there already, and is no baseline's: name another.")
    if choice.threshold is not None and choice.labels is not None:
        raise CommandError("--threshold is given, so that --labels has nothing to choose.")
    if choice.labels is not None:  # what is wrong with them is said before anything is computed
        parse_thresholds(choice.thresholds)
        read_golds(choice.labels)
    if method.threshold is None and (choice.threshold is not None or choice.labels is not None):
        raise CommandError("this method gives labels outright: there is no threshold to choose.")


def about(run: Run, method: str, config: BaselineConfig) -> dict[str, Any]:
    """All that the kept results depend on."""
    settings = {key: getattr(config, key) for key in METHODS[method].depends}
    return {"run": run.store_uuid, "method": method, "config": settings}


def making(run: Run, method: str, config: BaselineConfig) -> Callable[[Trace], Any]:
    """What computes a sample; the method is loaded when the first one needs it."""

    @cache
    def loaded() -> Any:
        return load_method(method, run, config)

    if METHODS[method].threshold is None:
        return lambda trace: loaded().answer(trace, question(trace))
    return lambda trace: compare(loaded(), trace)


def load_method(name: str, run: Run, config: BaselineConfig) -> Any:
    """The method, ready; CommandError where the [record] extra is not installed."""
    module = METHODS[name].module
    if module.startswith("recorder"):
        narrate("Loading torch and the model …")
    try:
        return import_module(module).load(run.identity, config)
    except ImportError as error:
        raise CommandError(
            f"the baseline '{name}' needs {error.name}: pip install 'omnitrace-replay[record]'."
        ) from error


def told(run: Run, answers: Mapping[str, str]) -> tuple[list[Labels], str]:
    """The labels in what a model answered, and in words how it could be read."""
    read = [read_answer(run[id], text, "baseline self") for id, text in answers.items()]
    counts = Counter(answer.state for answer in read)
    said = ", ".join(f"{counts[state]} answers {state}" for state in STATES if counts[state])
    return [answer.labels for answer in read], said


def compared(
    run: Run, kept: Mapping[str, Any], method: str, choice: Choice
) -> tuple[Iterator[Labels], str]:
    """The labels of what is similar enough, and in words how similar that is."""
    found = [kept_similarity(run[id], data) for id, data in kept.items()]
    thresholds = settle(found, method, choice)
    return labels(found, thresholds, method), spoken(found, thresholds)


def settle(found: list[Similarity], method: str, choice: Choice) -> Thresholds:
    """The threshold that is given, usual or best; the choosing is shown."""
    if choice.labels is None:
        usual = METHODS[method].threshold or 0.0
        return same_threshold(usual if choice.threshold is None else choice.threshold)
    golds = read_golds(choice.labels)
    known = {s.trace.id: golds.gold(s.trace) for s in found if s.trace.id in golds}
    made = sweep(found, known, parse_thresholds(choice.thresholds), DRAWS)
    if choice.json:
        sys.stdout.write(json_format.dumps(sweep_json(made, method)) + "\n")
    else:
        out().print(sweep_table(made))
    return made.chosen


def sweep_json(made: Sweep, method: str) -> dict[str, Any]:
    """The choosing as JSON data."""
    rows = [{"threshold": t, **scores_json(s)} for t, s in made.by_threshold.items()]
    chosen = {name: made.chosen[name] for name in scored(made)}
    return {
        "schema": SCHEMA,
        "method": method,
        "thresholds": rows,
        "chosen": chosen,
        "held_out": scores_json(made.held_out),
    }


def sweep_table(made: Sweep) -> Table:
    """A line a threshold, pooled F1 by modality, the best marked; the last line is of the other
    half."""
    columns = scored(made)
    shown = table("micro F1, %", "threshold>", "samples>", *(f"{name}>" for name in columns))
    for threshold, scores in made.by_threshold.items():
        cells = [
            f"{'← ' if made.chosen[name] == threshold else ''}{100 * scores.micro[name].f1:.1f}"
            for name in columns
        ]
        shown.add_row(f"{threshold:g}", str(scores.samples), *cells)
    held_out = (f"{100 * made.held_out.micro[name].f1:.1f}" for name in columns)
    shown.add_row("other half", str(made.held_out.samples), *held_out, style="bold")
    return shown


def scored(made: Sweep) -> list[str]:
    """The modalities that were."""
    return [name for name in MODALITIES if made.held_out.micro[name].spans]


def spoken(found: list[Similarity], thresholds: Thresholds) -> str:
    """The thresholds in words, of the modalities that the method compares."""
    looked_at = np.any([one.looked_at for one in found], axis=0)
    used = [name for name, looked in zip(MODALITIES, looked_at, strict=True) if looked]
    return ", ".join(f"{name} from {thresholds[name]:g} on" for name in used) or "none comparable"


def labels(found: list[Similarity], thresholds: Thresholds, method: str) -> Iterator[Labels]:
    """The predictions, of the samples in which the method can compare anything."""
    return (s.labels(thresholds, f"baseline {method}") for s in found if s.looked_at.any())
