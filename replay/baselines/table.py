"""Table 2 of the paper: signals and baselines side by side, on the same samples and labels.

Knows configurations, golds and predictions; not how a prediction was made.
"""

from __future__ import annotations

from collections.abc import Mapping

from omnitrace.trace import Trace
from replay.attribution import Replayer
from replay.config import ReplayConfig
from replay.evaluation.scores import Judgement, judge, judge_prediction
from replay.evaluation.sources import GoldFile


def compare_methods(
    run: Mapping[str, Trace],
    golds: GoldFile,
    configs: Mapping[str, ReplayConfig],
    predictions: Mapping[str, GoldFile],
    seconds: float = 1.0,
) -> dict[str, list[Judgement]]:
    """What each configuration and each predictor found, by its name.

    Of the samples that have a gold and a prediction by every predictor, so that all are judged on
    the same ones; `score` and `grouped` make scores of each list. A modality of which a predictor
    does not speak (× in Table 2) has no spans in its scores. Samples are read one after another.
    """
    found: dict[str, list[Judgement]] = {name: [] for name in (*configs, *predictions)}
    for id in run:
        if id not in golds or any(id not in file for file in predictions.values()):
            continue
        trace = run[id]
        gold, replayer = golds.gold(trace, seconds), Replayer(trace)
        for name, config in configs.items():
            found[name].append(judge(replayer.attribute(config), gold))
        for name, file in predictions.items():
            found[name].append(judge_prediction(gold, file.gold(trace, seconds)))
    return found
