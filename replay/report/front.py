"""What stands before a report's samples: facts of the run, scores, analyses. Knows no format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from omnitrace import Run
from omnitrace.config import flat, to_dict
from replay.analyses import ANALYSES, Material, Result, Table
from replay.analyses.result import percent
from replay.analyses.variants import with_interval
from replay.config import PRESETS, ReplayConfig
from replay.evaluation import Scores, judge, score

DRAWS = 1000
SCORES = "F1 by modality"


def facts_of(run: Run, config: ReplayConfig) -> list[tuple[str, str]]:
    """(name, value): how the run was recorded, and what of the configuration is not default."""
    recorded = {**run.identity, **{f"{k} (version)": v for k, v in run.created_by.items()}}
    base = flat(to_dict(PRESETS["default"]))
    chosen = {k: v for k, v in flat(to_dict(config)).items() if v != base.get(k)}
    return [
        ("samples", f"{len(run):,}"),
        *((name, _words(value)) for name, value in recorded.items()),
        ("configuration", _preset_name(config)),
        *((name, _words(value)) for name, value in chosen.items()),
    ]


def scores_of_material(material: Material) -> Scores:
    """Scores of all samples with a gold."""
    return score([judge(attribution, gold) for _, attribution, gold in material.judged()], DRAWS)


def score_table(scores: Scores) -> Table:
    """A line a modality that was scored."""
    columns = ("", "sentences>", "precision>", "recall>", "F1 (95 %)>", "macro F1 (95 %)>")
    rows = [
        (
            name,
            str(micro.spans),
            percent(micro.precision),
            percent(micro.recall),
            with_interval(micro),
            with_interval(scores.macro[name]),
        )
        for name, micro in scores.micro.items()
        if micro.spans
    ]
    return Table(columns, tuple(rows))


def analyses_of(material: Material, cheap: bool) -> Iterator[Result]:
    """The results of all analyses that have what they need and something to say.

    `cheap`: without those that replay every sample many times.
    """
    for one in ANALYSES.values():
        if (one.needs_gold and not material.golds) or (one.expensive and cheap):
            continue
        result = one.run(material)
        if not result.empty:
            yield result


def _preset_name(config: ReplayConfig) -> str:
    names = [name for name, preset in PRESETS.items() if preset == config]
    return f"preset {names[0]}" if names else "preset default, but with"


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
