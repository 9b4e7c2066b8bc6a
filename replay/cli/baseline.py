"""`omnitrace baseline RUN OUT --method NAME`: what a simpler method would have predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter

from omnitrace import open_run
from omnitrace.baseline import Answerer, BaselineConfig, Comparer
from omnitrace.cli.console import narrate, narrate_failures, out, print_json, tracked
from omnitrace.cli.flags import KeysFile, RunPath, flags_of, layered
from replay.baselines.answers import STATES, Answer, read_answer
from replay.baselines.methods import METHODS, load_method
from replay.baselines.run import compute, kept_similarity, predictions_of, result_of, results_of
from replay.baselines.similarity import Similarity, Thresholds
from replay.baselines.thresholds import USUAL, Sweep, ThresholdOptions, choose, to_json
from replay.cli.tables import threshold_table
from replay.evaluation.labels import write_labels
from replay.evaluation.space import MODALITIES


@flags_of(BaselineConfig())
def baseline(
    run: RunPath,
    predictions: Path,
    *,
    method: Literal["random", "embedding", "clip", "self"],
    config: KeysFile = None,
    choice: Annotated[ThresholdOptions, Parameter(name="*")] = USUAL,
    given: dict[str, Any] | None = None,
) -> int:
    """Predict a run's sources by a baseline of the paper; `omnitrace evaluate` scores the file.

    What the method computes is kept beside PREDICTIONS, in a file NAME.kept.jsonl: running again
    resumes, and another threshold needs no model.

    Parameters
    ----------
    predictions
        the labels file to write, such as random.jsonl
    method
        random: by chance; embedding: by the recorded model's own embeddings; clip: by CLIP's;
        self: the recorded model is asked
    """
    chosen, opened = layered(BaselineConfig(), config, given), open_run(run)
    usual = METHODS[method].threshold
    choice.check(usual)

    def load() -> Comparer | Answerer:
        if METHODS[method].needs_model:
            narrate("Loading torch and the model …")
        return load_method(method, opened.identity, chosen)

    with results_of(opened, predictions, method, chosen) as results:
        failed = compute(opened, tracked(tuple(opened)), results, result_of(load))
    rows = {id: results.rows[id] for id in opened if id in results.rows}
    if not opened:
        narrate(f"omnitrace: {run} holds no sample.")
    elif rows and usual is None:
        answers = [read_answer(opened[id], text, f"baseline {method}") for id, text in rows.items()]
        write_labels(predictions, (answer.labels for answer in answers))
        narrate(f"{predictions}: {len(rows)} samples, {states(answers)}.")
    elif rows:
        similarities = [kept_similarity(opened[id], data) for id, data in rows.items()]
        thresholds, sweep = choose(similarities, choice, usual or 0.0)
        if sweep is not None:
            show(sweep, method, choice.json)
        labels = predictions_of(similarities, thresholds, f"baseline {method}")
        write_labels(predictions, labels)
        narrate(f"{predictions}: {len(rows)} samples, {used(similarities, thresholds)}.")
    return narrate_failures(failed.values()) or int(not rows)


def states(answers: Sequence[Answer]) -> str:
    """How many answers could be read, in words."""
    counts = Counter(answer.state for answer in answers)
    return ", ".join(f"{counts[state]} answers {state}" for state in STATES if counts[state])


def show(sweep: Sweep, method: str, json: bool) -> None:
    """How thresholds were chosen, on stdout."""
    if json:
        print_json(to_json(sweep, method))
    else:
        out().print(threshold_table(sweep))


def used(similarities: Sequence[Similarity], thresholds: Thresholds) -> str:
    """The thresholds in words, of the modalities that the method compares."""
    compared = np.any([one.compared for one in similarities], axis=0)
    names = [name for name, yes in zip(MODALITIES, compared, strict=True) if yes]
    return ", ".join(f"{name} from {thresholds[name]:g} on" for name in names) or "none comparable"
