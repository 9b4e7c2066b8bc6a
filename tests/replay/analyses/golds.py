"""The small answer with sources and a truth that a test can say by id."""

from __future__ import annotations

from dataclasses import replace

from omnitrace.trace import Trace
from replay import PRESETS, Attribution, Dropped, Source, attribute
from replay.analyses.judged import Judged
from replay.evaluation.gold import gold_of_truth
from replay.evaluation.truth import Evidence, TrueSentence, Truth
from tests.build import make_trace

FACT, OTHER_FACT = (
    Evidence(0, text=text) for text in ("The parcel weighs seven kilos.", "Anna lives in Oslo.")
)
PICTURE = Evidence(1)
TONE = Evidence(2, start_s=1.0, end_s=2.0)
SAID = ("The parcel weighs seven kilos.", "A red circle is shown.", "A tone sounds.")


def truth_of(*evidence: tuple[Evidence, ...] | None, id: str = "sample-0") -> Truth:
    """A truth with evidence for each of the three sentences; None: it should say otherwise."""
    texts = [s if e is not None else "No." for s, e in zip(SAID, evidence, strict=True)]
    made = [TrueSentence(text, e or ()) for text, e in zip(texts, evidence, strict=True)]
    return Truth(id, " ".join(texts), tuple(made))


def claiming(
    *kept: dict[str, float],
    dropped: dict[str, float] | None = None,
    trace: Trace | None = None,
) -> Attribution:
    """The small answer with each span's sources and their shares, by unit id; `dropped` in all."""
    attribution = attribute(trace or make_trace(), PRESETS["paper"])
    index = {id: j for j, id in enumerate(attribution.units.id)}
    lost = tuple(Dropped(index[id], mass, "p_min") for id, mass in (dropped or {}).items())
    spans = [
        replace(
            span,
            sources=tuple(Source(index[id], mass, 1.0, 1.0) for id, mass in chosen.items()),
            dropped=lost,
        )
        for span, chosen in zip(attribution.spans, kept, strict=True)
    ]
    return replace(attribution, spans=tuple(spans))


def judged(attribution: Attribution, truth: Truth) -> Judged:
    """The attribution of the small trace beside its gold."""
    trace = make_trace(attribution.id)
    return trace, attribution, gold_of_truth(trace, truth)
