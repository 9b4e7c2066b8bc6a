"""`omnitrace replay RUN`: attribute a recorded run's answers under any configuration. No model."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from omnitrace import OmniTraceError, Run, Trace, open_run
from omnitrace.cli.console import STYLES, narrate, out, plain, table
from omnitrace.cli.flags import flags_of, layered
from omnitrace.errors import CommandError, SampleError, nearest
from omnitrace.store.additions import SEGMENTATION, TAGS
from omnitrace.text import one_line
from omnitrace.timeline import Modality
from replay import PRESETS, Attribution, ReplayConfig, attribute
from replay import preset as preset_of
from replay.output import json_pieces


@flags_of(PRESETS["default"])
def replay(
    run: Path,
    *,
    preset: str = "default",
    config: Path | None = None,
    sample: tuple[str, ...] = (),
    json: bool = False,
    given: dict[str, Any] | None = None,
) -> int:
    """Attribute a recorded run's answers, on the CPU, under any configuration.

    Parameters
    ----------
    run
        the folder of a run
    preset
        where to start from: default, paper or release; the file, then the flags are laid over it
    config
        a TOML file of configuration keys, as the browser saves it
    sample
        only the sample of this id; may be given several times
    json
        print JSON (schema omnitrace.attribution/1) instead of tables
    """
    chosen = layered(preset_of(preset), config, given)
    opened = open_run(run)
    check_added(opened, chosen)
    check_samples(opened, sample)
    damaged: list[str] = []
    attributions = attribute_all(opened, sample or tuple(opened), chosen, damaged)
    if json:
        print_json(attributions, chosen)
    else:
        for attribution in attributions:
            out().print(span_table(attribution))
    for message in damaged:
        narrate(f"omnitrace: {message}")
    return 1 if damaged else 0


def check_samples(run: Run, ids: tuple[str, ...]) -> None:
    """UnknownSample before anything is printed, so that no JSON document stays half."""
    for id in ids:
        if id not in run:
            run[id]


def check_added(run: Run, config: ReplayConfig) -> None:
    """CommandError naming the legal ones if no sample has the segmentation or tags of `config`.

    A sample that lacks what others have is named later, and the others go on.
    """
    wanted = ((SEGMENTATION, config.units.audio_segments), (TAGS, config.tags))
    for kind, name in wanted:
        if name and not run.additions.find(kind, name):
            legal = [added.name for added in run.additions if added.kind == kind]
            lost = len(run.additions.faults)
            raise CommandError(
                f"the run {run.path} has no {kind} '{one_line(name)}': {nearest(name, legal)}. "
                f"`omnitrace {'segment' if kind == SEGMENTATION else 'tag'}` adds some."
                f"{f' {lost} files of what was added are damaged.' if lost else ''}"
            )


def attribute_all(
    run: Mapping[str, Trace], ids: Iterable[str], config: ReplayConfig, damaged: list[str]
) -> Iterator[Attribution]:
    """The attributions of `ids` in order; what cannot be read goes to `damaged`, the rest go on."""
    for id in ids:
        try:
            yield attribute(run[id], config)
        except SampleError as error:
            damaged.append(str(error))
        except CommandError:
            raise
        except OmniTraceError as error:
            damaged.append(str(error))


def print_json(attributions: Iterator[Attribution], config: ReplayConfig) -> None:
    """Stream one JSON document to stdout, a sample at a time, so that any run fits in memory."""
    for piece in json_pieces(attributions, config):
        sys.stdout.write(piece)


def span_table(attribution: Attribution) -> Table:
    """One sample for people: each span of the answer, its curated sources with their share of
    the votes, the dropped ones with the rule that dropped them."""
    made = table(attribution.id, "said", "because of", "dropped", expand=True)
    for column, ratio in zip(made.columns, (4, 5, 2), strict=True):
        column.ratio = ratio
    for span in attribution.spans:
        sources = [
            plain(f"{source.mass:4.0%} ").append_text(unit_text(attribution, source.unit))
            for source in span.sources
        ]
        dropped = [f"{attribution.units.label[d.unit]} ({d.rule})" for d in span.dropped]
        made.add_row(
            plain(one_line(span.text, 200)),
            plain("\n").join(sources),
            plain(", ".join(dropped), "dim"),
        )
    return made


def unit_text(attribution: Attribution, unit: int) -> Text:
    """A source unit on one line, in the colour of its modality, a text with its words."""
    units = attribution.units
    words = units.text[unit]
    quoted = f" “{one_line(words, 48)}”" if words else ""
    style = STYLES[Modality(units.modality[unit]).label]
    return plain(units.label[unit] + quoted, style)
