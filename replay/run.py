"""A recorded run under a configuration: what it must hold, and the attributions of its samples.

Knows runs and attributions; no verb and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from omnitrace.errors import CommandError, nearest
from omnitrace.samples import each_sample
from omnitrace.store.kinds import ABLATIONS, SEGMENTATION, TAGS
from omnitrace.store.run import Run
from omnitrace.text import one_line
from omnitrace.trace import Trace
from replay.attribution import Attribution, attribute
from replay.config import ReplayConfig

ADVICE = {
    SEGMENTATION: "`omnitrace segment` adds some.",
    TAGS: "`omnitrace tag` adds some.",
    ABLATIONS: "`omnitrace ablate-inputs` records some.",
}
"""Kind of addition → how a run gets it."""


def attribute_all(
    run: Mapping[str, Trace],
    ids: Iterable[str],
    config: ReplayConfig,
    failed: MutableMapping[str, str],
) -> Iterator[tuple[Trace, Attribution]]:
    """The samples of `ids` in order with their attributions; failures as of `each_sample`."""
    attributed = each_sample(run, ids, lambda trace: (trace, attribute(trace, config)), failed)
    return (both for _, both in attributed)


def check_samples(run: Run, ids: Iterable[str]) -> None:
    """UnknownSample for the first of `ids` that the run does not hold.

    Called before anything is printed, so that no JSON document breaks off.
    """
    for id in ids:
        if id not in run:
            run[id]


def check_added(run: Run, config: ReplayConfig) -> None:
    """CommandError naming the legal ones if no sample has the segmentation or tags of `config`.

    A sample that lacks what others have is named later, and the others go on.
    """
    for kind, name in ((SEGMENTATION, config.units.audio_segments), (TAGS, config.tags)):
        if name:
            check_addition(run, kind, name)


def check_addition(run: Run, kind: str, name: str) -> None:
    """CommandError naming the legal ones if no sample has an addition of that kind and name."""
    if run.additions.find(kind, name):
        return
    legal = [added.name for added in run.additions if added.kind == kind]
    lost = len(run.additions.faults)
    raise CommandError(
        f"the run {run.path} has no {kind} '{one_line(name)}': {nearest(name, legal)}. "
        f"{ADVICE[kind]}{f' {lost} files of what was added are damaged.' if lost else ''}"
    )
