"""What recorded ablations say caused an answer, held against its signal: data, no widget.

May read scores from the disk and fit models: call from a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnitrace import OmniTraceError, Trace
from replay import Attribution, Replayer
from replay.methods import Question
from replay.methods.compare import REASONS, Comparison, Parting, compare

_USUAL = "mask"


@dataclass(frozen=True)
class Cause:
    """Each span's signal (`a`) against its cause by a method (`b`); or, without spans, `amiss`:
    why the ablations that were recorded cannot answer."""

    method: str
    spans: tuple[Comparison, ...] = ()
    amiss: str = ""

    def partings(self, k: int, side: str) -> dict[int, Parting]:
        """The units of the k-th span that only one side names."""
        found = self.spans[k].partings if self.spans else ()
        return {parting.unit: parting for parting in found if parting.side == side}


def cause_of(attribution: Attribution, replayer: Replayer, method: str) -> Cause | None:
    """What a method says of an attribution's spans; None where nothing can be asked."""
    try:
        trace = replayer.trace
        if not attribution.spans or not trace.ablations:
            return None
        asked = Question(trace, attribution.config, _name(trace), replayer)
        return Cause(method, tuple(compare(asked, asked, ("signal", method))))
    except OmniTraceError as error:
        return Cause(method, amiss=str(error))


def explained(parting: Parting, method: str) -> str:
    """A parting in words: what either side gives the unit, and what may explain it."""
    why = "; ".join(REASONS[reason] for reason in parting.reasons) or "no reason is seen"
    return f"signal {parting.share_a:.0%}, {method} {parting.share_b:.0%}: {why}"


def _name(trace: Trace) -> str:
    """The ablations to ask: those recorded in the usual way, if there are any."""
    return _USUAL if _USUAL in trace.ablations else min(trace.ablations)
