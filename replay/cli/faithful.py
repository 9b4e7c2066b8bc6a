"""`omnitrace faithful RUN`: is an attribution what caused the answers? From recorded ablations."""

from __future__ import annotations

import json as json_format
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from omnitrace import open_run
from omnitrace.cli.console import narrate, narrate_failures, out, plain, print_json, table, tracked
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.config import to_dict
from omnitrace.store.kinds import ABLATIONS
from omnitrace.text import one_line
from replay import PRESETS
from replay import preset as preset_of
from replay.faithfulness import METRICS, metric
from replay.methods import AttributionTask, method
from replay.methods.measure import Faithfulness, Tally, measure, to_json
from replay.run import check_added, check_addition

SCHEMA, MASKS = "omnitrace.faithfulness/1", "omnitrace.masks/1"


@dataclass(frozen=True)
class FaithfulOptions:
    """What is measured.

    Parameters
    ----------
    method
        signal (the configuration's masses), votes, loo, contextcite, random or length
    metric
        only this metric; may be given several times
    ablations
        the name under which ablations were recorded
    sensitive
        count only tokens that are less likely by 0.2 without the context
    ask
        write the masks that were missing to this file, for `omnitrace ablate-inputs --asked`
    json
        print JSON (schema omnitrace.faithfulness/1) instead of a table
    """

    method: str = "signal"
    metric: tuple[str, ...] = ()
    ablations: str = "mask"
    sensitive: bool = False
    ask: Path | None = None
    json: bool = False


@flags_of(PRESETS["default"])
def faithful(
    run: RunPath,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    options: Annotated[FaithfulOptions, Parameter(name="*")] = FaithfulOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Measure whether an attribution is what caused the answers, from recorded ablations.

    No model runs: `omnitrace record --ablations` or `omnitrace ablate-inputs` did that
    (docs/faithfulness.md). What the recorded masks cannot answer is left out and counted.
    """
    chosen = layered(preset_of(preset), config, given)
    opened, how = open_run(run), method(options.method)
    names = options.metric or tuple(METRICS)
    for name in names:
        metric(name)
    check_added(opened, chosen)
    check_addition(opened, ABLATIONS, options.ablations)
    task_of = partial(AttributionTask, config=chosen, ablations=options.ablations)
    ids = tracked(tuple(opened))
    found = measure(opened, ids, task_of, how, names, options.sensitive)
    if options.json:
        about = {"schema": SCHEMA, "method": options.method, "config": to_dict(chosen)}
        print_json({**about, **to_json(found)})
    else:
        show(found, options.method)
    write_missing(found, options)
    return narrate_failures(found.failed.values())


def show(found: Faithfulness, name: str) -> None:
    """A line a metric."""
    made = table(
        f"{name}, {found.samples} samples", "metric", "better", "value [95 %]>", "chance>", "spans>"
    )
    for each, tally in found.tallies.items():
        chance = found.chance.get(each, Tally()).mean
        made.add_row(
            plain(each), METRICS[each].better, plain(str(tally.mean)),
            "" if chance.value != chance.value else f"{chance.value:.3f}", f"{tally.spans:,}",
        )  # fmt: skip
    out().print(made)
    for each, tally in found.tallies.items():
        for why, spans in tally.unanswered.items():
            narrate(f"{each}: no answer for {spans:,} spans: {one_line(why, 200)}.")


def write_missing(found: Faithfulness, options: FaithfulOptions) -> None:
    """Write the masks that were missing to a file, or say which option does."""
    count = sum(map(len, found.missing.values()))
    if options.ask is None:
        if count:
            narrate(f"{count:,} masks were missing; --ask FILE writes them down.")
        return
    document = {"schema": MASKS, "of": options.ablations, "removed": found.missing}
    options.ask.write_text(json_format.dumps(document) + "\n", "utf-8")
    narrate(f"{options.ask}: {count:,} masks, for `omnitrace ablate-inputs --asked`.")
