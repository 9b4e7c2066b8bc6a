"""What the verbs show alike: scores as cells of a table, source units and names in colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from omnitrace.cli.console import STYLES, plain, table
from omnitrace.text import one_line
from omnitrace.timeline import Modality
from omnitrace.units import Units
from replay.faithfulness.verdict import CAUSED, Verdict, verdict_words

if TYPE_CHECKING:  # `omnitrace replay` imports no evaluation and no sweep
    from replay.baselines.thresholds import Sweep
    from replay.evaluation import Score

RATES = ("precision", "recall", "f1")
SCORE_COLUMNS = ("", "n>", "P>", "R>", "F1>", "95 %>", "macro F1>")


def percent(share: float) -> str:
    """In per cent without the sign, as in the paper."""
    return f"{100 * share:.1f}"


def modality_text(name: str) -> Text:
    """The name of a modality, or `all`, in its colour."""
    return plain(name, STYLES.get(name, "bold"))


def rate_cells(score: Score) -> list[str]:
    """Precision, recall, F1 and the interval of F1."""
    rates = (score.precision, score.recall, score.f1)
    return [*map(percent, rates), interval(score, "f1")]


def interval(score: Score, rate: str) -> str:
    """The bounds of one of `RATES`; empty where there are none."""
    if score.low is None or score.high is None:
        return ""
    at = RATES.index(rate)
    return f"{percent(score.low[at])}–{percent(score.high[at])}"


def score_rows(
    micro: Mapping[str, Score], macro: Mapping[str, Score]
) -> Iterator[list[str | Text]]:
    """The cells of `SCORE_COLUMNS`, a row a modality that was scored; `micro`, `macro`: by name."""
    for name, one in micro.items():
        if one.spans:
            yield [modality_text(name), str(one.spans), *rate_cells(one), percent(macro[name].f1)]


def threshold_table(made: Sweep) -> Table:
    """A line a threshold, pooled F1 by modality, the best marked; the last line is of the other
    half."""
    names = made.modalities
    shown = table("micro F1, %", "threshold>", "samples>", *(f"{name}>" for name in names))
    for threshold, scores in made.by_threshold.items():
        cells = [
            ("← " if made.chosen[name] == threshold else "") + percent(scores.micro[name].f1)
            for name in names
        ]
        shown.add_row(f"{threshold:g}", str(scores.samples), *cells)
    held_out = (percent(made.held_out.micro[name].f1) for name in names)
    shown.add_row("other half", str(made.held_out.samples), *held_out, style="bold")
    return shown


def unit_text(units: Units, unit: int, width: int = 48) -> Text:
    """A source unit on one line, in the colour of its modality, a text with its words.

    `width`: the most characters of these words.
    """
    words = units.text[unit]
    quoted = f" “{one_line(words, width)}”" if words else ""
    style = STYLES[Modality(int(units.modality[unit])).label]
    return plain(units.label[unit] + quoted, style)


def verdict_text(verdict: Verdict) -> Text:
    """What the removal of a source did, after its name; nothing where it was not tested."""
    words = verdict_words(verdict)
    return plain(f" {words}" if words else "", "green" if verdict.cause == CAUSED else "dim")
