"""What is true of the small trace of tests.build."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omnitrace import Trace
from omnitrace.timeline import Modality, Part
from replay.evaluation.truth import Evidence, TrueSentence, Truth

FACT = Evidence(0, text="The parcel weighs seven kilos.")
PICTURE = Evidence(1)
TONE = Evidence(2, start_s=1.0, end_s=2.0)
SAID = ("The parcel weighs seven kilos.", "A red circle is shown.", "A tone sounds.")


def truth(*sentences: tuple[str, tuple[Evidence, ...]], id: str = "sample-0") -> Truth:
    """A truth of these sentences with their evidence."""
    made = tuple(TrueSentence(text, evidence) for text, evidence in sentences)
    return Truth(id, " ".join(text for text, _ in sentences), made)


THE_TRUTH = truth(*zip(SAID, [(FACT,), (PICTURE,), (TONE,)], strict=True))


def with_media(trace: Trace, kept: int) -> Trace:
    """`trace` with its first `kept` media only; the tokens of the others belong to nothing."""
    line = trace.timeline
    gone = line.medium >= kept
    line = replace(
        line,
        modality=np.where(gone, Modality.SPECIAL, line.modality).astype(np.uint8),
        medium=np.where(gone, -1, line.medium).astype(np.int32),
        part=np.where(gone, -1, line.part).astype(np.int32),
    )
    parts = tuple(Part(p.role, "text") if p.medium >= kept else p for p in trace.parts)
    return replace(trace, timeline=line, parts=parts, media=trace.media[:kept])
