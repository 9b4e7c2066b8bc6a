"""`omnitrace demo`: bundled samples recorded and replayed, their sources next to the true ones."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from omnitrace import Trace, open_run
from omnitrace.cli.console import narrate, out, plain, table
from omnitrace.errors import CommandError, extra
from omnitrace.text import one_line
from recorder.cli.record import record
from replay import Attribution, attribute
from replay.cli.tables import unit_text
from replay.evaluation.truth import Evidence, Truth, evidence_of, read_truths, true_units

KINDS = ("image", "audio", "video", "mixed")
WRONG = "(not what is true)"


def demo(folder: Path = Path("omnitrace-demo")) -> int:
    """Record the bundled samples with the bundled model, attribute the answers, show the truth.

    Parameters
    ----------
    folder
        where the samples, their media and the run are written; running again resumes there
    """
    run_path = folder / "run"
    write_demo_samples(folder)
    status = record(folder / "samples.jsonl", run_path)
    run = open_run(run_path)
    for id, truth in read_truths(folder / "truth.jsonl").items():
        out().print(truth_table(attribute(run[id]), run[id], truth))
    place, media = shlex.quote(str(run_path)), shlex.quote(str(folder))
    known = f"--media {media} --labels {shlex.quote(str(folder / 'truth.jsonl'))}"
    narrate(f"Read it in the terminal:     omnitrace browse {place} {known}")
    narrate(f"Other settings, as JSON:     omnitrace replay {place} --preset paper --json")
    return status


def write_demo_samples(folder: Path) -> None:
    """The bundled samples as files that a user could have made; CommandError without [record]."""
    with extra("record", "the demo needs"):
        from recorder.planted.samples import SPLITS, make_sample, write_samples

    try:
        write_samples([make_sample(SPLITS["demo"][0], kind) for kind in KINDS], folder)
    except OSError as error:
        raise CommandError(f"cannot write the demo to {folder}: {error.strerror}.") from error


def truth_table(attribution: Attribution, trace: Trace, truth: Truth) -> Table:
    """Each span of the answer, its curated sources, and its true ones."""
    made = table(attribution.id, "said", "because of", "truly because of", expand=True)
    ranges = [(span.start, span.end) for span in attribution.spans]
    known = evidence_of(attribution.response, ranges, truth)
    for span, evidence in zip(attribution.spans, known, strict=True):
        made.add_row(
            plain(one_line(span.text, 200)),
            _lines(_marked(attribution, trace, evidence, s.unit) for s in span.sources),
            _truth(attribution, trace, evidence),
        )
    return made


def _marked(
    attribution: Attribution,
    trace: Trace,
    evidence: tuple[Evidence, ...] | None,
    unit: int,
) -> Text:
    """A source unit after a tick if it truly is one, after a dot otherwise."""
    right = evidence is not None and unit in true_units(attribution.units, trace, evidence)
    mark = plain("✓ ", "bold green") if right else plain("· ", "dim")
    return mark.append_text(unit_text(attribution.units, unit))


def _truth(attribution: Attribution, trace: Trace, evidence: tuple[Evidence, ...] | None) -> Text:
    if evidence is None:
        return plain(WRONG, "dim")
    true = sorted(true_units(attribution.units, trace, evidence))
    return (
        _lines(unit_text(attribution.units, unit) for unit in true)
        if true
        else plain("nothing", "dim")
    )


def _lines(texts: Iterable[Text]) -> Text:
    return plain("\n").join(texts)
