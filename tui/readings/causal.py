"""The causes of an answer by recorded ablations, compared to its signal: data, no widget.

May read scores from the disk and fit models: call from a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnitrace import OmniTraceError, Trace
from omnitrace.ablations import Row
from replay import Attribution, Replayer
from replay.methods import AttributionTask
from replay.methods.compare import REASONS, Comparison, Disagreement, compare

_USUAL = "mask"
_SINGLE = (Row.FULL, Row.WITHOUT_UNIT)


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
        name = _name(trace)
        if not attribution.spans or name is None:
            return None
        task = AttributionTask(trace, attribution.config, name, replayer)
        return CausalResult(method, tuple(compare(task, task, ("signal", method))))
    except OmniTraceError as error:
        return CausalResult(method, error=str(error))


def explanation(one: Disagreement, method: str) -> str:
    """A disagreement in words: the unit's share by either side, and what may explain it."""
    why = "; ".join(REASONS[reason] for reason in one.reasons) or "no reason is seen"
    return f"signal {one.share_a:.0%}, {method} {one.share_b:.0%}: {why}"


def _name(trace: Trace) -> str | None:
    """The set of ablations to use: the usual one, if it was recorded; else one of exact masks that
    removes more than the best sources alone, as `omnitrace confirm` does; None without any."""
    if _USUAL in trace.ablations:
        return _USUAL
    known = (a for a in trace.ablations.values() if a.mode != "answer-mask")
    return min((a.name for a in known if not np.isin(a.why, _SINGLE).all()), default=None)
