"""`omnitrace compare RUN A B`: where two attributions part ways, and what may explain it."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from omnitrace import OmniTraceError, open_run
from omnitrace.cli.console import STYLES, narrate, out, plain, table, tracked
from omnitrace.cli.flags import flags_of, layered
from omnitrace.errors import CommandError, SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Modality
from replay import PRESETS
from replay.cli.replay import check_added
from replay.methods import Question
from replay.methods.compare import REASONS, Comparison, side, summary, to_json
from replay.methods.compare import compare as compared

SCHEMA = "omnitrace.comparison/1"


@dataclass(frozen=True)
class Comparing:
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
    run: Path,
    a: str,
    b: str,
    *,
    config: Path | None = None,
    comparing: Annotated[Comparing, Parameter(name="*")] = Comparing(),
    given: dict[str, Any] | None = None,
) -> int:
    """Show where two attributions part ways: a signal, and what leaving units out says.

    What may explain it stands beside it: a unit that gets as much in the other sentences (sink),
    that is long and thinly attended (length), that is reached by way of what was generated before
    (indirect), or that is what was asked (request); all by the signal of A.

    Parameters
    ----------
    run
        the folder of a run
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
    failed: list[str] = []
    for id in tracked(comparing.sample or tuple(opened)):
        try:
            asked = [Question(opened[id], one.config, comparing.ablations) for one in sides]
            found = compared(asked[0], asked[1], (sides[0].method, sides[1].method))
        except OmniTraceError as error:
            if isinstance(error, CommandError) and not isinstance(error, SampleError):
                raise
            name = f"sample '{one_line(id)}'"
            failed.append(f"{name}: {str(error).removeprefix(f'{name}: ')}")
            continue
        every += found
        if comparing.json:
            samples.append(to_json(asked[0], found))
        else:
            show(asked[0], found, (a, b))
    if comparing.json:
        head = {"schema": SCHEMA, "a": a, "b": b, "summary": summary(every), "samples": samples}
        sys.stdout.write(json_format.dumps(head) + "\n")
    elif every:
        conclude(every, (a, b))
    for sentence in failed:
        narrate(f"omnitrace: {sentence}")
    return 1 if failed else 0


def show(question: Question, found: Sequence[Comparison], names: tuple[str, str]) -> None:
    """A line a span."""
    made = table(
        question.trace.id, "said", "both", f"only {names[0]}", f"only {names[1]}", expand=True
    )
    for span in found:
        units = [plain("\n").join([unit_text(question, unit) for unit in span.both])]
        for letter in "ab":
            own = [
                unit_text(question, p.unit).append_text(
                    plain(f" ({', '.join(p.reasons)})" if p.reasons else "", "dim")
                )
                for p in span.partings
                if p.side == letter
            ]
            units.append(plain("\n").join(own))
        made.add_row(plain(one_line(span.text, 200)), *units)
    out().print(made)


def unit_text(question: Question, unit: int) -> Text:
    """A source unit in the colour of its modality, a text with its words."""
    words = question.units.text[unit]
    quoted = f" “{one_line(words, 32)}”" if words else ""
    style = STYLES[Modality(int(question.units.modality[unit])).label]
    return plain(question.units.label[unit] + quoted, style)


def conclude(every: Sequence[Comparison], names: tuple[str, str]) -> None:
    """What all spans say together."""
    total = summary(every)
    made = table(
        f"{total['spans']} spans: overlap {total['overlap']:.2f}, rank correlation "
        f"{total['correlation']:.2f}", "named only by", *(f"{name}>" for name in REASONS), "units>",
    )  # fmt: skip
    for letter, name in zip("ab", names, strict=True):
        counts = [f"{total['reasons'][reason][letter]}" for reason in REASONS]
        made.add_row(plain(name), *counts, f"{total[f'only_{letter}']}")
    out().print(made)
