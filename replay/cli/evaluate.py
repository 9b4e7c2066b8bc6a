"""`omnitrace evaluate RUN LABELS`: attributions, or another's predictions, against what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from omnitrace import OmniTraceError, open_run
from omnitrace.cli.console import narrate, narrate_failures, out, plain, print_json, table, tracked
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.config import to_dict
from omnitrace.text import one_line
from replay import PRESETS, ReplayConfig
from replay import preset as preset_of
from replay.cli.tables import SCORE_COLUMNS, score_rows
from replay.evaluation import Judgement, Scores, score
from replay.evaluation.report import grouped, scores_json
from replay.evaluation.rows import read_bytes
from replay.evaluation.run import judge_run
from replay.evaluation.sources import read_golds
from replay.evaluation.trust import Trust, trust
from replay.run import check_added
from replay.stats import LEVEL

SCHEMA = "omnitrace.evaluation/1"
SEED = 0


@dataclass(frozen=True)
class EvaluateOptions:
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
    run: RunPath,
    labels: Path,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    options: Annotated[EvaluateOptions, Parameter(name="*")] = EvaluateOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Score a run's attributions against labels: precision, recall, F1, by modality.

    Text and images by span, audio and video by bins of time, over the sentences of the answers,
    micro and macro, with bootstrap intervals over samples (docs/evaluation.md).

    Parameters
    ----------
    labels
        a labels file (a judge's or a person's), or the truth file of planted samples
    """
    chosen = layered(preset_of(preset), config, given)
    opened, golds = open_run(run), read_golds(labels)
    predicted = None if options.predictions is None else read_golds(options.predictions)
    groups = read_groups(options.groups)
    check_added(opened, chosen)
    for file in (golds, predicted):
        if file is not None:
            file.check_known(opened)
    labelled = [id for id in opened if id in golds]
    ids = labelled if predicted is None else [id for id in labelled if id in predicted]
    failed: dict[str, str] = {}
    predictor = chosen if predicted is None else predicted
    judged = judge_run(opened, tracked(ids), golds, predictor, options.seconds, failed)
    judgements = [replace(one, task=groups.get(one.id, one.task)) for one in judged]
    unlabelled, unpredicted = len(opened) - len(labelled), len(labelled) - len(ids)
    head = {"labels": str(labels), **source_json(options, chosen), "unlabelled": unlabelled}
    show(judgements, head, options)
    narrate(summary(judgements, unlabelled, unpredicted, len(failed)))
    return narrate_failures(failed.values()) or int(not judgements)


def read_groups(path: Path | None) -> dict[str, str]:
    """A JSON object of sample ids and their groups; OmniTraceError if it is none."""
    if path is None:
        return {}
    try:
        return msgspec.json.decode(read_bytes(path), type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OmniTraceError(f"{path}: {error}; expected {{sample id: group}}.") from error


def source_json(options: EvaluateOptions, config: ReplayConfig) -> dict[str, Any]:
    """What was scored, and in what bins."""
    by = options.predictions
    what = {"config": to_dict(config)} if by is None else {"predictions": str(by)}
    return {**what, "seconds": options.seconds}


def show(judgements: Sequence[Judgement], head: dict[str, Any], options: EvaluateOptions) -> None:
    """The scores on stdout, as JSON or as a table."""
    draws, by = options.bootstrap, options.by
    total = score(judgements, draws, SEED)
    groups = grouped(judgements, by, draws, SEED) if by else {}
    known = trust(one.trust for one in judgements)
    if not options.json:
        out().print(score_table(total, groups))
        if known.spans:
            out().print(trust_table(known))
        return
    document = {"schema": SCHEMA, **head}
    document |= {"bootstrap": {"draws": draws, "seed": SEED, "level": LEVEL}}
    document |= scores_json(total)
    if known.spans:
        document["reliability"] = known.json()
    if by:
        document |= {"by": by, "groups": {name: scores_json(s) for name, s in groups.items()}}
    print_json(document)


def score_table(total: Scores, groups: Mapping[str, Scores]) -> Table:
    """A line a modality, of all samples and then of each group; in per cent, as in the paper."""
    made = table("scores, %", *(["of"] if groups else []), *SCORE_COLUMNS)
    for name, scores in {"all": total, **groups}.items():
        group = [plain(one_line(name, 40))] if groups else []
        for cells in score_rows(scores.micro, scores.macro):
            made.add_row(*group, *cells)
    return made


def trust_table(known: Trust) -> Table:
    """How often the best source of a span is right, and how well its reliability tells that."""
    made = table(f"reliability of {known.spans} spans", "", "value>")
    for name, value in known.rows():
        made.add_row(plain(name), plain(value))
    return made


def summary(
    judgements: Sequence[Judgement], unlabelled: int, unpredicted: int, unreadable: int
) -> str:
    """How many samples were scored, and why others were not."""
    parts = [f"{len(judgements)} samples scored"]
    parts += [f"{unlabelled} without labels"] if unlabelled else []
    parts += [f"{unpredicted} without predictions"] if unpredicted else []
    parts += [f"{unreadable} not readable"] if unreadable else []
    wrong = sum(one.wrong for one in judgements)
    untrue = f"; {wrong} sentences say nothing that is known to be true and are not judged"
    return f"{', '.join(parts)}{untrue if wrong else ''}."
