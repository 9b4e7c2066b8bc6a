"""`omnitrace replay RUN`: attribute a recorded run's answers under any configuration. No model."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.table import Table

from omnitrace import open_run
from omnitrace.cli.console import narrate, narrate_failures, out, plain, table
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.text import one_line
from replay import PRESETS, Attribution
from replay import preset as preset_of
from replay.cli.tables import unit_text, verdict_text
from replay.output import json_pieces
from replay.run import attribute_all, check_added, check_samples
from replay.words import filtered_text, reliability_text, sinks_warning, where_text


@flags_of(PRESETS["default"])
def replay(
    run: RunPath,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    sample: tuple[str, ...] = (),
    json: bool = False,
    given: dict[str, Any] | None = None,
) -> int:
    """Attribute a recorded run's answers, on the CPU, under any configuration.

    Parameters
    ----------
    sample
        only the sample of this id; may be given several times
    json
        print JSON (schema omnitrace.attribution/1) instead of tables
    """
    chosen = layered(preset_of(preset), config, given)
    opened = open_run(run)
    check_added(opened, chosen)
    check_samples(opened, sample)
    failed: dict[str, str] = {}
    attributed = attribute_all(opened, sample or tuple(opened), chosen, failed)
    warnings: list[str] = []
    attributions = watched((attribution for _, attribution in attributed), warnings)
    if json:
        # A sample at a time, so that any run fits in memory.
        sys.stdout.writelines(json_pieces(attributions, chosen))
    else:
        for attribution in attributions:
            out().print(span_table(attribution))
    for warning in warnings:
        narrate(f"omnitrace: {warning}")
    return narrate_failures(failed.values())


def watched(attributions: Iterable[Attribution], warnings: list[str]) -> Iterator[Attribution]:
    """The attributions; what is to be said of their sinks goes to `warnings`."""
    for attribution in attributions:
        if warning := sinks_warning(attribution):
            warnings.append(warning)
        yield attribution


def span_table(attribution: Attribution) -> Table:
    """One sample for people: each span of the answer, its curated sources with their share of
    the votes and what their removal did, the dropped ones with the rule that dropped them; below,
    where its scores lie."""
    made = table(attribution.id, "said", "because of", "dropped", expand=True)
    for column, ratio in zip(made.columns, (4, 5, 2), strict=True):
        column.ratio = ratio
    for span in attribution.spans:
        sources = [
            plain(f"{source.mass:4.0%} ")
            .append_text(unit_text(attribution.units, source.unit))
            .append_text(verdict_text(verdict))
            for source, verdict in zip(span.sources, span.judged, strict=True)
        ]
        dropped = [f"{attribution.units.label[d.unit]} ({d.rule})" for d in span.dropped]
        if reliability := reliability_text(span):
            sources.append(plain(reliability, "dim"))
        made.add_row(
            plain(one_line(span.text, 200)),
            plain("\n").join(sources),
            plain(", ".join(dropped), "dim"),
        )
    where = [text for text in (where_text(attribution), filtered_text(attribution)) if text]
    if where:
        made.caption = plain(f"scores: {'; '.join(where)}", "dim")
    return made
