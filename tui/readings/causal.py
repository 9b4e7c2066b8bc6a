"""The causes of an answer by recorded ablations, compared to its signal: data, no widget.

May read scores from the disk and fit models: call from a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnitrace import OmniTraceError, Trace
from replay import Attribution, Replayer
from replay.methods import AttributionTask
from replay.methods.compare import REASONS, Comparison, Disagreement, compare

_USUAL = "mask"


@dataclass(frozen=True)
class CausalResult:
    """The comparison of each span's signal (`a`) with its cause by a method (`b`); or, without
    spans, the `error`: why the recorded ablations cannot answer."""

    method: str
    spans: tuple[Comparison, ...] = ()
    error: str = ""

    def disagreements(self, k: int, side: str) -> dict[int, Disagreement]:
        """The units of the k-th span that only one side names."""
        found = self.spans[k].disagreements if self.spans else ()
        return {one.unit: one for one in found if one.side == side}


def causal_result(
    attribution: Attribution, replayer: Replayer, method: str | None
) -> CausalResult | None:
    """The causes of an attribution's spans by a method; None without a method or ablations."""
    if method is None:
        return None
    try:
        trace = replayer.trace
        if not attribution.spans or not trace.ablations:
            return None
        task = AttributionTask(trace, attribution.config, _name(trace), replayer)
        return CausalResult(method, tuple(compare(task, task, ("signal", method))))
    except OmniTraceError as error:
        return CausalResult(method, error=str(error))


def explanation(one: Disagreement, method: str) -> str:
    """A disagreement in words: the unit's share by either side, and what may explain it."""
    why = "; ".join(REASONS[reason] for reason in one.reasons) or "no reason is seen"
    return f"signal {one.share_a:.0%}, {method} {one.share_b:.0%}: {why}"


def _name(trace: Trace) -> str:
    """The set of ablations to use: the usual one, if it was recorded."""
    return _USUAL if _USUAL in trace.ablations else min(trace.ablations)
