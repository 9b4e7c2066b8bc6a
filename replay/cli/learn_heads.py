"""`omnitrace learn-heads RUN OUT`: which attention heads tell what answers need. No model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import open_run
from omnitrace.atomic import atomic_write
from omnitrace.cli.console import narrate, narrate_failures, tracked
from omnitrace.cli.flags import ConfigFile, PresetName, flags_of, layered
from omnitrace.config import to_toml
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.store.kinds import ABLATIONS
from omnitrace.store.run import Run
from omnitrace.trace import Trace
from replay import PRESETS, ReplayConfig
from replay import preset as preset_of
from replay.evaluation import Gold
from replay.evaluation.sources import read_golds
from replay.methods import AttributionTask
from replay.methods.learn import Learned, as_config, learn
from replay.methods.retrieval_heads import learn_from_labels
from replay.run import check_addition


@dataclass(frozen=True)
class LearnOptions:
    """What is learned from.

    Parameters
    ----------
    ablations
        the name under which ablations were recorded
    labels
        a labels file, or the truth file of planted samples: learn from it instead of ablations
    top
        --labels: how many heads are kept
    modality
        --labels: only evidence of this modality counts; empty: of any
    """

    ablations: str = "mask"
    labels: Path | None = None
    top: Annotated[int, Parameter(validator=Number(gte=1))] = 16
    modality: Literal["", "text", "image", "audio", "video"] = ""


@flags_of(PRESETS["default"])
def learn_heads(
    run: Path,
    out: Path,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    options: Annotated[LearnOptions, Parameter(name="*")] = LearnOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Learn, from a recording, attention heads that tell what answers need.

    The run must have been recorded with --level heads, and either with --ablations, from which
    weights are fitted, or --labels name the evidence, of which the heads that look at it are kept.
    OUT is a configuration for other runs of the same model: replay them with --config OUT.

    Parameters
    ----------
    run
        the folder of a run to learn from
    out
        the TOML file to write
    """
    chosen, opened = layered(preset_of(preset), config, given), open_run(run)
    failed: dict[str, str] = {}
    if options.labels is None:
        learned, of = (
            _from_ablations(opened, chosen, options, failed),
            "correlation with their masks",
        )
    else:
        learned = _from_labels(opened, chosen, options, failed)
        of = "share of those whose best unit is labelled"
    with atomic_write(out, OmniTraceError) as temporary:
        temporary.write_text(to_toml(as_config(learned, chosen)), "utf-8")
    narrate(
        f"{out}: from {learned.spans} spans of {learned.samples} samples; {of} "
        f"{learned.after:.3f}, with all heads alike {learned.before:.3f}."
    )
    return narrate_failures(f"sample '{id}' is left out: {why}." for id, why in failed.items())


def _from_ablations(
    opened: Run, chosen: ReplayConfig, options: LearnOptions, failed: dict[str, str]
) -> Learned:
    if options.modality or options.top != LearnOptions().top:
        raise CommandError("--top and --modality are for --labels; name a labels file too.")
    check_addition(opened, ABLATIONS, options.ablations)
    task_of = partial(AttributionTask, config=chosen, ablations=options.ablations)
    return learn(opened, tracked(tuple(opened)), task_of, failed)


def _from_labels(
    opened: Run, chosen: ReplayConfig, options: LearnOptions, failed: dict[str, str]
) -> Learned:
    assert options.labels is not None
    golds = read_golds(options.labels)
    golds.check_known(opened)

    def labelled(trace: Trace) -> tuple[AttributionTask, Gold]:
        return AttributionTask(trace, chosen), golds.gold(trace)

    ids = tuple(id for id in opened if id in golds)
    top, modality = options.top, options.modality
    return learn_from_labels(opened, tracked(ids), labelled, failed, top, modality)
