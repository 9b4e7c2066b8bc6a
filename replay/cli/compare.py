"""`omnitrace compare RUN A B`: where two attributions part ways, and what may explain it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from omnitrace import Trace, open_run
from omnitrace.cli.console import narrate_failures, out, plain, print_json, table, tracked
from omnitrace.cli.flags import RunPath, flags_of, layered
from omnitrace.samples import each_sample, sample_sentence
from omnitrace.text import one_line
from replay import PRESETS
from replay.cli.tables import unit_text
from replay.methods import AttributionTask
from replay.methods.compare import REASONS, Comparison, side, summary, to_json
from replay.methods.compare import compare as compare_tasks
from replay.run import check_added

SCHEMA = "omnitrace.comparison/1"
WIDTH = 32
"""The most characters of a unit's words."""


@dataclass(frozen=True)
class CompareOptions:
    """What is compared.

    Parameters
    ----------
    sample
        only the sample of this id; may be given several times
    ablations
        the name under which ablations were recorded
    json
        print JSON (schema omnitrace.comparison/1) instead of tables
    """

    sample: tuple[str, ...] = ()
    ablations: str = "mask"
    json: bool = False


@flags_of(PRESETS["default"])
def compare(
    run: RunPath,
    a: str,
    b: str,
    *,
    config: Path | None = None,
    options: Annotated[CompareOptions, Parameter(name="*")] = CompareOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Show where two attributions part ways: a signal, and what leaving units out says.

    What may explain it stands beside it: a unit that gets as much in the other sentences (sink),
    that is long and thinly attended (length), that is reached by way of what was generated before
    (indirect), or that is what was asked (request); all by the signal of A.

    Parameters
    ----------
    a
        a method (signal, votes, loo, contextcite, random, length) or a preset
    b
        another
    config
        a TOML file of configuration keys over the default preset, for the units and spans of both
        and the signal of methods; flags are laid over it
    """
    chosen, opened = layered(PRESETS["default"], config, given), open_run(run)
    sides = side(a, chosen), side(b, chosen)
    check_added(opened, chosen)
    every: list[Comparison] = []
    samples: list[Any] = []
    failed: dict[str, str] = {}

    def compare_sample(trace: Trace) -> tuple[AttributionTask, list[Comparison]]:
        tasks = [AttributionTask(trace, one.config, options.ablations) for one in sides]
        methods = sides[0].method, sides[1].method
        return tasks[0], compare_tasks(tasks[0], tasks[1], methods)

    ids = tracked(options.sample or tuple(opened))
    for _, (task, found) in each_sample(opened, ids, compare_sample, failed):
        every += found
        if options.json:
            samples.append(to_json(task, found))
        else:
            show(task, found, (a, b))
    if options.json:
        head = {"schema": SCHEMA, "a": a, "b": b, "summary": summary(every), "samples": samples}
        print_json(head)
    elif every:
        show_summary(every, (a, b))
    return narrate_failures(itertools.starmap(sample_sentence, failed.items()))


def show(task: AttributionTask, found: Sequence[Comparison], names: tuple[str, str]) -> None:
    """A line a span."""
    made = table(task.trace.id, "said", "both", f"only {names[0]}", f"only {names[1]}", expand=True)
    units = task.units
    for span in found:
        named = [plain("\n").join([unit_text(units, unit, WIDTH) for unit in span.both])]
        for letter in "ab":
            own = [
                unit_text(units, p.unit, WIDTH).append_text(
                    plain(f" ({', '.join(p.reasons)})" if p.reasons else "", "dim")
                )
                for p in span.disagreements
                if p.side == letter
            ]
            named.append(plain("\n").join(own))
        made.add_row(plain(one_line(span.text, 200)), *named)
    out().print(made)


def show_summary(every: Sequence[Comparison], names: tuple[str, str]) -> None:
    """Means over all spans, and how often each reason holds."""
    total = summary(every)
    made = table(
        f"{total['spans']} spans: overlap {total['overlap']:.2f}, rank correlation "
        f"{total['correlation']:.2f}", "named only by", *(f"{name}>" for name in REASONS), "units>",
    )  # fmt: skip
    for letter, name in zip("ab", names, strict=True):
        counts = [f"{total['reasons'][reason][letter]}" for reason in REASONS]
        made.add_row(plain(name), *counts, f"{total[f'only_{letter}']}")
    out().print(made)
