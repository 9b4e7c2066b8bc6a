"""Judging the samples of a run, one after another, so that any run fits in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from omnitrace.samples import readable
from omnitrace.trace import Trace
from replay.config import ReplayConfig
from replay.evaluation.scores import Judgement, judge, judge_prediction
from replay.evaluation.sources import GoldFile
from replay.run import attribute_all


def judge_run(
    run: Mapping[str, Trace],
    ids: Iterable[str],
    golds: GoldFile,
    predictor: GoldFile | ReplayConfig,
    seconds: float,
    failed: MutableMapping[str, str],
) -> Iterator[Judgement]:
    """The judgements of `ids`, all of which the files have: attributions, or another file's labels.

    A sample that cannot be read or attributed goes to `failed` (id → sentence). What is wrong with
    a file ends the evaluation: OmniTraceError naming its line.
    """
    if isinstance(predictor, ReplayConfig):
        for trace, attribution in attribute_all(run, ids, predictor, failed):
            yield judge(attribution, golds.gold(trace, seconds))
        return
    for trace in readable(run, ids, failed):
        yield judge_prediction(golds.gold(trace, seconds), predictor.gold(trace, seconds))
