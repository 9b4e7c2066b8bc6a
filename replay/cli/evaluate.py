"""`omnitrace evaluate RUN LABELS`: attributions, or another's predictions, against what is true."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from omnitrace import OmniTraceError, Run, Trace, open_run
from omnitrace.cli.console import STYLES, narrate, out, plain, table, tracked
from omnitrace.cli.flags import flags_of, layered
from omnitrace.config import to_dict
from omnitrace.text import one_line
from replay import PRESETS, ReplayConfig
from replay import preset as preset_of
from replay.cli.replay import attribute_all, check_added
from replay.evaluation import Judgement, Score, Scores, judge, score
from replay.evaluation.report import grouped, scores_json
from replay.evaluation.rows import read_bytes
from replay.evaluation.scores import LEVEL, judge_prediction
from replay.evaluation.sources import GoldFile, read_golds

SCHEMA = "omnitrace.evaluation/1"
SEED = 0


@dataclass
class Judged:
    """What came of the samples of a run."""

    judgements: list[Judgement] = field(default_factory=list)
    unlabelled: int = 0
    unpredicted: int = 0
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scoring:
    """What is scored, and how the scores are put together.

    Parameters
    ----------
    predictions
        score this labels file, of a baseline or a judge, instead of the run's attributions
    seconds
        length of the bins in which time is judged
    bootstrap
        draws for the 95 % intervals; 0: no intervals
    by
        scores also by task, by the modalities of the prompt, or by sample
    groups
        a JSON object {sample id: task}, laid over the tasks that the labels name
    json
        print JSON (schema omnitrace.evaluation/1) instead of a table
    """

    predictions: Path | None = None
    seconds: Annotated[float, Parameter(validator=Number(gte=0.01))] = 1.0
    bootstrap: Annotated[int, Parameter(validator=Number(gte=0, lte=10**6))] = 1000
    by: Literal["task", "modality", "sample"] | None = None
    groups: Path | None = None
    json: bool = False


@flags_of(PRESETS["default"])
def evaluate(
    run: Path,
    labels: Path,
    *,
    preset: str = "default",
    config: Path | None = None,
    scoring: Annotated[Scoring, Parameter(name="*")] = Scoring(),
    given: dict[str, Any] | None = None,
) -> int:
    """Score a run's attributions against labels: precision, recall, F1, by modality.

    Text and images by span, audio and video by bins of time, over the sentences of the answers,
    micro and macro, with bootstrap intervals over samples (docs/evaluation.md).

    Parameters
    ----------
    run
        the folder of a run
    labels
        a labels file (a judge's or a person's), or the truth file of planted samples
    preset
        where to start from: default, paper or release; the file, then the flags are laid over it
    config
        a TOML file of configuration keys, as the browser saves it
    """
    chosen = layered(preset_of(preset), config, given)
    opened, golds = open_run(run), read_golds(labels)
    predicted = None if scoring.predictions is None else read_golds(scoring.predictions)
    groups = read_groups(scoring.groups)
    check_added(opened, chosen)
    for file in (golds, predicted):
        if file is not None:
            file.check_known(opened)
    judged = judge_run(opened, golds, predicted or chosen, scoring.seconds)
    judged.judgements = with_tasks(judged.judgements, groups)
    show(judged, {"labels": str(labels), **source_json(scoring, chosen)}, scoring)
    return tell(judged)


def judge_run(
    run: Run, golds: GoldFile, predictor: GoldFile | ReplayConfig, seconds: float
) -> Judged:
    """Judge the samples that have labels, one after another, so that any run fits in memory.

    A trace that cannot be read is left out; what is wrong with the labels ends the evaluation.
    """
    ids = [id for id in run if id in golds]
    judged = Judged(unlabelled=len(run) - len(ids))
    if isinstance(predictor, ReplayConfig):
        for attribution in attribute_all(run, tracked(ids), predictor, judged.damaged):
            gold = golds.gold(run[attribution.id], seconds)
            judged.judgements.append(judge(attribution, gold))
        return judged
    both = [id for id in ids if id in predictor]
    judged.unpredicted = len(ids) - len(both)
    for trace in readable(run, tracked(both), judged.damaged):
        golds_of_both = (file.gold(trace, seconds) for file in (golds, predictor))
        judged.judgements.append(judge_prediction(*golds_of_both))
    return judged


def readable(run: Run, ids: Iterable[str], damaged: list[str]) -> Iterator[Trace]:
    """The traces that can be read; `damaged` says what is wrong with the others."""
    for id in ids:
        try:
            trace = run[id]
        except OmniTraceError as error:
            damaged.append(str(error))
        else:
            yield trace


def with_tasks(judgements: list[Judgement], groups: Mapping[str, str]) -> list[Judgement]:
    """The judgements with the tasks that `groups` gives to samples."""
    return [replace(one, task=groups.get(one.id, one.task)) for one in judgements]


def read_groups(path: Path | None) -> dict[str, str]:
    """A JSON object of sample ids and their groups; OmniTraceError if it is none."""
    if path is None:
        return {}
    try:
        return msgspec.json.decode(read_bytes(path), type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OmniTraceError(f"{path}: {error}; expected {{sample id: group}}.") from error


def source_json(scoring: Scoring, config: ReplayConfig) -> dict[str, Any]:
    """What was scored, and in what bins."""
    by = scoring.predictions
    what = {"config": to_dict(config)} if by is None else {"predictions": str(by)}
    return {**what, "seconds": scoring.seconds}


def show(judged: Judged, head: dict[str, Any], scoring: Scoring) -> None:
    """The scores on stdout, as JSON or as a table."""
    draws, by = scoring.bootstrap, scoring.by
    total = score(judged.judgements, draws, SEED)
    groups = grouped(judged.judgements, by, draws, SEED) if by else {}
    if not scoring.json:
        out().print(score_table(total, groups))
        return
    document = {"schema": SCHEMA, **head, "unlabelled": judged.unlabelled}
    document |= {"bootstrap": {"draws": draws, "seed": SEED, "level": LEVEL}}
    document |= scores_json(total)
    if by:
        document |= {"by": by, "groups": {name: scores_json(s) for name, s in groups.items()}}
    sys.stdout.write(json_format.dumps(document) + "\n")


def score_table(total: Scores, groups: Mapping[str, Scores]) -> Table:
    """A line a modality, of all samples and then of each group; in per cent, as in the paper."""
    named = ["of"] if groups else []
    made = table("scores, %", *named, "", "n>", "P>", "R>", "F1>", "95 %>", "macro F1>")
    for name, scores in [("all", total), *groups.items()]:
        of = [plain(one_line(name, 40))] if groups else []
        for column, micro in scores.micro.items():
            if micro.spans:
                made.add_row(
                    *of, plain(column, STYLES.get(column, "bold")), str(micro.spans),
                    *_cells(micro), percent(scores.macro[column].f1),
                )  # fmt: skip
    return made


def _cells(one: Score) -> list[str]:
    interval = "–".join(map(percent, one.f1_interval or ()))
    return [*map(percent, (one.precision, one.recall, one.f1)), interval]


def percent(share: float) -> str:
    """As tables print it."""
    return f"{100 * share:.1f}"


def tell(judged: Judged) -> int:
    """Say on stderr what was not scored; the exit status."""
    count = len(judged.judgements)
    parts = [f"{count} samples scored"]
    parts += [f"{judged.unlabelled} without labels"] if judged.unlabelled else []
    parts += [f"{judged.unpredicted} without predictions"] if judged.unpredicted else []
    parts += [f"{len(judged.damaged)} not readable"] if judged.damaged else []
    wrong = sum(one.wrong for one in judged.judgements)
    said = f"; {wrong} sentences say nothing that is known to be true and are not judged"
    narrate(f"{', '.join(parts)}{said if wrong else ''}.")
    for message in judged.damaged:
        narrate(f"omnitrace: {message}")
    return 0 if count and not judged.damaged else 1
