"""Joins recorder and replay: the masks that remove the best sources of a replay one at a time.

The recorder passes masks and knows no configuration of replay; replay ranks sources and has no
model. Imported when it is used: by `omnitrace confirm` and `omnitrace record --confirm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import chain, count
from typing import Any

from omnitrace.config import to_dict
from omnitrace.store.kinds import ABLATIONS
from omnitrace.store.run import Run
from recorder.ablation.masks import SingleMasks
from recorder.config import AblateConfig
from replay.config import PRESETS, CauseStage, ReplayConfig, with_stages
from replay.confirm import units_to_remove

NAME = "confirm"


def best_alone(
    run: Run, config: AblateConfig, top: int, by: ReplayConfig = PRESETS["default"]
) -> SingleMasks:
    """Masks that remove each of the `top` best units of every span, under the configuration `by`.

    Named `config.name`, or else `confirm`; where the run has removals of that name that were
    chosen otherwise, `confirm-2` and so on.
    """
    by = with_stages(by, ReplayConfig(), CauseStage)  # what is made of removals does not count
    chosen_by = {"top": top, "config": to_dict(by)}
    masks = SingleMasks(config, partial(units_to_remove, config=by, top=top), chosen_by)
    name = config.name or _free_name(run, masks.about)
    return replace(masks, config=replace(config, name=name))


def _free_name(run: Run, about: Mapping[str, Any]) -> str:
    """The first name that is not taken by ablations made otherwise."""
    names = chain([NAME], (f"{NAME}-{number}" for number in count(2)))
    taken = {a.name: a.about for a in run.additions if a.kind == ABLATIONS}
    return next(name for name in names if taken.get(name, about) == about)
